"""A workspace of 500 crates with 20 tests each: all its steps, within the memory of a small machine."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.crates import run

if TYPE_CHECKING:
    from pathlib import Path

CRATES, TESTS = 500, 20
COMMAND = ("pipeline", "--workspace-selective", "-t", "none.json", "--output", "out.yml")
SCRIPT = """\
import os, sys
from rustvmm_sessions.cli import main

status = main()
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print(sum(os.times()[:2]), int(peak) / 1024)
sys.exit(status)
"""
# What wait4() calls ru_maxrss is at least the memory of the process that started this one.


def cost(folder: Path, *words: str) -> tuple[float, float]:
    """Run our program; return its processor seconds and the most megabytes it had."""
    kept: dict[str, str | None] = {"PYTHONDONTWRITEBYTECODE": None}  # nobody compiles it each time
    done = run([sys.executable, "-c", SCRIPT, *words], cwd=folder, env=kept)
    assert done.code == 0, done.text
    seconds, megabytes = map(float, done.out.split())
    return seconds, megabytes


def large_workspace(folder: Path) -> None:
    """Write the workspace; each crate needs the one before it."""
    tests = [
        {
            "test_name": f"test {number}",
            "command": "cd {crate_path} && cargo test --target {target_platform}-unknown-linux-gnu",
            "platform": ["x86_64", "aarch64"],
        }
        for number in range(TESTS)
    ]
    (folder / "Cargo.toml").write_text('[workspace]\nmembers = ["crates/*"]\n')
    (folder / "none.json").write_text('{"tests": []}')
    for number in range(CRATES):
        crate = folder / "crates" / f"crate-{number:03}"
        (crate / ".buildkite").mkdir(parents=True)
        before = f"crate-{number - 1:03}"
        needs = f'{before} = {{ path = "../{before}" }}\n' if number else ""
        manifest = f'[package]\nname = "{crate.name}"\nversion = "0.1.0"\n[dependencies]\n{needs}'
        (crate / "Cargo.toml").write_text(manifest)
        (crate / ".buildkite" / "test_description.json").write_text(json.dumps({"tests": tests}))


def test_each_test_of_each_crate_has_a_step_for_each_platform(tmp_path: Path) -> None:
    large_workspace(tmp_path)

    _, megabytes = cost(tmp_path, *COMMAND)

    assert (tmp_path / "out.yml").read_text().count("\n- label: ") == CRATES * TESTS * 2
    assert megabytes <= 300
