"""The pipeline's limits of time and memory, in seconds of processor time so that neighbours do not count."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from tests.crates import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = "import os, sys; from rustvmm_sessions.cli import main; os.chdir(sys.argv.pop(1)); sys.exit(main())"


def cost(folder: Path, *words: str) -> tuple[float, float]:
    """Return the processor seconds and the megabytes of the best of three runs."""
    best = (float("inf"), float("inf"))
    for _ in range(3):
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", SCRIPT, str(folder), "pipeline", *words, "--output", "out.yml"],
            {**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        _, status, used = os.wait4(child, 0)
        assert status == 0
        best = min(best, (used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
    return best


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
