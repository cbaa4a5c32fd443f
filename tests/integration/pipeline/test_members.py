"""Steps and custom tests of the members of a workspace, run as an agent runs them. Real nox and cargo."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rustvmm_sessions.rust.cargo import machine
from tests.crates import LIB, MANIFEST, CrateBuilder, Outcome, new_crate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def crate(tmp_path: Path) -> CrateBuilder:
    """A committed workspace of two members that describes a test of one of them."""
    crate = CrateBuilder(tmp_path / "ws").with_noxfile()
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["crates/*"]\nresolver = "2"\n')
    for name in ("one", "two"):
        crate.with_file(f"crates/{name}/Cargo.toml", MANIFEST.format(name=name).replace("[workspace]", ""))
        crate.with_file(f"crates/{name}/src/lib.rs", LIB)
    tests = [{"test_name": "where", "command": "echo {crate} $PWD && cd {crate_path} && ls src"}]
    crate.with_file("crates/two/.buildkite/custom-tests.json", json.dumps({"tests": tests}))
    return crate.with_git()


def steps(crate: CrateBuilder) -> dict[str, dict[str, Any]]:
    outcome = crate.nox("-s", "pipeline")
    assert outcome.code == 0, outcome.text
    return {step["label"]: step for step in yaml.safe_load(outcome.out)["steps"]}


def run_step(crate: CrateBuilder, step: dict[str, Any]) -> Outcome:
    """Run the command of a step that starts in the crate's folder."""
    program, *words = shlex.split(step["command"])
    assert program == "nox"
    return crate.nox(*words)


def test_the_test_of_a_member_starts_at_the_top(crate: CrateBuilder) -> None:
    step = steps(crate)["two: where"]
    outcome = run_step(crate, step)
    assert outcome.code == 0, outcome.text
    assert f"two {crate.directory}\nlib.rs\n" in outcome.out
    assert "* two: where" not in crate.nox("-l").out


def test_a_step_of_a_member_judges_that_member(crate: CrateBuilder) -> None:
    crate.with_file("crates/one/src/lib.rs", "fn unused() {}\n").commit("a fault")
    made = steps(crate)
    for session in ("clippy", "build-gnu"):
        assert run_step(crate, made[f"one: {session}-{machine()}"]).code == 1
        outcome = run_step(crate, made[f"two: {session}-{machine()}"])
        assert outcome.code == 0, outcome.text
        assert outcome.out.startswith("Members: two\n")


def test_steps_of_a_noxfile_in_a_member_s_folder_begin_there(crate: CrateBuilder) -> None:
    member = CrateBuilder(crate.directory / "crates/two").with_noxfile("workspace=False")
    crate.commit("noxfile")
    made = steps(member)
    assert made[f"crates/two: clippy-{machine()}"]["command"] == "cd crates/two && nox -s clippy"
    assert all(step["command"].strip('"').startswith("cd crates/two && nox -s ") for step in made.values())


def test_a_manifest_that_cannot_be_read_is_told_and_sessions_are_still_listed(crate: CrateBuilder) -> None:
    crate.with_file("crates/one/Cargo.toml", "[package\n")
    listed = crate.nox("-l")
    assert listed.code == 0, listed.text
    assert "two: where" not in listed.out
    assert "crates/one/Cargo.toml:1" in listed.err
    outcome = crate.nox("-s", "pipeline")
    assert outcome.code == 1
    assert "invalid TOML" in outcome.err


def test_a_crate_without_members_is_asked_for_none(tmp_path: Path) -> None:
    crate = new_crate(tmp_path, options="members=True")
    manifest = (crate.directory / "Cargo.toml").read_text().replace("[workspace]", "")
    outcome = crate.with_file("Cargo.toml", manifest).nox("-l")
    assert outcome.code == 2
    assert "error: there is no workspace beside the noxfile" in outcome.err
    assert " --> register(members=True)" in outcome.err
