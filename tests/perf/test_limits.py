"""Limits of time, for a machine that has nothing else to do: ``nox -s speed -- limits``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.coverage import site
from rustvmm_sessions.coverage.request import CoverageRequest
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.gate.plan import plan
from rustvmm_sessions.rust.cargo import Cargo
from tests.crates import UPSTREAM_VARIABLES, run
from tests.integration.commits.branches import COMMAND as CHECK
from tests.integration.commits.branches import many_commits
from tests.integration.pipeline.test_large_workspace import COMMAND, cost, large_workspace
from tests.unit.coverage.test_page import two_thousand_files
from tests.workspaces import package, workspace

if TYPE_CHECKING:
    from pathlib import Path


def test_the_pipeline_of_500_crates_takes_three_seconds(tmp_path: Path) -> None:
    """Of processor time, so that neighbours do not count."""
    large_workspace(tmp_path)
    assert min(cost(tmp_path, *COMMAND)[0] for _ in range(3)) <= 3


def test_the_pipeline_of_one_crate_takes_150_milliseconds(tmp_path: Path) -> None:
    assert min(cost(tmp_path, "pipeline", "--output", "out.yml")[0] for _ in range(3)) <= 0.15


def test_2000_commits_take_no_second_over_git_s_own_time(tmp_path: Path) -> None:
    crate = many_commits(tmp_path / "many", 2000)

    def seconds(args: list[str]) -> float:
        started = time.perf_counter()
        done = run(args, cwd=crate.directory, env=dict.fromkeys(UPSTREAM_VARIABLES))
        assert done.code == 0, done.text
        return time.perf_counter() - started

    log = ["git", "log", "--format=%H%x00%B%x00%(trailers:only,unfold)", "origin/main..HEAD"]
    own = min(seconds(log) for _ in range(3))
    ours = min(seconds(CHECK) for _ in range(3))

    assert ours - own <= 1.0


def test_too_many_feature_sets_are_refused_in_time() -> None:
    one = package("p", {f"f{index:02}": [] for index in range(24)})
    started = time.monotonic()
    with pytest.raises(UserError):
        plan(workspace(one))
    assert time.monotonic() - started < 20


def test_coverage_pages_of_200_000_lines_take_five_seconds(tmp_path: Path) -> None:
    """Of processor time, written to the disk."""
    request = CoverageRequest(cargo=Cargo(directory=tmp_path), html=tmp_path / "pages")
    started = time.process_time()
    site.write(request, tmp_path, two_thousand_files())
    assert time.process_time() - started <= 5
