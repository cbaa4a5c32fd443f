"""Limits of time, for a machine that has nothing else to do: ``nox -s speed -- limits``."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.coverage import site
from rustvmm_sessions.coverage.request import CoverageRequest
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.gate.plan import plan
from rustvmm_sessions.rust.cargo import Cargo
from tests.crates import MANIFEST, UPSTREAM_VARIABLES, CrateBuilder, run
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


def test_the_plan_of_16_members_takes_a_second(tmp_path: Path) -> None:
    """Of processor time, so that neighbours do not count."""
    crate = CrateBuilder(tmp_path).with_noxfile("members=True")
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["m*"]\nresolver = "2"\n')
    for number in range(16):
        text = MANIFEST.format(name=f"m{number}").replace(
            "[workspace]", "[features]\na = []\nb = []\nc = []\n"
        )
        if number:
            text += f'[dependencies]\nm{number - 1} = {{ path = "../m{number - 1}" }}\n'
        crate.with_file(f"m{number}/Cargo.toml", text).with_file(f"m{number}/src/lib.rs", "")
    crate.with_git()

    def seconds(*words: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = crate.nox("-s", "clippy", "--", "--list", *words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.code == 0, done.text
        assert "m15" in done.out
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) <= 1
    crate.with_file("m0/src/lib.rs", "// more\n")
    assert min(seconds("--changed", "HEAD") for _ in range(3)) <= 1


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


LOUD = """
import sys
print("\\nrunning 2 tests\\ntest fine ... ok\\ntest loud ... FAILED\\n")
print("failures:\\n\\n---- loud stdout ----")
for n in range(1_300_000):
    sys.stdout.write("a line of what a test prints, about as long as lines of logs are: %07d too\\n" % n)
print("\\nthread 'loud' (1) panicked at src/lib.rs:3:5:\\nwhy\\n\\n\\nfailures:\\n    loud\\n")
print("test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s")
"""

LISTENED = """
import resource, sys, time
from rustvmm_sessions.process import run
from rustvmm_sessions.results import Report
from rustvmm_sessions.rust.libtest import SuiteListener, tell

listener = SuiteListener() if sys.argv[2] == "listened" else None
report = Report()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run([sys.executable, "-c", sys.argv[1]], echo=False, listener=listener)
if listener:
    tell(report, listener.suites(), report.file)
    (finding,) = report.findings
    assert finding.line == 3
    assert report.result(session="s", result="failed", seconds=1).tests["passed"] == 1
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
print(time.process_time(), grown, file=sys.stderr)
"""

RECORDED = """
import os, resource, sys, time
from pathlib import Path

from rustvmm_sessions import outcomes
from rustvmm_sessions.results import Case, Finding

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.process_time()
here = Path.cwd()
with outcomes.recorded("unit-tests", "nox -s unit-tests", directory=here, called_from=here) as report:
    for number in range(500):
        report.ran(Case(name=f"tests::number_{number}", suite="vm_device (src/lib.rs)", result="passed"))
        report.found(Finding(kind="lint", title=f"{number}", message="why\\n" * 10)) if number < 50 else None
seconds = time.process_time() - started
print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, file=sys.stderr)
"""


def test_100_megabytes_of_test_output_are_read_along_in_a_second_and_30_megabytes(tmp_path: Path) -> None:
    def cost(how: str) -> tuple[float, int]:
        done = subprocess.run(
            [sys.executable, "-c", LISTENED, LOUD, how],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        assert len(done.stdout) > 100_000_000
        seconds, grown = done.stderr.split()
        return float(seconds), int(grown)

    alone, listened = (min(cost(how) for _ in range(3)) for how in ("alone", "listened"))
    assert listened[0] - alone[0] <= 1
    assert listened[1] <= 30


def test_a_session_s_result_takes_50_milliseconds_and_30_megabytes(tmp_path: Path) -> None:
    """With what it imports, 500 tests and 50 lints; of processor time, so that neighbours do not count."""

    def cost() -> tuple[float, int]:
        done = run([sys.executable, "-c", RECORDED], cwd=tmp_path, env={"RUSTVMM_RESULTS": "out"})
        seconds, grown = done.err.split()
        return float(seconds), int(grown)

    seconds, grown = min(cost() for _ in range(5))
    assert seconds <= 0.05
    assert grown <= 30
