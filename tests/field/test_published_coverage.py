"""Coverage of published rust-vmm crates: our figure is cargo-llvm-cov's, our verdict rust-vmm-ci's."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions.coverage import llvm_export
from rustvmm_sessions.coverage.instrumented import ProfiledTests, TestSelection
from rustvmm_sessions.coverage.reporters import CargoLlvmCovReporter, Counted, LlvmReporter, merge
from rustvmm_sessions.rust.cargo import Cargo, own_folder
from rustvmm_sessions.rust.tools import find_cargo_llvm_cov, find_llvm_tools
from tests.field.published import PINNED, published

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crates import CrateBuilder

ATTEMPTS = 3
"""vmm-sys-util's tests reach a few lines on some runs only; all other crates agree at once."""


def config_of(crate: CrateBuilder) -> dict[str, Any]:
    path = crate.directory / f"coverage_config_{platform.machine()}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def measured_directly(
    crate: CrateBuilder, config: dict[str, Any], target: Path
) -> dict[str, tuple[int, int]]:
    """Measure as rust-vmm-ci does, commas in exclude_path read as it was meant to be."""
    cargo = Cargo(directory=crate.directory)
    llvm, tool = find_llvm_tools(cargo), find_cargo_llvm_cov()
    assert llvm is not None
    assert tool is not None
    command = [str(tool.path), "llvm-cov", "test", "--json", "--skip-functions", "--workspace"]
    if config.get("exclude_path"):
        command.append("--ignore-filename-regex=" + config["exclude_path"].replace(",", "|"))
    if "crate_features" not in config:
        command.append("--all-features")
    elif config["crate_features"]:
        command.append("--features=" + config["crate_features"])
    done = subprocess.run(
        command,
        cwd=crate.directory,
        env={
            **os.environ,
            "CARGO_TARGET_DIR": str(target),
            "LLVM_COV": str(llvm.cov),
            "LLVM_PROFDATA": str(llvm.profdata),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    _, files = llvm_export.parse(done.stdout, crate.directory)
    return {file.path: (file.lines.covered, file.lines.count) for file in files}


def from_both_reporters(crate: CrateBuilder, config: dict[str, Any]) -> list[dict[str, tuple[int, int]]]:
    """Read the profiles of the last session with both reporters."""
    cargo = Cargo(directory=crate.directory)
    own = own_folder(cargo.workspace, "rustvmm-coverage")
    features = config.get("crate_features")
    selection = TestSelection(
        workspace=True,
        feature_sets=(None if features is None else tuple(f for f in features.split(",") if f),),
    )
    build = ProfiledTests(cargo=cargo, own=own, selection=selection).build()
    llvm, tool = find_llvm_tools(cargo), find_cargo_llvm_cov()
    assert llvm is not None
    assert tool is not None
    exclude = tuple(p for p in config.get("exclude_path", "").replace(",", "|").split("|") if p)
    counted = Counted(cargo=cargo, build=build, selection=selection, exclude=exclude, llvm=llvm)
    results = []
    for reporter in (LlvmReporter(counted=counted), CargoLlvmCovReporter(counted=counted, tool=tool)):
        assert merge(counted, sorted((own / "profiles").glob("*/*.profraw"))) == ()
        _, files = llvm_export.parse(reporter.json(), crate.directory)
        results.append({file.path: (file.lines.covered, file.lines.count) for file in files})
    return results


def expected_verdict(percent: float, config: dict[str, Any]) -> str:
    """rust-vmm-ci's rule: 0.5 points around coverage_score."""
    score = config.get("coverage_score")
    if score is None:
        return "none"
    if abs(percent - score) <= 0.5:
        return "equal"
    return "higher" if percent > score else "lower"


@pytest.mark.parametrize("name", PINNED)
def test_figure_and_verdict(name: str, tmp_path: Path) -> None:
    crate = published(name, tmp_path / name)
    config = config_of(crate)

    for attempt in range(1, ATTEMPTS + 1):
        outcome = crate.coverage(f"--json={tmp_path / 'out.json'}")
        assert crate.git("status", "--porcelain") == ""  # cargo itself would complete Cargo.lock
        result = json.loads((tmp_path / "out.json").read_text())
        ours = {file["path"]: (file["covered"], file["count"]) for file in result["files"]}
        direct = measured_directly(crate, config, tmp_path / "direct")
        assert {path: count for path, (_, count) in ours.items()} == {p: c for p, (_, c) in direct.items()}
        crate.git("checkout", "--quiet", "--", ".")
        if ours == direct:
            break
        assert attempt < ATTEMPTS, f"{ours} is not cargo-llvm-cov's {direct}"

    by_llvm, by_cargo_llvm_cov = from_both_reporters(crate, config)
    assert by_llvm == by_cargo_llvm_cov == ours
    lines = result["lines"]
    assert lines["covered"] == sum(covered for covered, _ in ours.values())
    assert lines["count"] == sum(count for _, count in ours.values())
    assert result["verdict"] == expected_verdict(lines["percent"], config), outcome.text
    assert outcome.code == (0 if result["verdict"] == "equal" else 1), outcome.text
    assert f"{lines['covered']}/{lines['count']} lines" in outcome.out
