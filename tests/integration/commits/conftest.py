"""The repository that the tests of the commit check clone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.crates import CrateBuilder
from tests.integration.commits.branches import commit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    crate = CrateBuilder(tmp_path_factory.mktemp("upstream")).with_file("file", "").with_git()
    for number in range(200):
        commit(crate, f"main {number}", signed=False)  # what is merged is not judged again
    crate.git("switch", "--quiet", "--create", "work", "HEAD~30")
    commit(crate, "first of the work")
    commit(crate, "x" * 61)
    commit(crate, "last of the work")
    crate.git("switch", "--quiet", "--detach", "main")
    crate.git("merge", "--quiet", "--no-ff", "--message=merged for a test", "work")
    crate.git("update-ref", "refs/pull/1/merge", "HEAD")
    crate.git("switch", "--quiet", "main")
    return crate


@pytest.fixture
def upstream(made_once: CrateBuilder, tmp_path: Path) -> CrateBuilder:
    """A repository with 200 commits on main, and a branch of three from 30 commits before its tip."""
    shutil.copytree(made_once.directory, tmp_path / "upstream")
    return CrateBuilder(tmp_path / "upstream")
