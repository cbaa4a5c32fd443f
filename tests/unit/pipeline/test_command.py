"""`rustvmm-sessions pipeline` as a user calls it; the corpus has the ordinary cases."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from rustvmm_sessions.cli import main

OLD = "steps: []  # old\n"


@dataclass(frozen=True)
class Crate:
    """The working directory, and the command run in it."""

    directory: Path
    capture: pytest.CaptureFixture[str]

    def describe(self, *tests: dict[str, Any], name: str = "tests.json") -> Crate:
        return self.with_file(name, json.dumps({"tests": tests}, indent=1))

    def with_file(self, name: str, content: str | bytes) -> Crate:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def run(self, *words: str) -> tuple[int, str, str]:
        try:
            code = main(["pipeline", *words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        shown = self.capture.readouterr()
        return code, shown.out, shown.err

    def steps(self, *words: str) -> list[dict[str, Any]]:
        code, out, err = self.run(*words)
        assert code == 0, err
        steps: list[dict[str, Any]] = yaml.safe_load(out)["steps"]
        return steps


@pytest.fixture
def crate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crate:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in list(os.environ):
        if name.endswith(("_AGENT_TAGS", "_TAG_HYPERVISOR")) or name in (
            "DOCKER_PLUGIN_CONFIG",
            "TESTS_TO_SKIP",
            "TIMEOUTS_MIN",
        ):
            monkeypatch.delenv(name)
    return Crate(tmp_path, capsys)


A = {"test_name": "a", "command": "make"}


def with_(more: str) -> bytes:
    """Return a description of one test, on line 2, with more keys."""
    return f'{{"tests": [\n{{"test_name": "a", "command": "x", {more}}}]}}'.encode()


BAD: list[tuple[bytes, list[str]]] = [
    (b'{"tests": [\n\xff]}', ["t.json:2", "not UTF-8"]),
    (b"", ["t.json:1", "invalid JSON"]),
    (b'{"tests": [' + b" " * 10_000_000 + b"]}", ["t.json", "1 MiB"]),
    (b"[" * 200_000, ["t.json:1", "nested too deeply"]),
    (with_('\n"b": 1,\n"b": 2'), ["t.json:4", "'b'", "twice, first in line 3"]),
    (b'{"tests": [\n{"test_name": "a", "command": 5}]}', ["t.json:2", "'a'", "'command'", "a string or"]),
    (b'{"tests": [\n5]}', ["t.json:2", "test 1", "object"]),
    (b'{"tests": [\n{"test_name": 5, "command": "x"}]}', ["t.json:2", "test_name", "a string"]),
    (with_('"docker_plugin": [1]'), ["t.json:2", "'docker_plugin'", "object"]),
    (with_('"timeout_in_minutes": "5"'), ["t.json:2", "whole number", "'5'"]),
    (with_('"timeout_in_minutes": true'), ["t.json:2", "whole number"]),
    (with_('"platform": ["arm64"]'), ["t.json:2", "'arm64'", "'aarch64'"]),
    (with_('"platform": ["x86_64; id"]'), ["t.json:2", "'x86_64; id'"]),
    (with_('"platform": ["x86_64", "mips"]'), ["t.json:2", "'mips'", "aarch64, riscv64, x86_64"]),
    (with_('"scope": "workspce"'), ["t.json:2", "'workspce'", "'workspace'"]),
    (with_('"timeout": 3'), ["t.json:2", "'timeout'", "'timeout_in_minutes'"]),
    (with_('"priorty": 3'), ["t.json:2", "'priorty'", "'priority'"]),
    (with_('"queue": "\\ud800"'), ["\\ud800", "half of a pair"]),
]


@pytest.mark.parametrize(("content", "parts"), BAD)
def test_a_wrong_description_is_one_message(crate: Crate, content: bytes, parts: list[str]) -> None:
    crate.with_file("t.json", content).with_file("out.yml", OLD)
    code, out, err = crate.run("-t", "t.json", "--output", "out.yml")
    assert (code, out) == (2, "")
    assert [part for part in parts if part not in err] == []
    assert "help:" in err
    assert Path("out.yml").read_text() == OLD
    assert sorted(p.name for p in crate.directory.iterdir()) == ["out.yml", "t.json"]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.symlink_to("gone"), "points to nothing"),
        (lambda path: path.mkdir(), "a directory stands where"),
    ],
)
def test_files_that_are_none(crate: Crate, make: Any, what: str) -> None:
    make(crate.directory / "it")
    for option in ("-t", "-p", "--include", "--check", "--diff"):
        code, out, err = crate.run(option, "it")
        assert (code, out) == (2, ""), option
        assert what in err
        assert "--> it" in err


STEP_FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"command": "echo ${{ matrix.x }}"}, "cannot interpolate 'echo ${{ matrix.x }}'", "'command'"),
    ({"env": {"A": "${X"}}, "closing brace is missing", "'env'"),
    ({"command": "echo ${X:bad}"}, "offset", "'command'"),
    ({"depends_on": ["nobody"]}, "depends_on names 'nobody'", "'depends_on'"),
    ({"depends_on": [{"step": "nobody"}]}, "depends_on names 'nobody'", "'depends_on'"),
    ({"matrix": []}, "the matrix is empty", "'matrix'"),
    ({"matrix": {"setup": {"a": []}}}, "the matrix is empty", "'matrix'"),
    ({"key": "k", "platform": ["x86_64", "aarch64"]}, "two steps, 'a-x86_64' and 'a-aarch64'", "'key'"),
]


UUID = "01234567-89ab-CDEF-0123-456789abcdef"
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"skip": "x" * 71}, f"refuses skip '{'x' * 40}'..., of 71 characters", "'skip'"),
    ({"skip": 5}, "refuses skip 5", "'skip'"),
    ({"key": "a b"}, "refuses key 'a b'", "'key'"),
    ({"key": UUID}, f"refuses key '{UUID}'", "'key'"),
    ({"key": "x" * 101}, "of 101 characters", "'key'"),
    ({"key": 5}, "refuses key 5", "'key'"),
    ({"id": "ä"}, "refuses id 'ä'", "'id'"),
    ({"retry": {"automatic": {"limit": 11}}}, "refuses retry.automatic.limit 11", "'limit'"),
    ({"retry": {"automatic": [{"limit": 1}, {"limit": -1}]}}, "retry.automatic.1.limit -1", "'limit'"),
    ({"retry": {"automatic": [{"limit": True}]}}, "retry.automatic.0.limit True", "'limit'"),
    ({"retry": {"automatic": {"exit_status": "1"}}}, "retry.automatic.exit_status '1'", "'exit_status'"),
    ({"retry": {"automatic": "yes"}}, "refuses retry.automatic 'yes'", "'automatic'"),
    ({"retry": "yes"}, "refuses retry 'yes'", "'retry'"),
    ({"retry": {"manual": {"allowed": "no"}}}, "retry.manual.allowed 'no'", "'allowed'"),
    ({"soft_fail": [{"exit_status": "one"}]}, "soft_fail.0.exit_status 'one'", "'exit_status'"),
    ({"soft_fail": "no"}, "refuses soft_fail 'no'", "'soft_fail'"),
    ({"parallelism": "2"}, "refuses parallelism '2'", "'parallelism'"),
    ({"priority": 1.5}, "refuses priority 1.5", "'priority'"),
    ({"matrix": ["a"], "parallelism": 2}, "parallelism beside a matrix", "'parallelism'"),
    ({"matrix": {"setup": ["a"], "adjustments": [{"with": "a", "skip": "x" * 71}]}}, "71 char", "'skip'"),
]
TAKEN: list[dict[str, Any]] = [
    {"skip": "x" * 70},
    {"skip": ""},
    {"skip": None},
    {"key": "x" * 100},
    {"key": "A-b_c:1"},
    {"key": "build-${BUILDKITE_BUILD_NUMBER}"},
    {"key": UUID[:-1]},
    {"retry": {"automatic": True, "manual": "false"}},
    {"retry": {"automatic": [{"exit_status": -1, "limit": 10}, {"exit_status": [1, 2], "limit": 0}]}},
    {"soft_fail": [{"exit_status": "*"}, {"exit_status": 1}]},
    {"soft_fail": "true"},
    {"parallelism": "${COUNT}"},
    {"priority": -1},
]


@pytest.mark.parametrize(("more", "what", "key"), REFUSED)
def test_values_that_buildkite_refuses(crate: Crate, more: dict[str, Any], what: str, key: str) -> None:
    code, out, err = crate.describe({**A, **more}).run("-t", "tests.json")
    assert (code, out) == (2, "")
    assert what in err
    assert f"test 'a', key {key}" in err
    step = json.dumps({"command": "x", **more})
    crate.describe(A).with_file("p.yml", f"steps:\n- {step}\n")
    code, out, err = crate.run("-t", "tests.json", "--include=p.yml")
    assert (code, out) == (2, "")
    assert what in err
    assert f"p.yml:2, key {key}" in err


@pytest.mark.parametrize("more", TAKEN)
def test_values_that_buildkite_takes(crate: Crate, more: dict[str, Any]) -> None:
    assert crate.describe({**A, **more}).steps("-t", "tests.json")


@pytest.mark.parametrize(("more", "what", "key"), STEP_FAULTS)
def test_steps_that_buildkite_would_fail_on(crate: Crate, more: dict[str, Any], what: str, key: str) -> None:
    crate.describe({**A, **more})
    code, out, err = crate.run("-t", "tests.json")
    assert (code, out) == (2, "")
    assert what in err
    assert f"test 'a', key {key}" in err


@pytest.mark.parametrize(
    "text", ["$$X ${X} ${X:-a} ${X-$Y} ${X?no} ${X:1:2} ${X: -1}", "$(id) $1 $@ $", "\\${{ x }}"]
)
def test_dollars_that_the_agent_takes(crate: Crate, text: str) -> None:
    assert crate.describe({**A, "command": text}).steps("-t", "tests.json")[0]["command"] == text


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("platfrom", "platform"),
        ("Platform", "platform"),
        ("timeout_min", "timeout_in_minutes"),
        ("docker", "docker_plugin"),
        ("soft-fail", "soft_fail"),
        ("plugin", "plugins"),
    ],
)
def test_a_misspelt_key_is_named_with_the_right_one(crate: Crate, key: str, meant: str) -> None:
    code, out, err = crate.describe({**A, key: "x"}).run("-t", "tests.json")
    assert (code, out) == (2, "")
    assert f"tests.json:6, test 'a', key {key!r}" in err
    assert f"did you mean {meant!r}?" in err


def test_a_key_that_resembles_nothing_is_passed_on_with_a_warning(crate: Crate) -> None:
    crate.describe({**A, "comment": "why"})
    code, out, err = crate.run("-t", "tests.json")
    assert code == 0
    assert yaml.safe_load(out)["steps"][0]["comment"] == "why"
    assert "warning: tests.json:6, test 'a', key 'comment'" in err


def test_names_in_variables_may_be_ours_or_rust_vmm_cis(
    crate: Crate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTS_TO_SKIP", '["fmt", "unittests-gnu"]')
    labels = [step["label"] for step in crate.steps()]
    assert not any(label.startswith(("style", "unittests-gnu-x")) for label in labels)
    assert "doc" in labels


def test_values_of_variables_are_the_authors_words(crate: Crate, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"tests": ["style"], "cfg": {"environment": ["HOME=$$HOME", "B=${BUILDKITE_BRANCH}"]}}
    monkeypatch.setenv("DOCKER_PLUGIN_CONFIG", json.dumps(value))
    (step,) = (step for step in crate.steps() if step["label"] == "style")
    (options,) = step["plugins"][0].values()
    assert options["environment"] == ["HOME=$$HOME", "B=${BUILDKITE_BRANCH}"]


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("X86_LINUX_AGENT_TAGS", '{"tests": [], "cfg": {"a": "b"}}', ["tests is a list"]),
        ("X86_LINUX_AGENT_TAGS", '{"tests": ["doc"], "cfg": {}}', ["cfg is an object"]),
        ("DOCKER_PLUGIN_CONFIG", '{"tests": ["doc"], "cfg": {"a": 1}, "cfgs": 1}', ["'cfgs'", "'cfg'"]),
        ("TIMEOUTS_MIN", '{"doc": 0}', ["'doc'", "above 0"]),
        ("TIMEOUTS_MIN", '{"doc": 5, "doc": 6}', ["'doc'", "twice"]),
        ("TESTS_TO_SKIP", '["doc", 5]', ["a list of names"]),
    ],
)
def test_wrong_variables(
    crate: Crate, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, parts: list[str]
) -> None:
    monkeypatch.setenv(variable, value)
    code, out, err = crate.run()
    assert (code, out) == (2, "")
    assert [part for part in (*parts, variable) if part not in err] == []


def test_dependents_of_a_changed_member_run_too(crate: Crate) -> None:
    manifest = '[package]\nname = "{}"\nversion = "0.1.0"\n[dependencies]\n{}\n'
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["low", "mid", "top", "alone"]\n')
    crate.with_file("low/Cargo.toml", manifest.format("low", ""))
    crate.with_file("mid/Cargo.toml", manifest.format("mid", 'low = { path = "../low" }'))
    crate.with_file("top/Cargo.toml", manifest.format("top", 'mid = { path = "../mid" }'))
    crate.with_file("alone/Cargo.toml", manifest.format("alone", ""))
    crate.describe(A)
    crate.describe({**A, "test_name": "own"}, name="top/.buildkite/test_description.json")
    changed = {s["label"]: s["if_changed"] for s in crate.steps("--workspace-selective", "-t", "tests.json")}
    shared = ["Cargo.toml", ".buildkite/**", "rust-vmm-ci/**"]
    assert changed == {
        "alone: a": ["alone/**", *shared],
        "low: a": ["low/**", *shared],
        "mid: a": ["mid/**", "low/**", *shared],
        "top: a": ["top/**", "mid/**", "low/**", *shared],
        "top: own": ["top/**", "mid/**", "low/**"],
    }


def test_a_member_that_needs_very_many_names_the_folders_around_them(crate: Crate) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["crates/*"]\n').describe(A)
    for number in range(40):
        needs = f'c{number - 1:02} = {{ path = "../c{number - 1:02}" }}' if number else ""
        text = f'[package]\nname = "c{number:02}"\nversion = "0.1.0"\n[dependencies]\n{needs}\n'
        crate.with_file(f"crates/c{number:02}/Cargo.toml", text)
    changed = {s["label"]: s["if_changed"] for s in crate.steps("--workspace-selective", "-t", "tests.json")}
    assert changed["c25: a"][:2] == ["crates/c25/**", "crates/c24/**"]
    assert len(changed["c25: a"]) == 26 + 3
    assert changed["c26: a"][:2] == ["crates/c26/**", "crates/**"]
    assert len(changed["c26: a"]) == 2 + 3


def test_steps_run_on_what_a_member_reads_elsewhere(crate: Crate) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["a", "b"]\n').with_file("Cargo.lock", "").describe(
        A
    )
    for name in ("a", "b"):
        crate.with_file(f"{name}/Cargo.toml", f'[package]\nname = "{name}"\nversion = "0.1.0"\n')
    crate.with_file("a/src/lib.rs", 'const T: &str = include_str!("../../shared/t.txt");\n')
    crate.with_file("b/build.rs", 'fn main() { std::fs::read("x").unwrap(); }\n')
    code, out, err = crate.run("--workspace-selective", "-t", "tests.json")
    assert code == 0
    changed = {step["label"]: step["if_changed"] for step in yaml.safe_load(out)["steps"]}
    shared = ["Cargo.lock", "Cargo.toml", ".buildkite/**", "rust-vmm-ci/**"]
    assert changed == {"a: a": ["a/**", "shared/t.txt", *shared], "b: a": ["**", *shared]}
    assert err == "warning: the steps of b run on every change: b/build.rs does not say what it reads\n"


def test_a_root_package_is_affected_by_every_change(crate: Crate) -> None:
    crate.with_file("Cargo.toml", '[package]\nname = "app"\nversion = "0.1.0"\n').describe(A)
    (step,) = crate.steps("--workspace-selective", "-t", "tests.json")
    assert step["label"] == "app: a"
    assert step["if_changed"][0] == "**"


def test_a_folder_that_a_shell_would_misread_is_refused(crate: Crate) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["a;id"]\n')
    crate.with_file("a;id/Cargo.toml", '[package]\nname = "x"\nversion = "0.1.0"\n')
    crate.describe({**A, "command": "cd {crate_path}"})
    code, out, err = crate.run("--workspace-selective", "-t", "tests.json")
    assert (code, out) == (2, "")
    assert "'a;id' holds characters" in err


def test_standard_tests_of_a_workspace_run_in_each_member(crate: Crate) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["one"]\n').with_file(".platform", "x86_64\n")
    crate.with_file("one/Cargo.toml", '[package]\nname = "one"\nversion = "0.1.0"\n')
    crate.with_file("one/.platform", "x86_64\n")
    commands = {step["label"]: step["command"] for step in crate.steps("--workspace-selective")}
    assert commands["one: build-gnu-x86_64"] == "cd one && nox -s build-gnu"
    assert commands["style"] == "nox -s fmt"
    assert commands["commit-format"] == "nox -s commit-format"


def test_a_pipeline_of_megabytes_is_replaced(crate: Crate) -> None:
    crate.describe(*({**A, "test_name": f"{number}"} for number in range(5000)))
    assert crate.run("-t", "tests.json", "--output", "ci.yml")[0] == 0
    assert Path("ci.yml").stat().st_size > 1 << 20

    assert crate.run("-t", "tests.json", "--output", "ci.yml")[0] == 0


def test_output_replaces_a_file_and_nothing_is_printed(crate: Crate) -> None:
    crate.describe(A).with_file("out.yml", OLD)
    (crate.directory / "out.yml").chmod(0o600)
    assert crate.run("-t", "tests.json", "--output", "out.yml") == (0, "", "")
    assert yaml.safe_load(Path("out.yml").read_text())["steps"][0]["label"] == "a"
    assert (crate.directory / "out.yml").stat().st_mode & 0o777 == 0o600


def test_check_passes_what_says_the_same_and_fails_what_is_stale(crate: Crate) -> None:
    crate.describe(A, {**A, "test_name": "b"})
    crate.run("-t", "tests.json", "--output", "ci.yml")
    before = Path("ci.yml").read_text()
    Path("ci.yml").write_text(f"# by hand\n{before}")
    assert crate.run("-t", "tests.json", "--check", "ci.yml")[:2] == (0, "ci.yml is up to date\n")

    crate.describe({**A, "timeout_in_minutes": 30}, {**A, "test_name": "c"})
    code, out, err = crate.run("-t", "tests.json", "--check", "ci.yml")
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "error: ci.yml is not the pipeline of today:",
        "- b",
        "~ a: timeout_in_minutes: 15 -> 30",
        "+ c",
        "help: write it anew with --output",
    ]
    assert Path("ci.yml").read_text() == f"# by hand\n{before}"


def test_diff_shows_what_changes(crate: Crate) -> None:
    crate.describe(A)
    crate.with_file("old.yml", "- label: a\n  command: old\n- label: gone\n  command: x\n- wait\n")
    code, out, _ = crate.run("-t", "tests.json", "--diff", "old.yml")
    assert code == 0
    assert "- gone\n" in out
    assert "~ a: command: 'old' -> 'make'\n" in out
    assert "~ a: timeout_in_minutes comes: 15\n" in out
    crate.run("-t", "tests.json", "--output", "new.yml")
    assert crate.run("-t", "tests.json", "--diff", "new.yml")[1] == "no difference\n"


def test_diff_notices_another_order(crate: Crate) -> None:
    crate.describe(A, {**A, "test_name": "b"}).run("-t", "tests.json", "--output", "old.yml")
    crate.describe({**A, "test_name": "b"}, A)
    assert crate.run("-t", "tests.json", "--diff", "old.yml")[1] == "~ the order of the steps\n"


def test_explain_says_why_a_step_is_there_or_not(crate: Crate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTS_TO_SKIP", '["c"]')
    crate.with_file(".platform", "x86_64\nriscv64\n").describe(
        {**A, "platform": ["x86_64", "aarch64"]}, {**A, "test_name": "b"}, {**A, "test_name": "c"}
    )
    code, out, _ = crate.run("-t", "tests.json", "--explain")
    assert code == 0
    assert out.startswith("step  from ")
    rows = {line.split()[0]: " ".join(line.split()[2:]) for line in out.splitlines() if line}
    assert "tests.json:3" in out.splitlines()[1]
    assert rows["a"] == "yes no (1) no (2) -"
    assert rows["b"] == "- - - yes"
    assert rows["c"] == "- - - no (3)"
    assert out.endswith(
        "\n\n(1) not for this platform\n(2) not in .platform\n(3) TESTS_TO_SKIP\n\n"
        "2 steps; platforms x86_64, riscv64, from .platform\n"
    )


INCLUDED = """\
common: &docker
  retry: {automatic: false}
steps:
  - label: "own: step $$HOME"
    command: [make, "echo ${X:-y}"]
    env: {A: 1e3, B: yes, C: "010"}
    <<: *docker
  - wait
  - group: more
    steps:
      - {label: inner, command: "true", key: k}
"""


def test_included_steps_come_last_as_they_are(crate: Crate) -> None:
    crate.describe(A).with_file("p.yml", INCLUDED)
    steps = crate.steps("-t", "tests.json", "--include", "p.yml")
    assert steps[1:] == [
        {
            "label": "own: step $$HOME",
            "command": ["make", "echo ${X:-y}"],
            "env": {"A": 1000.0, "B": "yes", "C": "010"},
            "retry": {"automatic": False},
        },
        "wait",
        {"group": "more", "steps": [{"label": "inner", "command": "true", "key": "k"}]},
    ]
    table = crate.run("-t", "tests.json", "--include", "p.yml", "--explain")[1]
    assert "more: inner" in table
    assert "p.yml:4" in table


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("steps:\n- label: x\n", ["p.yml:2", "no command"]),
        ("steps:\n- {command: a, key: k}\n- group: g\n  steps: [{command: b, key: k}]\n", ["p.yml:4", "'k'"]),
        ("steps:\n- command: a\n  depends_on: k\n", ["p.yml:3", "'k'", "'depends_on'"]),
        ("steps:\n- command: a\n  matrix: []\n", ["p.yml:3", "matrix is empty"]),
        ("steps:\n- command: a\n  command: b\n", ["p.yml:3", "'command'", "twice"]),
        ("env: {A: b}\nsteps: []\n", ["p.yml:1", "env is set for all steps"]),
        ("steps: 5\n", ["p.yml:1", "a list of steps"]),
        ("steps:\n- 5\n", ["p.yml:2", "expected a step, found 5"]),
        ("steps:\n- group: g\n  steps: 5\n", ["p.yml:3", "steps is a list"]),
        ("steps:\n- command: 'echo ${{ x }}'\n", ["p.yml:2", "cannot interpolate"]),
    ],
)
def test_wrong_included_files(crate: Crate, text: str, parts: list[str]) -> None:
    code, out, err = crate.describe(A).with_file("p.yml", text).run("-t", "tests.json", "--include", "p.yml")
    assert (code, out) == (2, "")
    assert [part for part in parts if part not in err] == []


TWICE = [
    "- {label: x, command: a}\n- {label: x, command: b}\n",
    "- {label: x, command: a}\n- {name: x, plugins: [y]}\n",
    "- group: g\n  steps: [{label: x, command: a}]\n- {label: x, command: b}\n",
    "- {label: x, command: a, matrix: [1]}\n- {label: x, command: b}\n",
    "- {label: a, command: b}\n",
]
ONCE = [
    "- group: x\n  steps: [{label: x, command: a}]\n- block: x\n",
    "- {label: x, command: a, matrix: [1]}\n- {label: x, command: b, matrix: [2]}\n",
    "- {command: a}\n- {command: b}\n",
]


@pytest.mark.parametrize("steps", TWICE)
def test_two_steps_of_one_label_are_refused(crate: Crate, steps: str) -> None:
    crate.describe(A).with_file("p.yml", f"steps:\n{steps}")
    code, out, err = crate.run("-t", "tests.json", "--include", "p.yml")
    assert (code, out) == (2, "")
    assert "two steps have the label" in err
    assert f"--> p.yml:{1 + steps.count(chr(10))}" in err


@pytest.mark.parametrize("steps", ONCE)
def test_what_is_no_second_step_of_a_label(crate: Crate, steps: str) -> None:
    crate.describe(A).with_file("p.yml", f"steps:\n{steps}")
    assert crate.steps("-t", "tests.json", "--include", "p.yml")


def test_two_described_tests_of_one_name_keep_their_steps(
    crate: Crate,
) -> None:
    crate.describe(A, {**A, "command": "other"})
    code, out, err = crate.run("-t", "tests.json")
    assert (code, out.count("label: a\n")) == (0, 2)
    assert "warning: two tests have the label 'a'" in err
    crate.with_file("p.yml", "steps:\n- {label: a, command: b}\n")
    assert crate.run("-t", "tests.json", "--include", "p.yml")[0] == 2
    assert main(["reproduce", "-t", "tests.json", "--dry-run", "a"]) == 2
    assert "two steps have the label 'a'" in crate.capture.readouterr().err


UPLOADS = [
    "nox -s pipeline -- --upload",
    "nox --session=pipeline -- --upload",
    "nox -s fmt pipeline -- --upload",
    "python3 /opt/nox.pyz -spipeline -- --upload",
    "nox -f noxfile.py -s pipeline | buildkite-agent pipeline upload",
    "nox -s pipeline -- --output=/tmp/x && buildkite-agent pipeline upload /tmp/x",
    "buildkite-agent pipeline upload <(nox -s pipeline)",
    "buildkite-agent pipeline upload <<< `nox -s pipeline`",
    "bash -ec 'nox -s pipeline -- --upload'",
    "cd x\nnox -s \\\n pipeline | buildkite-agent pipeline upload",
    "rustvmm-sessions pipeline --upload",
    "/opt/bin/rustvmm-sessions pipeline -t tests.json | buildkite-agent pipeline upload",
    "python3 -m rustvmm_sessions.cli pipeline --test-description=./tests.json --upload",
    "rust-vmm-ci/.buildkite/autogenerate_pipeline.py -t tests.json | buildkite-agent pipeline upload",
]
OTHERS = [
    "nox -s pipeline -- --check .buildkite/pipeline.yml",
    "nox -s pipeline -- --explain",
    "nox -s pipeline | buildkite-agent pipeline upload --dry-run",
    "nox -s pipelines -- --upload",
    "nox -s fmt -- pipeline --upload",
    "rustvmm-sessions pipeline -t other.json | buildkite-agent pipeline upload",
    "make-pipeline | buildkite-agent pipeline upload",
    "buildkite-agent pipeline upload deploy.yml",
    "# nox -s pipeline -- --upload\ntrue",
    "echo 'nox -s pipeline -- --upload' it's",
    "autogenerate_pipeline.py | buildkite-agent pipeline upload",
]


@pytest.mark.parametrize("command", UPLOADS)
def test_a_pipeline_that_uploads_itself_is_refused(crate: Crate, command: str) -> None:
    authored = command.replace("$", "$$")
    code, out, err = crate.describe(A, {"test_name": "up", "command": authored}).run("-t", "tests.json")
    assert (code, out) == (2, "")
    assert "uploads the pipeline that it is part of" in err
    assert "tests.json:9, test 'up', key 'command'" in err
    group = {"group": "g", "steps": [{"label": "up", "commands": ["true", authored]}]}
    crate.describe(A).with_file("p.yml", f"steps:\n- {json.dumps(group)}\n")
    code, out, err = crate.run("-t", "tests.json", "--include", "p.yml")
    assert (code, out) == (2, "")
    assert "--> p.yml:2" in err


@pytest.mark.parametrize("command", OTHERS)
def test_other_uploads_are_the_authors(crate: Crate, command: str) -> None:
    crate.describe(A, {"test_name": "up", "command": command})
    crate.with_file("deploy.yml", "steps:\n- {label: deploy, command: make}\n")
    assert len(crate.steps("-t", "tests.json")) == 2


@pytest.mark.parametrize(
    "command",
    [
        "buildkite-agent pipeline upload",
        "buildkite-agent pipeline upload ./.buildkite/pipeline.yml",
        "buildkite-agent pipeline upload < .buildkite/pipeline.yml",
        "envsubst < .buildkite/pipeline.yml | buildkite-agent pipeline upload",
        "rustvmm-sessions pipeline -t other.json --include .buildkite/pipeline.yml --upload",
    ],
)
def test_a_file_that_is_uploaded_again_is_followed(crate: Crate, command: str) -> None:
    crate.describe(A).with_file(".buildkite/pipeline.yml", f"steps:\n- {json.dumps({'command': command})}\n")
    code, _, err = crate.run("-t", "tests.json", "--include", ".buildkite/pipeline.yml")
    assert code == 2
    assert "pipeline.yml:2" in err
    start = {"command": "rustvmm-sessions pipeline -t tests.json --upload"}
    crate.with_file(".buildkite/pipeline.yml", f"steps:\n- {json.dumps(start)}\n")
    crate.describe({**A, "command": command})
    assert crate.run("-t", "tests.json")[0] == 2


def test_only_buildkites_pipelines_are_uploaded(crate: Crate) -> None:
    code, out, err = crate.run("--upload", "--format", "github")
    assert (code, out) == (2, "")
    assert "only Buildkite's" in err


def test_a_workflow_is_for_every_change(crate: Crate) -> None:
    code, out, err = crate.run("--changed", "main", "--format", "github")
    assert (code, out) == (2, "")
    assert "error: a workflow is not for one change\n --> --changed\n" in err


@pytest.mark.parametrize(
    "words", [["--frmat", "x"], ["--format", "gitlab"], ["--output", "o", "--explain"], ["extra"]]
)
def test_wrong_calls(crate: Crate, words: list[str]) -> None:
    code, out, err = crate.run(*words)
    assert (code, out) == (2, "")
    assert words[0] in err
    assert not Path("o").exists()


def test_the_root_package_has_tests_of_its_own_unless_they_are_the_shared_ones(crate: Crate) -> None:
    crate.with_file("Cargo.toml", '[package]\nname = "app"\nversion = "0.1.0"\n')
    own = ".buildkite/test_description.json"
    crate.describe({**A, "test_name": "own"}, name=own).describe(A)
    labels = [step["label"] for step in crate.steps("--workspace-selective", "-t", "tests.json")]
    assert labels == ["app: a", "app: own"]
    assert [step["label"] for step in crate.steps("--workspace-selective", "-t", f"./{own}")] == ["app: own"]
