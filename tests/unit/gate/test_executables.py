"""Which files decide what a run of tests does, read from cargo's messages."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.gate.executables import built_files

if TYPE_CHECKING:
    from pathlib import Path


def artifact(path: Path, package: str = "one", *, test: bool = False, doctest: bool = False) -> str:
    """Make a file, and the message that cargo has for it."""
    path.touch()
    return json.dumps(
        {
            "reason": "compiler-artifact",
            "package_id": package,
            "target": {"doctest": doctest},
            "profile": {"test": test},
            "filenames": [str(path)],
        }
    )


def names(messages: list[str], *, selected: tuple[str, ...] = ("one",), doctests: bool = False) -> set[str]:
    files = built_files(
        "\n".join(messages), members={"one", "two"}, selected=set(selected), doctests=doctests
    )
    return {os.path.basename(file.path) for file in files}  # noqa: PTH119 - a string


def test_files_of_members_decide_and_those_of_dependencies_are_in_their_names(tmp_path: Path) -> None:
    messages = [
        artifact(tmp_path / "libserde.rlib", "serde"),
        artifact(tmp_path / "libone.rlib"),
        artifact(tmp_path / "one-1", test=True),
        '{"reason": "build-finished", "success": true}',
        "what a procedural macro prints",
        "[1]",
    ]
    assert names(messages) == {"libone.rlib", "one-1"}
    assert names([]) == set()


def test_a_file_that_is_built_anew_is_another(tmp_path: Path) -> None:
    def files() -> frozenset[object]:
        return frozenset(
            built_files(
                artifact(tmp_path / "one-1", test=True), members={"one"}, selected={"one"}, doctests=False
            )
        )

    first = files()
    os.utime(tmp_path / "one-1", ns=(1, 1))
    assert files() != first
    os.utime(tmp_path / "one-1", ns=(1, 1))
    second = files()
    (tmp_path / "fresh").touch()
    os.utime(tmp_path / "fresh", ns=(1, 1))
    (tmp_path / "fresh").replace(tmp_path / "one-1")
    assert files().isdisjoint(second)


def test_a_file_that_is_gone_decides_nothing(tmp_path: Path) -> None:
    message = artifact(tmp_path / "one-1", test=True)
    (tmp_path / "one-1").unlink()
    assert names([message, artifact(tmp_path / "one-2", test=True)]) == set()


@pytest.mark.parametrize("doctests", [True, False])
def test_doctests_are_told_by_the_test_executable_of_their_library(tmp_path: Path, *, doctests: bool) -> None:
    library = artifact(tmp_path / "libone.rlib", doctest=True)
    executable = artifact(tmp_path / "one-1", test=True, doctest=True)
    other = artifact(tmp_path / "whole-1", test=True)
    needed = artifact(tmp_path / "libtwo.rlib", "two", doctest=True)  # its own are not run
    assert names([needed, library, executable], doctests=doctests) == {"libtwo.rlib", "libone.rlib", "one-1"}
    without = names([library, other], doctests=doctests)
    assert without == (set() if doctests else {"libone.rlib", "whole-1"})
    both = names([needed, library, executable], selected=("one", "two"), doctests=doctests)
    assert bool(both) is not doctests
