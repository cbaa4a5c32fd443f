"""`--cached`: what passed in the same surroundings does not run again, and whatever counts makes it run.

Real cargo, rustdoc and nox, on one workspace that each test leaves as it found it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration.gate.test_repeated_runs import RUNS_MAIN, ran, workspace
from tests.integration.sessions import session

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crates import CrateBuilder, Outcome

LIB = """\
//! ```
//! let _ = NAME::X;
//! LOGS_DOC
//! ```
pub const X: u8 = 0;

#[test]
fn lib() {
    LOGS_LIB
    assert!(std::fs::read_to_string("../data.txt").unwrap().starts_with("good"));
}

#[test]
#[ignore]
fn never() {}
"""
LOGS = (
    'use std::io::Write; writeln!(std::fs::File::options().append(true).open("LOG").unwrap(), "{}").unwrap();'
)
ON_ALDER = '[dependencies]\nalder = { path = "../alder" }\n'
ALL = {f"{name} {kind}" for name in ("alder", "birch") for kind in ("lib", "doc")} | {
    "cedar main",
    "cedar it",
}
USUAL: dict[str, str | None] = dict.fromkeys(("CI", "BUILDKITE", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST"))


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A workspace whose tests say in a file that they run."""

    crate: CrateBuilder
    log: Path

    def run(self, *words: str, **env: str) -> Outcome:
        """Run its tests with --cached."""
        self.log.write_text("")
        outcome = self.crate.nox("-s", "unit-tests", "--", "--cached", *words, env={**USUAL, **env})
        assert outcome.code == 0, outcome.text
        return outcome

    @property
    def ran(self) -> set[str]:
        """The tests that ran, by member and kind."""
        return {*self.log.read_text().splitlines()}


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """A workspace whose tests have passed: birch needs alder; cedar has a program, which its test starts."""
    log = tmp_path_factory.mktemp("log") / "log"
    logs = LOGS.replace("LOG", str(log))
    crate = workspace(tmp_path_factory.mktemp("a path"), alder="", birch=ON_ALDER, cedar="")
    crate.with_file("data.txt", "good\n").with_file(".gitignore", "target\n*.ignored\n")
    for name in ("alder", "birch"):
        text = LIB.replace("NAME", name)
        for kind in ("lib", "doc"):
            text = text.replace(f"LOGS_{kind.upper()}", logs.format(f"{name} {kind}"))
        crate.with_file(f"{name}/src/lib.rs", text)
    (crate.directory / "cedar/src/lib.rs").unlink()
    main = f"fn main() {{}}\n\n#[test]\nfn main_does() {{\n{logs.format('cedar main')}\n}}\n"
    it = RUNS_MAIN.replace("sample", "cedar").replace(
        "    assert", f"    {logs.format('cedar it')}\n    assert"
    )
    crate.with_file("cedar/src/main.rs", main).with_file("cedar/tests/it.rs", it).commit("all")
    workspace_ = Logged(crate=crate, log=log)
    workspace_.run()
    assert workspace_.ran == ALL
    return workspace_


def test_what_passed_does_not_run_again_nor_is_called_passed(passed: Logged, tmp_path: Path) -> None:
    outcome = passed.run(RUSTVMM_RESULTS=str(tmp_path), SHLVL="7")
    assert passed.ran == set()
    said = next(line for line in outcome.out.splitlines() if line.startswith("Cached, not run again: "))
    named = {"alder (src/lib.rs)", "birch (src/lib.rs)", "cedar (src/main.rs)", "it (tests/it.rs)"}
    assert {*said.partition(": ")[2].split(", ")} == named
    assert "Cached, not run again: alder (documentation), birch (documentation)\n" in outcome.out
    counts = json.loads((tmp_path / "unit-tests.json").read_text())["tests"]
    assert counts == {"passed": 0, "failed": 0, "ignored": 2, "cached": 6, "quarantined": 0}
    passed.crate.nox("-s", "unit-tests", env=USUAL)  # without being asked for it
    assert passed.ran == ALL


def test_the_list_says_what_would_not_run(passed: Logged) -> None:
    assert "cached" not in session(passed.crate, "unit-tests", "--list", env=USUAL).out
    passed.run()
    listed = passed.run("--list").out
    assert all(name in listed for name in ("alder (src/lib.rs)", "it (tests/it.rs)", "birch (documentation)"))
    with changed(passed, "birch/src/lib.rs"):
        listed = passed.run("--list").out
    assert "alder (src/lib.rs)" in listed
    assert "birch" not in listed.replace("birch with", "").replace("package=birch", "").replace("# birch", "")
    assert passed.ran == set()


class changed:  # noqa: N801 - reads as a word
    """A file of the workspace with one more line, which is gone afterwards."""

    def __init__(self, workspace: Logged, name: str, line: str = "// more\n") -> None:
        self.path, self.line = workspace.crate.directory / name, line
        self.before = self.path.read_text() if self.path.exists() else None

    def __enter__(self) -> None:
        self.path.write_text((self.before or "") + self.line)

    def __exit__(self, *_: object) -> None:
        if self.before is None:
            self.path.unlink()
        else:
            self.path.write_text(self.before)


BIRCH = {"birch lib", "birch doc"}


@pytest.mark.parametrize(
    ("name", "line", "again"),
    [
        ("birch/src/lib.rs", "// a comment changes no byte\n", BIRCH),
        ("alder/src/lib.rs", "pub const Y: u8 = 1;\n", {"alder lib", "alder doc", *BIRCH}),
        # of a program that others may start, documentation tests say nothing
        ("cedar/src/main.rs", "#[unsafe(no_mangle)]\npub fn more() {}\n", ALL - {"alder lib", "birch lib"}),
        ("cedar/tests/it.rs", "// a comment\n", {"cedar main", "cedar it"}),
        ("data.txt", "more\n", ALL),
        ("data.ignored", "more\n", ALL),
    ],
)
def test_what_a_change_may_reach_runs(passed: Logged, name: str, line: str, again: set[str]) -> None:
    passed.run()
    with changed(passed, name, line):
        passed.run()
    assert passed.ran == again


def test_another_environment_and_other_words_run_all(passed: Logged) -> None:
    passed.run(A="b")
    assert passed.ran == ALL
    passed.run("--", "--test-threads=1")
    assert passed.ran == ALL
    passed.run("--lib")
    assert passed.ran == {"alder lib", "birch lib"}
    passed.run("--lib")
    assert passed.ran == set()


def test_ci_runs_all_and_says_so(passed: Logged) -> None:
    assert "All tests run, --cached has no effect: in CI.\n" in passed.run(CI="true").out
    assert passed.ran == ALL


def test_register_can_ask_for_it_and_a_failure_is_never_skipped(tmp_path: Path) -> None:
    """The test fails each second time: it is flaky, so it runs each time."""
    crate = workspace(tmp_path / "crate", options="cached=True", one="", two="")
    turn = tmp_path / "turn"
    flaky = f"""
#[test]
fn flaky() {{
    let turn = std::path::Path::new("{turn}");
    let second = turn.exists();
    let _ = if second {{ std::fs::remove_file(turn) }} else {{ std::fs::write(turn, "") }};
    assert!(!second);
}}
"""
    crate.with_file("two/src/lib.rs", flaky).commit("flaky")

    def outcome() -> Outcome:
        return session(crate, "unit-tests", env=USUAL)

    turn.touch()
    first = outcome()
    assert first.code == 1, first.text
    assert ran(first) == ["one", "two"]
    second = outcome()
    assert second.code == 0, second.text
    assert second.out.startswith(
        "[1/3] the whole workspace with default features\nCached, not run again: one ("
    )
    assert "test flaky ... ok" in second.out
    assert outcome().code == 1
