"""init where descriptions take the place of rust-vmm-ci's: the monorepo, and a second workspace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from tests.crates import LIB, MANIFEST, CrateBuilder
from tests.integration.init.repositories import init
from tests.unit.init.test_takeover import DATA

if TYPE_CHECKING:
    from pathlib import Path

MEMBERS = ("acpi_tables", "event-manager", "vm-memory", "vmm-sys-util")


PYZ = "python3 .buildkite/rustvmm-sessions.pyz"


def workspace(directory: Path, *members: str) -> CrateBuilder:
    crate = CrateBuilder(directory)
    crate.with_file("Cargo.toml", f'[workspace]\nmembers = {json.dumps(members)}\nresolver = "2"\n')
    for name in members:
        crate.with_file(f"{name}/Cargo.toml", MANIFEST.format(name=name).replace("\n[workspace]\n", ""))
        crate.with_file(f"{name}/src/lib.rs", LIB)
    return crate


def described(crate: CrateBuilder, name: str, of: str) -> None:
    crate.with_file(f"{name}.json", (DATA / f"{of}.json").read_text())


def names(listed: str) -> list[str]:
    return [line[2:].split("[")[0].strip() for line in listed.splitlines() if line.startswith(("- ", "* "))]


def steps(crate: CrateBuilder, *words: str) -> dict[str, dict[str, Any]]:
    outcome = crate.nox(*words, "-s", "pipeline")
    assert outcome.code == 0, outcome.text
    return {step["label"]: step for step in yaml.safe_load(outcome.out)["steps"]}


def test_the_monorepo_has_all_standard_sessions_and_what_is_its_own(tmp_path: Path) -> None:
    crate = workspace(tmp_path / "rust-vmm", *MEMBERS)
    for name in MEMBERS:
        for machine in ("x86_64", "aarch64"):
            crate.with_file(f"{name}/coverage_config_{machine}.json", '{"coverage_score": 80}')
    crate.with_file("event-manager/benches/main.rs", "fn main() {}\n")
    crate.with_file("event-manager/.platform", "x86_64\naarch64\nriscv64\n")
    described(crate, ".buildkite/test_description", "rust-vmm")
    for name in ("event-manager", "vm-memory"):
        described(crate, f"{name}/.buildkite/custom-tests", f"rust-vmm-{name}")
    crate.with_git()

    said = init(crate, "--yes").out

    assert (
        "- .buildkite/test_description.json: standard sessions take the place of build-gnu, build-musl, "
        "unittests-gnu (unit-tests), "
    ) in said
    assert "cargo-audit (audit); its tests are sessions: cross-crate-check\n" in said
    assert "- event-manager/.buildkite/custom-tests.json: standard sessions take the place of perf" in said
    assert "Custom tests that call rust-vmm-ci" not in said
    listed = names(crate.nox("-l").out)
    assert listed[:13] == [
        *("fmt", "clippy", "build-gnu", "build-musl", "doc", "unit-tests", "unit-tests-release"),
        *("unit-tests-musl", "unit-tests-musl-release", "coverage", "commit-format", "audit", "bench"),
    ]
    assert listed[-3:] == ["cross-crate-check", "vm-memory: miri", "vm-memory: check-windows-build"]
    made = steps(crate)
    for name in MEMBERS:
        for session in ("clippy", "coverage", "unit-tests-musl"):
            assert f"{name}: {session}-aarch64" in made
    assert not any("riscv64" in label for label in made)  # as the description says
    assert made["bench-x86_64"]["if_changed"] == ["event-manager/*"]


def test_a_second_workspace_has_a_noxfile_and_steps_of_the_same_build(tmp_path: Path) -> None:
    crate = workspace(tmp_path / "vhost-device", "vhost-device-gpu", "vhost-device-media", "vhost-device-can")
    staging = workspace(crate.directory / "staging", "vhost-device-video")
    for name in ("main", "staging"):
        described(crate, f".buildkite/{name}-tests", f"vhost-device-{name}")
    crate.with_git()

    said = init(crate, "--yes", "--buildkite").out

    assert (
        "- .buildkite/staging-tests.json: standard sessions take the place of staging: build-gnu (bu" in said
    )
    assert "workspace of its own" not in said
    assert 'f"-I/usr/include/{os.uname().machine}-linux-gnu"' in (crate.directory / "noxfile.py").read_text()
    assert names(crate.nox("-l").out)[-1] == "check-warnings"
    listed = names(staging.nox("-l").out)
    assert listed[-2:] == ["staging: unittests-gnu-no-defaults", "staging: check-warnings"]
    assert {"unit-tests", "coverage", "audit"} <= {*listed}
    assert not {"unit-tests-release", "commit-format"} & {*listed}
    (bootstrap,) = yaml.safe_load((crate.directory / ".buildkite/pipeline.yml").read_text())["steps"]
    assert bootstrap["command"] == [
        f"{PYZ} -s pipeline -- --upload",
        f"{PYZ} -f staging/noxfile.py -s pipeline -- --upload",
    ]
    first, second = steps(crate), steps(crate, "-f", "staging/noxfile.py")
    assert not first.keys() & second.keys()
    assert (
        second["staging: clippy-x86_64"]["command"]
        == "cd staging && python3 ../.buildkite/rustvmm-sessions.pyz -s clippy"
    )
    assert second["staging: clippy-x86_64"]["soft_fail"] is True
    assert "staging: check-warnings-x86_64" in second
    ran = crate.nox("-f", "staging/noxfile.py", "-s", "staging: unittests-gnu-no-defaults")
    assert ran.code == 0, ran.text
    assert "Nothing to write." in init(crate, "--yes", "--buildkite").out
    assert "Nothing to write." in init(staging, "--yes").out
    assert "`nox -f staging/noxfile.py -t gate`" in init(crate, "--dry-run", "--github").out
