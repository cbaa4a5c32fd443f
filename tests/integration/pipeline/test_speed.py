"""The pipeline's limits of time and memory, in seconds of processor time so that neighbours do not count."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.crates import run

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import os, sys
from rustvmm_sessions.cli import main

status = main()
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print(sum(os.times()[:2]), int(peak) / 1024)
sys.exit(status)
"""
# What wait4() calls ru_maxrss is at least the memory of the process that started this one.


def cost(folder: Path, *words: str) -> tuple[float, float]:
    """Return the processor seconds and the megabytes of the best of three runs."""
    command = [sys.executable, "-c", SCRIPT, "pipeline", *words, "--output", "out.yml"]
    runs = [run(command, cwd=folder) for _ in range(3)]
    assert [done.code for done in runs] == [0, 0, 0]
    seconds, megabytes = min(tuple(map(float, done.out.split())) for done in runs)
    return seconds, megabytes


def test_a_workspace_of_500_crates_with_20_tests_each(tmp_path: Path) -> None:
    tests = [
        {
            "test_name": f"test {number}",
            "command": "cd {crate_path} && cargo test --target {target_platform}-unknown-linux-gnu",
            "platform": ["x86_64", "aarch64"],
        }
        for number in range(20)
    ]
    (tmp_path / "Cargo.toml").write_text('[workspace]\nmembers = ["crates/*"]\n')
    (tmp_path / "none.json").write_text('{"tests": []}')
    for number in range(500):
        folder = tmp_path / "crates" / f"crate-{number:03}"
        (folder / ".buildkite").mkdir(parents=True)
        before = f"crate-{number - 1:03}"
        needs = f'{before} = {{ path = "../{before}" }}\n' if number else ""
        manifest = f'[package]\nname = "{folder.name}"\nversion = "0.1.0"\n[dependencies]\n{needs}'
        (folder / "Cargo.toml").write_text(manifest)
        (folder / ".buildkite" / "test_description.json").write_text(json.dumps({"tests": tests}))
    seconds, megabytes = cost(tmp_path, "--workspace-selective", "-t", "none.json")
    assert (tmp_path / "out.yml").read_text().count("\n- label: ") == 500 * 20 * 2
    assert seconds <= 3
    assert megabytes <= 300


def test_one_crate(tmp_path: Path) -> None:
    seconds, _ = cost(tmp_path)
    assert seconds <= 0.15
