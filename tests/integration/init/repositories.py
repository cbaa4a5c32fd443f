"""The init command, and what it writes to a repository."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.crates import CrateBuilder, Outcome, run

if TYPE_CHECKING:
    from pathlib import Path

BOTH = ["x86_64", "aarch64"]
COMMAND = [sys.executable, "-m", "rustvmm_sessions.cli", "init"]


def init(crate: CrateBuilder, *options: str, cwd: Path | None = None) -> Outcome:
    return run([*COMMAND, *options], cwd=cwd or crate.directory)


def contents(crate: CrateBuilder) -> dict[str, str]:
    listed = crate.git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    return {name: (crate.directory / name).read_text() for name in listed if name}


def written(crate: CrateBuilder) -> list[str]:
    return sorted(
        line[3:] for line in crate.git("status", "--porcelain", "--untracked-files=all").splitlines()
    )
