"""The repository that tests of git and of upstream start from."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.crates import UPSTREAM_VARIABLES, CrateBuilder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*UPSTREAM_VARIABLES, *(name for name in os.environ if name.startswith("GIT_"))):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    directory = tmp_path_factory.mktemp("upstream")
    repository = CrateBuilder(directory).with_file("tests/coverage", "80.1\n").with_git()
    repository.git("tag", "start")
    repository.with_file("tests/coverage", "80.2\n").commit("second")
    repository.with_file("tests/coverage", "80.3\n").commit("third")
    repository.git("switch", "--quiet", "--create", "work", "start")
    repository.with_file("more", "text\n").commit("work")
    return repository


@pytest.fixture
def upstream(made_once: CrateBuilder, tmp_path: Path) -> CrateBuilder:
    """A repository where main has two commits after the one that the branch work starts from."""
    shutil.copytree(made_once.directory, tmp_path / "upstream")
    return CrateBuilder(tmp_path / "upstream")
