"""What the README promises: its two commands are those that CI runs, its messages are those printed."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import rustvmm_sessions
from rustvmm_sessions import catalog
from tests.crates import REPOSITORY, new_crate

if TYPE_CHECKING:
    from pathlib import Path

README = (REPOSITORY / "README.md").read_text()
COMMANDS = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)


def test_the_two_commands_are_the_first_code_of_the_readme() -> None:
    coverage, tests = COMMANDS
    assert coverage.endswith("nox -f samples/uart/noxfile.py -s setup coverage")
    assert tests.endswith("nox -s tests")
    assert README.index(tests) < README.index("```")


def test_ci_runs_the_second_command_word_for_word() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text()
    (pattern,) = re.findall(r"command=\$\(sed -n '/(.*)/p' README\.md\)", script)
    selected = [line for line in README.splitlines() if re.search(pattern, line)]
    assert selected == ["    " + COMMANDS[1]]


def test_every_standard_session_and_option_is_in_the_readme() -> None:
    for session in catalog.STANDARD:
        assert re.search(rf"\b{re.escape(session.name)}\b", README), session.name
    for option in inspect.signature(rustvmm_sessions.register).parameters:
        assert f"`{option}=" in README, option


def test_the_message_for_a_wrong_option_is_the_one_shown(tmp_path: Path) -> None:
    crate = new_crate(tmp_path, options="workspce=False")
    outcome = crate.nox("-l")
    assert outcome.code == 2
    assert outcome.err in README
