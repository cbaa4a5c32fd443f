"""The pipeline of a workspace whose members are judged by themselves."""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.pipeline import buildkite, changes, compose, generate, github
from rustvmm_sessions.pipeline.table import explain
from rustvmm_sessions.rust import manifests, reads
from rustvmm_sessions.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    from rustvmm_sessions.pipeline.model import Pipeline

SHARED = [*reads.shared_patterns()]
GLOBAL = [*SHARED, ".buildkite/**", "rust-vmm-ci/**"]


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workspace be the repository; git would say so."""
    at(monkeypatch, ".")


def at(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(generate, "_place_of", lambda _: place)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace: app needs base and reads a file of nobody's, other is for riscv64, too."""
    write(tmp_path / "Cargo.toml", '[workspace]\nmembers = ["other", "crates/*"]\n')
    write(tmp_path / "noxfile.py", "")
    needs = '[dependencies]\nbase = { path = "../base" }\n'
    for path, more in {"crates/app": needs, "crates/base": "", "other": ""}.items():
        write(
            tmp_path / path / "Cargo.toml",
            f'[package]\nname = "{path.rpartition("/")[2]}"\nversion = "1.0.0"\n{more}',
        )
        write(tmp_path / path / "src/lib.rs", "")
    write(tmp_path / "crates/app/src/lib.rs", 'const T: &str = include_str!("../../../shared/table.txt");\n')
    write(tmp_path / "shared/table.txt", "")
    write(tmp_path / "other/.platform", "x86_64\nriscv64\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def pipeline(root: Path, form: str = "buildkite", **given: Any) -> Pipeline:
    return generate.of_sessions(settings(root, given), form)


def steps(root: Path, **given: Any) -> dict[str, dict[str, Any]]:
    return {step["label"]: step for step in buildkite.render(pipeline(root, **given))["steps"]}


def docker(step: dict[str, Any]) -> dict[str, Any]:
    (options,) = step["plugins"][0].values()
    return dict(options)


def test_bench_has_a_step_where_a_member_has_benchmarks_and_something_is_set_for_it(root: Path) -> None:
    write(root / "crates/base/benches/main.rs", "")
    assert "bench-aarch64" not in steps(root)
    assert "bench-aarch64" in steps(root, bench={"threshold": 2})


def test_a_label_of_a_member_s_own_test_names_what_leaves_the_session_out(root: Path) -> None:
    test = {"test_name": "clippy", "command": "make", "platform": ["x86_64"]}
    write(root / "other/.buildkite/custom-tests.json", json.dumps({"tests": [test]}))
    with pytest.raises(UserError, match="two steps have the label 'other: clippy-x86_64'") as caught:
        steps(root)
    assert str(caught.value.where).startswith("other/.buildkite/custom-tests.json")
    option = '{"clippy": {"exclude": ["other"]}}'
    assert caught.value.fix.endswith(f"leave the session's out: register(overrides={option})")
    assert "other: clippy-x86_64" in steps(root, overrides=json.loads(option))


def test_each_member_session_and_platform_has_a_step(root: Path) -> None:
    made = steps(root)
    labels = [label for label in made if "clippy" in label or "build-musl" in label]
    assert labels == [
        *("app: clippy-x86_64", "app: clippy-aarch64"),
        *("base: clippy-x86_64", "base: clippy-aarch64"),
        *("other: clippy-x86_64", "other: clippy-riscv64"),
        *("app: build-musl-x86_64", "app: build-musl-aarch64"),
        *("base: build-musl-x86_64", "base: build-musl-aarch64"),
        "other: build-musl-x86_64",
    ]
    assert made["app: clippy-x86_64"]["command"] == "nox -s clippy -- --package app"
    assert made["other: clippy-riscv64"]["command"] == '"nox -s clippy -- --package other"'
    assert [label for label in made if ": " not in label] == ["fmt", "doc", "commit-format", "audit-x86_64"]
    assert not any("if_changed" in made[label] for label in ("fmt", "doc", "commit-format", "audit-x86_64"))


def test_a_step_runs_when_something_changes_that_the_member_reads(root: Path) -> None:
    made = steps(root)
    app = ["crates/app/**", "crates/base/**", "shared/table.txt", *GLOBAL]
    for label in ("app: clippy-x86_64", "app: coverage-x86_64", "app: unit-tests-aarch64"):
        assert made[label]["if_changed"] == app
    assert made["base: clippy-x86_64"]["if_changed"] == ["crates/base/**", *GLOBAL]
    write(root / "crates/base/build.rs", 'fn main() { std::fs::read("x"); }\n')
    made = steps(root)
    assert made["app: clippy-x86_64"]["if_changed"][0] == "**"
    assert made["other: clippy-x86_64"]["if_changed"] == ["other/**", *GLOBAL]


def test_shares_are_within_a_member(root: Path) -> None:
    made = steps(root, overrides={"unit-tests": {"shares": 2}})
    assert (
        made["app: unit-tests-x86_64 2/2"]["command"] == "nox -s unit-tests -- --package app --partition 2/2"
    )
    assert len([label for label in made if "unit-tests-x86_64" in label]) == 6


def test_a_member_that_is_left_out_has_no_step(root: Path) -> None:
    over = {"build-musl": {"exclude": ["crates/base"]}}
    made = steps(root, overrides=over)
    assert [label for label in made if "build-musl" in label] == [
        *("app: build-musl-x86_64", "app: build-musl-aarch64"),
        "other: build-musl-x86_64",
    ]
    assert "base: build-gnu-x86_64" in made
    lines = explain(pipeline(root, overrides=over)).splitlines()
    (row,) = [line for line in lines if line.startswith("base: build-musl ")]
    (note,) = [
        line for line in lines if line.endswith(" register(overrides={'build-musl': {'exclude': ...}})")
    ]
    assert row.count(f"no {note.split()[0]}") == 2
    with pytest.raises(UserError, match="did you mean 'base'"):
        steps(root, overrides={"build-musl": {"exclude": ["bas"]}})


@pytest.mark.parametrize(
    ("files", "platforms"),
    [
        ({}, ["x86_64"]),
        ({"coverage_config_aarch64.json": "{}"}, ["aarch64"]),
        ({"coverage_config_aarch64.json": "{}", "coverage_config_x86_64.json": "{}"}, ["x86_64", "aarch64"]),
        ({"tests/coverage": "80.1\naarch64 801/1000 rustc-1.95.0\n"}, ["aarch64"]),
        ({"tests/coverage": "80.1"}, ["x86_64"]),
    ],
)
def test_coverage_has_steps_where_it_is_configured_or_recorded(
    root: Path, files: dict[str, str], platforms: list[str]
) -> None:
    for name, text in files.items():
        write(root / "crates/base" / name, text)
    labels = [label for label in steps(root) if label.startswith("base: coverage")]
    assert labels == [f"base: coverage-{platform}" for platform in platforms]
    given = steps(root, overrides={"coverage": {"platforms": ["aarch64"]}})
    assert [label for label in given if "coverage" in label] == [
        "app: coverage-aarch64",
        "base: coverage-aarch64",
    ]


def test_tests_of_a_member_are_steps_with_its_name(root: Path) -> None:
    tests = [
        {"test_name": "miri", "command": "cd {crate_path} && echo {crate}", "platform": ["x86_64"]},
        {"test_name": "clippy", "command": "make", "if_changed": "other/*"},
    ]
    write(root / "other/.buildkite/custom-tests.json", json.dumps({"tests": tests}))
    write(root / "tests.json", json.dumps({"tests": [{"test_name": "whole", "command": "make"}]}))
    made = steps(root, custom_tests="tests.json")
    assert [*made][-2:] == ["other: miri-x86_64", "other: clippy"]
    assert made["other: miri-x86_64"]["command"] == "nox -s 'other: miri'"
    assert made["other: miri-x86_64"]["if_changed"] == ["other/**", *SHARED]
    assert made["other: clippy"]["command"] == "nox -s 'other: clippy'"
    assert made["other: clippy"]["if_changed"] == "other/*"
    assert made["whole"]["command"] == "nox -s whole"
    (miri, _) = [t for t in generate.custom_tests_of(settings(root, {})) if t.member]
    assert miri.command == "cd other && echo other"


def test_a_description_that_the_noxfile_names_is_not_run_twice(root: Path) -> None:
    write(root / "other/.buildkite/custom-tests.json", '{"tests": [{"test_name": "x", "command": "make"}]}')
    made = steps(root, custom_tests="./other/.buildkite/custom-tests.json")
    assert [label for label in made if label.endswith("x")] == ["x"]


def test_variables_reach_the_steps_of_members(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTS_TO_SKIP", '["coverage", "unittests-gnu"]')
    monkeypatch.setenv("TIMEOUTS_MIN", '{"clippy": 40}')
    made = steps(root)
    assert not any("coverage" in label or "unit-tests-x86_64" in label for label in made)
    assert made["app: clippy-x86_64"]["timeout_in_minutes"] == 40


def test_a_workspace_below_the_top_of_its_repository_is_entered(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, "a folder/ws")
    made = steps(root)
    assert made["a folder/ws: fmt"]["command"] == "cd 'a folder/ws' && nox -s fmt"
    assert made["a folder/ws: fmt"]["artifact_paths"] == ["target/rustvmm-results/**/*"]
    assert docker(made["a folder/ws: fmt"])["environment"] == ["RUSTVMM_RESULTS=../../target/rustvmm-results"]
    assert made["app: clippy-x86_64"]["command"] == "cd 'a folder/ws' && nox -s clippy -- --package app"
    below = [f"a folder/ws/{name}" for name in ("crates/app/**", "crates/base/**", "shared/table.txt")]
    shared = [*reads.shared_patterns("a folder/ws"), *compose.GLOBAL_PATHS]
    patterns = made["app: clippy-x86_64"]["if_changed"]
    assert patterns[:3] == below
    assert patterns[-len(shared) :] == shared


def test_without_members_the_whole_workspace_has_the_steps(root: Path) -> None:
    for made in (steps(root, members=False), steps(root, workspace=False)):
        assert made["clippy-x86_64"]["command"] == "nox -s clippy"
        assert not any(": " in label for label in made)
        assert not any("if_changed" in step for step in made.values())


def test_github_gets_the_same_jobs(root: Path) -> None:
    made = generate.of_sessions(settings(root, {}), "github-matrix")
    found = {
        job["name"]: job["command"]
        for job in github.matrix(made, github.Repository(), warn=lambda _: None)["include"]
    }
    assert found.keys() == steps(root).keys()
    assert found["app: clippy-x86_64"] == "nox -s clippy -- --package app"
    pages = '--html "$RUSTVMM_RESULTS"/coverage'
    assert found["app: coverage-x86_64"] == f"nox -s coverage -- --package app {pages}"


def test_sessions_of_a_member_are_one_job_where_there_are_too_many(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generate.of_sessions(settings(root, {}), "github-matrix")
    monkeypatch.setattr(github, "MAX_JOBS", 10)

    jobs = github.matrix(made, github.Repository(), warn=lambda _: None)["include"]

    found = {job["name"]: job for job in jobs}
    assert [*found] == [
        *("fmt", "doc", "commit-format", "audit-x86_64", "app: x86_64", "app: aarch64"),
        *("base: x86_64", "base: aarch64", "other: x86_64", "other: riscv64"),
    ]
    app = found["app: x86_64"]
    assert app["id"] == "app-x86_64"
    assert app["components"] == "clippy llvm-tools"
    assert app["targets"] == "x86_64-unknown-linux-musl"
    assert app["fetch_depth"] == 0
    own = [line for line in app["command"].splitlines() if "nox -s" in line]
    assert len(own) == len([label for label in steps(root) if label.startswith("app: ") and "x86" in label])
    assert own[0] == "bash -e -c 'nox -s clippy -- --package app' || failed=1"
    assert app["minutes"] == 15 * len(own)
    monkeypatch.setattr(github, "MAX_JOBS", 9)
    with pytest.raises(UserError, match="there would be 10 jobs"):
        github.matrix(made, github.Repository(), warn=lambda _: None)


FILES = ("crates/app/src/lib.rs", "crates/base/x", "other/a/b", "shared/table.txt", "README.md", "Cargo.lock")


@pytest.mark.parametrize("place", [".", "a folder/ws"])
@given(changed=st.sets(st.sampled_from(FILES), max_size=2))
@hypothesis_settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_github_s_jobs_are_of_the_members_that_changed_chooses(
    root: Path, monkeypatch: pytest.MonkeyPatch, place: str, changed: set[str]
) -> None:
    at(monkeypatch, place)
    made = generate.of_sessions(settings(root, {}), "github-matrix")
    left = changes.narrowed(
        made, [posixpath.normpath(posixpath.join(place, name)) for name in changed], "main"
    )
    chosen = {member.package for member in reads.affected(manifests.packages(root), changed)}
    assert {p.crate for p in left.placements if p.step} - {""} == chosen
    assert [p for p in left.placements if not p.crate] == [p for p in made.placements if not p.crate]
