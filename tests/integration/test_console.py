"""What becomes of a run whose output has no reader, or no room."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.crates import NOXFILE, CrateBuilder, Outcome, new_crate, run

if TYPE_CHECKING:
    from pathlib import Path

NOX = (sys.executable, "-m", "nox", "-s")
OWN = """

@crate.session
def version(session):
    crate.cargo(session, "--version")
"""
COMMAND = (sys.executable, "-m", "rustvmm_sessions.cli")
FULL = (
    "what is printed cannot be written: No space left on device\n"
    " --> standard output\n"
    "help: free some space, or let the output go elsewhere"
)


@pytest.fixture
def crate(tmp_path: Path) -> CrateBuilder:
    noxfile = NOXFILE.format(options="").replace("register()", f"crate = register(){OWN}")
    return new_crate(tmp_path / "crate").with_file("noxfile.py", noxfile)


def redirected(crate: CrateBuilder, redirection: str, *command: str) -> Outcome:
    """Run a command with its output sent elsewhere; its exit status is the last line of standard error."""
    script = f'{{ "$@"; echo "exit status $?" >&3; }} {redirection}'
    buffered: dict[str, str | None] = {"PYTHONUNBUFFERED": None}
    return run(["sh", "-c", f"{{ {script}; }} 3>&2", "sh", *command], cwd=crate.directory, env=buffered)


@pytest.mark.parametrize(
    ("closed", "command"),
    [
        *((closed, [*COMMAND, "init"]) for closed in ("<&-", ">&-", "2>&-")),
        *((closed, [*COMMAND, "doctor"]) for closed in ("<&-", ">&-", "2>&-")),
        *((closed, [*NOX, "fmt", "container"]) for closed in ("<&-", "2>&-")),  # nox itself needs its output
    ],
)
def test_a_stream_that_the_caller_closed_is_no_traceback(
    crate: CrateBuilder, closed: str, command: list[str]
) -> None:
    crate.with_git()
    outcome = redirected(crate, closed, *command)
    assert "Traceback" not in outcome.text
    status = {"init": 2, "doctor": 0, "container": 1}[command[-1]]
    assert f"exit status {status}\n" in outcome.err
    if command[-1] == "init" and closed == "<&-":
        assert "there is no terminal to ask on: nothing is written" in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        ["pipeline"],
        ["pipeline", "--", "--help"],
        ["doctor", "--", "--json"],
        ["clippy", "--", "--list"],
        ["unit-tests"],
        ["version"],
    ],
    ids=" ".join,
)
def test_a_session_whose_output_cannot_be_written_is_one_message(
    crate: CrateBuilder, words: list[str]
) -> None:
    outcome = redirected(crate, ">/dev/full", *NOX, *words)
    assert f"error: {FULL}\n" in outcome.err
    assert outcome.err.endswith(f"nox > Session {words[0]} aborted.\nexit status 1\n")
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("words", [["pipeline"], ["doctor", "--json"]], ids=" ".join)
def test_a_command_whose_output_cannot_be_written_is_one_message(
    crate: CrateBuilder, words: list[str]
) -> None:
    outcome = redirected(crate, ">/dev/full", *COMMAND, *words)
    assert outcome.err == f"error: {FULL}\nexit status 2\n"


def test_a_summary_that_cannot_be_written_is_one_message(crate: CrateBuilder) -> None:
    outcome = redirected(crate, ">/dev/full", *NOX, "fmt", "doc")
    assert outcome.err.endswith(f"error: {FULL}\nexit status 0\n")
    assert "Traceback" not in outcome.err


def test_a_run_goes_on_where_nobody_reads_its_messages(crate: CrateBuilder) -> None:
    outcome = redirected(crate, "2>&1 | true", *NOX, "unit-tests", "pipeline")
    assert outcome.err == "exit status 0\n"
