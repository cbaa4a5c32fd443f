"""The results of the sessions of one run of nox, and where they go."""

from __future__ import annotations

import atexit
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions import outcomes
from rustvmm_sessions.outcomes import VARIABLE, add, collect, recorded_sessions
from rustvmm_sessions.results import Result
from rustvmm_sessions.sessions import _not_shown_twice

if TYPE_CHECKING:
    from collections.abc import Callable

FMT = Result(session="fmt", result="passed", seconds=0.26)
TESTS = Result(
    session="unit-tests",
    result="failed",
    seconds=83.04,
    message="sample with feature a fails; repeat it:\n  cargo test --features=a\n  exit status 101",
    fix="cargo test --features=a",
    output="\nrunning 1 test\n\ntest sums ... FAILED\n\n",
)
AUDIT = Result(
    session="audit", result="skipped", seconds=0, message="audit is for aarch64\n  this is another machine"
)


# From the sessions to the summary


@pytest.fixture
def at_exit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Callable[[], None]]:
    """What runs when the process ends; the temporary directory is the test's own."""
    registered: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", lambda f, *args: registered.append(lambda: f(*args)))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "")
    return registered


def test_the_process_that_began_to_collect_prints_the_summary(
    at_exit: list[Callable[[], None]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    collect()
    collect()  # as every child of `nox -j` does
    add(FMT)
    add(TESTS)
    assert capsys.readouterr().out == ""
    assert len(at_exit) == 1
    at_exit[0]()
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said if line.startswith(("fmt ", "unit-tests  "))] == [
        ["fmt", "passed"],
        ["unit-tests", "failed"],
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_prints_nothing_and_leaves_the_folder(
    at_exit: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    collect()
    add(FMT)
    add(TESTS)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    at_exit[0]()
    assert capsys.readouterr().out == ""
    assert (Path(os.environ[VARIABLE]) / "outcomes").exists()


def test_text_that_would_end_a_line_or_move_the_cursor_comes_through_escaped(
    at_exit: list[Callable[[], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    collect()
    add(FMT)
    add(Result(session="doc", result="failed", seconds=1, message="a\u2028b\x85c\x1b[2Kd"))
    at_exit[0]()
    out = capsys.readouterr().out
    assert "doc      failed      1.0  a\n" in out
    assert "\x1b" not in out


def test_a_line_that_a_full_disk_cut_off_costs_that_session_alone(
    at_exit: list[Callable[[], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    collect()
    add(FMT)
    add(AUDIT)
    with (Path(os.environ[VARIABLE]) / "outcomes").open("a") as file:
        file.write('{"session": "doc", "resu')
    assert recorded_sessions() == ["fmt", "audit"]
    at_exit[0]()
    assert "2 sessions in " in capsys.readouterr().out


def test_a_summary_that_cannot_be_written_is_no_fault_of_the_session(
    at_exit: list[Callable[[], None]],
) -> None:
    collect()
    (Path(os.environ[VARIABLE]) / "outcomes").mkdir()
    add(FMT)


@pytest.mark.parametrize("folder", [None, "", "relative", "/not/there"])
def test_where_nobody_collects_nothing_is_written(
    folder: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if folder is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, folder)
    add(FMT)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_parent_that_has_gone_is_no_reason_to_print_nothing(
    at_exit: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "/not/there")
    collect()
    assert len(at_exit) == 1
    assert Path(os.environ[VARIABLE]).is_dir()
    assert outcomes.VARIABLE == "RUSTVMM_OUTCOMES"


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ("Ran 2 sessions in 3 seconds:", False),
        ("Ran 2 sessions:", False),
        ("* fmt: success", False),
        ("* unit-tests: failed, took 83 seconds", False),
        ("Ran 3 sessions:", True),  # one is not ours
        ("* foreign: success", True),
        ("Session fmt was successful.", True),
    ],
)
def test_nox_lists_no_session_that_the_end_of_the_run_shows(
    at_exit: list[Callable[[], None]], message: str, printed: bool
) -> None:
    collect()
    add(FMT)
    add(TESTS)
    record = logging.LogRecord("nox", logging.INFO, "", 0, message, None, None)
    assert _not_shown_twice(record) is printed
