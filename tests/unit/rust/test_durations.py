"""What runs of a feature matrix took, in folders and in commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.rust import durations

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_figures_of_several_runs_are_kept_beside_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    durations.keep(folder, "unit-tests", {"a with all features": 3.14, "b without features": 1})
    durations.keep(folder, "unit-tests", {"b without features": 2})
    durations.keep(folder, "clippy", {"c": 9})
    assert durations.kept(folder, "unit-tests") == {"a with all features": 3.1, "b without features": 2.0}
    assert (
        folder / "unit-tests.runs.tsv"
    ).read_text() == "3.1\ta with all features\n2.0\tb without features\n"


def test_artifacts_of_several_jobs_are_one(tmp_path: Path) -> None:
    durations.keep(tmp_path / "job 1", "clippy", {"a": 3, "b": 1})
    durations.keep(tmp_path / "job 2", "clippy", {"c": 2, "a": 1})
    assert durations.kept(tmp_path, "clippy") == {"a": 3.0, "b": 1.0, "c": 2.0}
    assert durations.kept(tmp_path / "none", "clippy") == {}


def test_what_is_no_figure_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "clippy.runs.tsv").write_text("nan\ta\n-1\tb\n1e9\tc\n\n7\n2.5\td with a\ttab\n")
    assert durations.kept(tmp_path, "clippy") == {"d with a\ttab": 2.5}


def test_a_word_of_a_command_has_them_all() -> None:
    word = durations.packed({"a": 12.4, "b": 0.2})
    took = durations.unpacked(word)
    assert took is not None
    assert [durations.of_run(took, what) for what in ("a", "b", "c")] == [12, 1, None]
    assert durations.packed({}) == ""


@pytest.mark.parametrize("word", ["", "x", "3fa91c=", "3FA91C=1", "3fa91c=1,", "3fa91c=\u0661", "3fa91c=1\n"])
def test_another_word_is_none(word: str) -> None:
    assert durations.unpacked(word) is None
