"""What the pages say: their commands are taken by the programs, and their words are in the code."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import tomllib
from typing import TYPE_CHECKING

import pytest

import rustvmm_sessions
from rustvmm_sessions import catalog, cli, standard
from tests.crates import REPOSITORY
from tests.documents import PAGES, blocks, commands

if TYPE_CHECKING:
    from pathlib import Path

README = (REPOSITORY / "README.md").read_text()
TWO_COMMANDS = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)
OTHERS = {"buildkite-agent", "cargo", "cd", "docker", "git", "pip", "pipx", "podman"}
OTHERS |= {"pytest", "python3", "rustup", "sha256sum", "sudo", "uv"}
PLACEHOLDERS = {"NAME", "VALUE...", "SESSION...", "LABEL", "NAME-2"}
OWN = {"build_bzimage"}
"""Sessions that a page's own example defines."""


def test_the_two_commands_are_the_first_code_of_the_readme() -> None:
    coverage, tests = TWO_COMMANDS
    assert coverage.endswith("nox -f samples/uart/noxfile.py -s setup coverage")
    assert tests.endswith("nox -s tests")
    assert README.index(tests) < README.index("```")


def test_ci_runs_the_second_command_word_for_word() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text()
    (pattern,) = re.findall(r"command=\$\(sed -n '/(.*)/p' README\.md\)", script)
    selected = [line for line in README.splitlines() if re.search(pattern, line)]
    assert selected == ["    " + TWO_COMMANDS[1]]


def test_the_readme_is_short_and_names_every_session_and_page() -> None:
    assert len(README.splitlines()) <= 150
    for session in catalog.STANDARD:
        assert re.search(rf"`{re.escape(session.name)}`", README), session.name
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in README
    pages = "".join(page.read_text() for page in PAGES[1:])
    assert not [session.name for session in catalog.STANDARD if session.name not in pages]


def test_the_badges_are_true() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert f"Python {project['requires-python'].removeprefix('>=')}+" in README
    assert f"[{project['license']}]" in README


def test_the_settings_page_asks_for_the_table_of_every_option() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text()
    for name in ("register", "overrides", "bench", "commit_format", "fuzz", "targets"):
        assert f"<!-- options: {name} -->" in page
    assert inspect.signature(rustvmm_sessions.register).parameters


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_one_that_its_program_takes(page: Path) -> None:
    for words in commands(page):
        program = words[0].rpartition("/")[2]
        if program == "nox":
            check_nox(words[1:])
        elif program == "rustvmm-sessions":
            check_command(words[1:])
        else:
            assert program in OTHERS, words


def check_nox(words: list[str]) -> None:
    own, _, after = " ".join(words).partition(" -- ")
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("-s", nargs="+", default=[])
    for option in ("-t", "-j", "-f", "-k"):
        parser.add_argument(option)
    parser.add_argument("-l", action="store_true")
    given = parser.parse_args(re.sub(r"(?:^| )(?:-j|--)$", "", own).split())
    assert given.t is None or any(given.t in session.tags for session in catalog.STANDARD)
    if given.f:  # this project's own noxfile has other sessions than a crate's
        return
    for name in given.s:
        session = catalog.named(name)
        ours = re.search(
            rf"^def {name.replace('-', '_')}\(", (REPOSITORY / "noxfile.py").read_text(), re.MULTILINE
        )
        assert session or ours or name in PLACEHOLDERS | OWN, name
        if session and after:
            check_words(session, after.split())


def check_words(session: catalog.StandardSession, words: list[str]) -> None:
    """Fail if the session does not know an option; values are placeholders of many forms."""
    known = {string for action in standard.parser(session)._actions for string in action.option_strings}
    options = [word for word in words if word.startswith("-") and word != "--"]
    if "--" in words or session.forwards:
        options = [word for word in options if word in known]
    assert {option.partition("=")[0] for option in options} <= known, (session.name, words)


def check_command(words: list[str]) -> None:
    name, *options = words
    if name.startswith("-"):
        return
    parser = argparse.ArgumentParser()
    cli._COMMANDS[name][1](parser)
    known = {string for action in parser._actions for string in action.option_strings}
    given = {word.partition("=")[0] for word in options if word.startswith("-")}
    assert given <= known, words


def test_every_heading_of_troubleshooting_is_a_message() -> None:
    messages = printed_by_the_library()
    for heading in re.findall(
        r"^## (.+)$", (REPOSITORY / "docs" / "troubleshooting.md").read_text(), re.MULTILINE
    ):
        variable = heading.rpartition(" ")[0] + " \0"
        assert any(heading in text or variable in text for text in messages), heading


def printed_by_the_library() -> list[str]:
    """Return all strings of the library; what is filled in is a NUL."""
    found = []
    for file in (REPOSITORY / "rustvmm_sessions").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values)
                )
    return found


def test_every_output_is_run_or_stands_in_a_sample() -> None:
    """A block of output names the sample it is run in; other text is a sample's file, or its README's."""
    samples = [path.read_text() for path in (REPOSITORY / "samples").glob("*/README.md")]
    samples += [path.read_text() for path in (REPOSITORY / "samples").glob("*/tests/coverage")]
    samples += [path.read_text() for path in (REPOSITORY / "tests" / "integration").rglob("test_*.py")]
    for page in PAGES:
        for block in blocks(page):
            assert block.language in ("console", "sh", "python", "toml", "yaml", "json", "rust", "text"), page
            if block.language == "console":
                assert block.place, block.text
            if block.language == "text":
                assert any(block.text in sample for sample in samples), block.text
