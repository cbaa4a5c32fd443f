"""Which cargo commands a session comes to, and what is read from cargo's messages."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from rustvmm_sessions.catalog import standard
from rustvmm_sessions.gate import commands as words
from rustvmm_sessions.gate import matrix as gate
from rustvmm_sessions.gate.commands import GateRequest
from rustvmm_sessions.rust.cargo import Cargo, Package, Toolchain, Workspace
from rustvmm_sessions.rust.features import Run
from rustvmm_sessions.rust.messages import diagnostics

ROOT = Path("/crate")
LIB = Package(id="1", name="one", directory=ROOT, kinds=frozenset(["lib", "test"]))
BIN = Package(id="2", name="tool", directory=ROOT / "tool", kinds=frozenset(["bin"]))
ONE = Run(packages=("one",), features=("a", "b"), no_default=True)
MATRIX = "--package=one --no-default-features --features=a,b"


class KnownCargo(Cargo):
    """A cargo whose workspace is known without running it."""

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace(root=ROOT, target_directory=ROOT / "target", members=(LIB, BIN), current=LIB)

    @cached_property
    def toolchain(self) -> Toolchain:
        return Toolchain(release="1.95.0", host="x-gnu", llvm_major=22)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        one: dict[str, Any] = {
            "name": "one",
            "id": "1",
            "manifest_path": str(ROOT / "Cargo.toml"),
            "edition": "2021",
            "features": {"a": [], "b": []},
            "dependencies": [],
            "metadata": None,
            "targets": [target("lib", "one", doctest=True), target("test", "console")],
        }
        tool = {**one, "name": "tool", "id": "2", "targets": [target("bin", "tool")]}
        return {"workspace_root": str(ROOT), "workspace_members": ["1"], "packages": [one, tool]}


def target(kind: str, name: str, *, doctest: bool = False) -> dict[str, Any]:
    return {"kind": [kind], "name": name, "doctest": doctest}


def request(name: str, **given: Any) -> GateRequest:
    session = standard(name)
    assert session is not None
    return GateRequest(cargo=KnownCargo(directory=ROOT), session=session, called_from=ROOT, **given)


def commands(name: str, run: Run = ONE, *, triple: str = "", **given: Any) -> list[str]:
    asked = request(name, **given)
    assert asked.session.matrix is not None
    return [" ".join(words) for words in words.commands(asked, asked.session.matrix, run, triple)]


# The predecessor's commands, for one combination


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("clippy", f"clippy --all-targets {MATRIX} -- -D warnings -D clippy::undocumented_unsafe_blocks"),
        ("build-gnu", f"build --release --all-targets {MATRIX}"),
        ("unit-tests", f"test {MATRIX}"),
        ("unit-tests-release", f"test --release {MATRIX}"),
    ],
)
def test_a_session_is_one_command_for_a_combination_of_a_program(name: str, command: str) -> None:
    program = Run(packages=("tool",), features=ONE.features, no_default=True)
    expected = command.replace("--package=one", "--package=tool")
    assert commands(name, program, doctests=True) == [expected]


@pytest.mark.parametrize(("name", "profile"), [("unit-tests", ""), ("unit-tests-release", " --release")])
def test_doctests_are_a_command_of_their_own_as_they_need_not_wait(name: str, profile: str) -> None:
    for after in ((), ("--", "--test-threads=1")):
        given = " ".join(("", *after))
        assert commands(name, doctests=True, rest=after) == [
            f"test --tests{profile} {MATRIX}{given}",
            f"test --doc{profile} {MATRIX}{given}",
        ]


@pytest.mark.parametrize("words", [("sums",), ("--no-fail-fast",), ("--jobs", "1", "--", "sums")])
def test_words_for_cargo_test_mean_what_they_mean_to_it(words: tuple[str, ...]) -> None:
    given = f"{MATRIX} {' '.join(words)}"
    assert commands("unit-tests", doctests=True, rest=words) == [f"test {given}"]
    parts = [f"test --tests {given}", f"test --doc {given}"]  # each is skipped by a program of its own
    assert commands("unit-tests", doctests=True, rest=words, cached=True) == parts


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("build-musl", f"build --release --all-targets {MATRIX} --target=x-musl"),
        ("unit-tests-musl", f"test --tests {MATRIX} --target=x-musl"),
        ("unit-tests-musl-release", f"test --tests --release {MATRIX} --target=x-musl"),
    ],
)
def test_the_musl_sessions_name_their_target(name: str, command: str) -> None:
    assert commands(name, triple="x-musl", doctests=False) == [command]


def test_without_doctests_all_other_tests_run() -> None:
    assert commands("unit-tests-release", doctests=False) == [f"test --tests --release {MATRIX}"]


@pytest.mark.parametrize(
    "words",
    [
        ["--lib"],
        ["--test", "console"],
        ["--test=console"],
        ["--bins", "x"],
        ["--doc"],
        ["--all-targets"],
        ["--examples"],
        ["--benches"],
    ],
)
def test_who_chooses_targets_gets_these_alone(words: list[str]) -> None:
    given = " ".join(words)
    for doctests in (True, False):
        assert commands("unit-tests", doctests=doctests, rest=tuple(words)) == [f"test {MATRIX} {given}"]


def test_what_the_test_executable_gets_chooses_no_targets() -> None:
    rest = ("sums", "--", "--test", "--lib")
    assert commands("unit-tests", doctests=False, rest=rest) == [
        f"test --tests {MATRIX} sums -- --test --lib"
    ]


def test_nextest_leaves_the_doctests_to_cargo() -> None:
    assert commands("unit-tests", nextest=True, rest=("sums",)) == [
        f"nextest run --no-tests=pass {MATRIX} sums",
        f"test --doc {MATRIX} sums",
    ]
    assert commands("unit-tests-release", nextest=True, doctests=True) == [
        f"nextest run --no-tests=pass --cargo-profile=release {MATRIX}",
        f"test --doc --release {MATRIX}",
    ]
    assert commands("unit-tests", nextest=True, doctests=False) == [f"nextest run --no-tests=pass {MATRIX}"]


def test_nextest_runs_alone_where_there_can_be_no_doctests() -> None:
    assert commands("unit-tests", Run(packages=("tool",)), nextest=True) == [
        "nextest run --no-tests=pass --package=tool"
    ]
    assert commands("unit-tests", nextest=True, rest=("--lib",)) == [
        f"nextest run --no-tests=pass {MATRIX} --lib"
    ]
    assert commands("unit-tests", nextest=True, rest=("--doc",)) == [f"test {MATRIX} --doc"]


def test_a_fix_denies_nothing_and_passes_on_what_it_may_do() -> None:
    assert commands("clippy", fix=True, rest=("--allow-dirty",)) == [
        f"clippy --fix --all-targets {MATRIX} --allow-dirty"
    ]


@pytest.mark.parametrize(("machine", "runs"), [("x86_64", 4), ("aarch64", 4), ("riscv64", 1)])
def test_emulated_machines_run_all_features_alone(
    monkeypatch: pytest.MonkeyPatch, machine: str, runs: int
) -> None:
    monkeypatch.setattr(gate, "machine", lambda: machine)
    plan = gate._plan(request("clippy"), None)
    assert len(plan.runs) == runs
    assert "one with all features" in [run.describe() for run in plan.runs]


# What the compiler says


def message(text: str, *, level: str = "warning", code: str | None = "unused", spans: int = 1) -> str:
    return json.dumps(
        {
            "reason": "compiler-message",
            "message": {
                "rendered": f"{level}: {text}\n",
                "level": level,
                "code": code and {"code": code},
                "spans": [{}] * spans,
                "children": [],
            },
        },
        ensure_ascii=False,
    )


def said_of(messages: str) -> tuple[str, int]:
    found = diagnostics(messages)
    return found.text, found.warnings


def test_what_is_said_of_several_targets_is_said_and_counted_once() -> None:
    said = [message("one"), message("two"), message("one"), message("two")]
    assert said_of("\n".join(said)) == ("warning: one\nwarning: two\n", 2)


def test_the_compiler_s_own_count_and_errors_are_no_warnings() -> None:
    said = [message("bad", level="error"), message("1 warning emitted", code=None, spans=0)]
    assert said_of("\n".join(said)) == ("error: bad\nwarning: 1 warning emitted\n", 0)


def test_a_warning_without_a_place_counts_by_its_name() -> None:
    assert said_of(message("crate x is not used", code="unused_crates", spans=0))[1] == 1


@pytest.mark.parametrize("char", ["\u2028", "\x85", "\x1c", "\f", "\r"])
def test_a_warning_with_any_character_is_one_message(char: str) -> None:
    line = message(f"a{char}b")
    assert said_of(f"{line}\n{message('c')}\n") == (f"warning: a{char}b\nwarning: c\n", 2)


@pytest.mark.parametrize(
    "line", ["", "{", "{ not JSON", "{}", "[1]", "null", '{"reason": "build-finished"}', "text"]
)
def test_lines_that_are_no_messages_are_passed_over(line: str) -> None:
    assert said_of(f"{line}\n{message('c')}\n{line}") == ("warning: c\n", 1)


# The command that repeats a failure


@pytest.mark.parametrize(
    ("called_from", "env", "line"),
    [
        (ROOT, {}, "cargo test --features=a"),
        (ROOT / "tool", {}, "cd /crate && cargo test --features=a"),
        (ROOT, {"RUSTUP_TOOLCHAIN": "nightly"}, "RUSTUP_TOOLCHAIN=nightly cargo test --features=a"),
        (Path("/"), {"A": "it's; rm"}, "cd /crate && A='it'\"'\"'s; rm' cargo test --features=a"),
        (ROOT, {"A": "50%\x1f\\"}, "A=\"$(printf -- '50%%\\037\\\\')\" cargo test --features=a"),
    ],
)
def test_a_command_is_given_as_it_is_typed_where_nox_was_called(
    called_from: Path, env: dict[str, str], line: str
) -> None:
    session = standard("unit-tests")
    assert session is not None
    asked = GateRequest(cargo=KnownCargo(directory=ROOT, env=env), session=session, called_from=called_from)
    assert words.pasteable(asked, ("cargo", "test", "--features=a"), {}) == line
