"""Published crates joined in one workspace: each is judged as in its own folder."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rustvmm_sessions.rust.cargo import machine
from tests.field.published import JOINED, joined
from tests.field.test_published_coverage import ATTEMPTS, config_of, expected_verdict
from tests.integration.coverage.measuring import Counts, directly

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crates import CrateBuilder


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    return joined(tmp_path_factory.mktemp("joined") / "monorepo")


def in_folder(crate: CrateBuilder, member: str, target: Path) -> Counts:
    """Return what cargo-llvm-cov counts where rust-vmm-ci starts it for a crate of the monorepo."""
    there = replace(crate, directory=crate.directory / member)
    config = config_of(there)
    options = [f"--features={config['crate_features']}"] if config["crate_features"] else []
    options += [f"--ignore-filename-regex={config['exclude_path']}"] if config["exclude_path"] else []
    return directly(there, *options, env={"CARGO_TARGET_DIR": str(target)})


def measured(crate: CrateBuilder, report: Path, *options: str) -> dict[str, dict[str, Any]]:
    outcome = crate.coverage(f"--json={report}", *options)
    assert crate.git("status", "--porcelain") == ""
    found = {member["package"]: member for member in json.loads(report.read_text())["members"]}
    assert all(member["lines"] for member in found.values()), outcome.text
    return found


def counts(member: dict[str, Any]) -> Counts:
    return {file["path"]: (file["covered"], file["count"]) for file in member["files"]}


def test_each_member_has_the_figure_and_the_verdict_of_its_own_folder(
    crate: CrateBuilder, tmp_path: Path
) -> None:
    found = measured(crate, tmp_path / "out.json")

    assert {*found} == {*JOINED}
    for name, member in found.items():
        config = config_of(replace(crate, directory=crate.directory / name))
        assert member["verdict"] == expected_verdict(member["lines"]["percent"], config)
        for attempt in range(1, ATTEMPTS + 1):  # vmm-sys-util's tests reach a few lines on some runs only
            direct = in_folder(crate, name, tmp_path / "direct")
            if counts(member) == direct:
                break
            assert attempt < ATTEMPTS, f"{counts(member)} is not cargo-llvm-cov's {direct}"
            member = measured(crate, tmp_path / "out.json", f"--package={name}")[name]  # noqa: PLW2901


def test_a_change_is_for_the_members_that_it_reaches(crate: CrateBuilder, tmp_path: Path) -> None:
    source = crate.directory / "vm-device/src/lib.rs"
    before = source.read_text()
    crate.with_file("vm-device/src/lib.rs", f"{before}// more\n")
    crate.coverage(f"--json={tmp_path / 'out.json'}", "--changed=HEAD")
    result = json.loads((tmp_path / "out.json").read_text())
    assert [member["package"] for member in result["members"]] == ["vm-device"]
    source.write_text(before)

    source = crate.directory / "vmm-sys-util/src/lib.rs"
    before = source.read_text()
    source.write_text(f"{before}// more\n")
    listed = crate.nox("-s", "clippy", "--", "--list", "--changed=HEAD").out
    source.write_text(before)
    assert "Members: event-manager, vmm-sys-util\n" in listed


def test_the_pipeline_has_the_steps_of_each_member(crate: CrateBuilder) -> None:
    steps = {step["label"]: step for step in yaml.safe_load(crate.nox("-s", "pipeline").out)["steps"]}

    for name in JOINED:
        for session in ("clippy", "unit-tests", "coverage"):
            step = steps[f"{name}: {session}-{machine()}"]
            assert step["command"].startswith(f"nox -s {session} -- --package {name}")
            assert f"{name}/**" in step["if_changed"]
            assert ("vmm-sys-util/**" in step["if_changed"]) == (name in ("event-manager", "vmm-sys-util"))
    assert {"fmt", "doc", "commit-format"} <= steps.keys()
    assert "event-manager: unit-tests-riscv64" in steps
    assert "vm-device: unit-tests-riscv64" not in steps  # of its .platform
