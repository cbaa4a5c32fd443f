"""The repository that init is tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crates import CrateBuilder, new_crate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def crate(tmp_path: Path) -> CrateBuilder:
    crate = new_crate(tmp_path / "crate")
    (crate.directory / "noxfile.py").unlink()
    return crate.with_git()
