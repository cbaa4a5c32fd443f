"""Clones of crates' repositories, for timing what is newer than the published versions."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.crates import CrateBuilder

if TYPE_CHECKING:
    from pathlib import Path


def checkout(source: Path, directory: Path) -> CrateBuilder:
    """Return a copy of a checkout, as it is committed, with the noxfile added."""
    subprocess.run(["git", "clone", "--quiet", "--", str(source), str(directory)], check=True)
    return CrateBuilder(directory).with_noxfile().commit("noxfile")
