"""RUSTVMM_RESULTS: a file for each session, however it is called and however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest

from tests.crates import LIB, REPOSITORY, CrateBuilder, new_crate, run

if TYPE_CHECKING:
    from pathlib import Path

OWN = """
import time

@crate.session(name="member: a/b")
def own(session):
    crate.run(session, "sh", "-c", "echo out; exit 3")

@crate.session
def skips(session):
    session.skip("no need")

@crate.session
def bug(session):
    raise ValueError("of the noxfile's")

@crate.session
def slow(session):
    open("started", "w").close()
    crate.run(session, "sleep", "20")
"""


@pytest.fixture
def crate(tmp_path: Path) -> CrateBuilder:
    """A crate with sessions of its own, whose folder has a space in its name."""
    made = new_crate(tmp_path / "the crate")
    noxfile = (made.directory / "noxfile.py").read_text().replace("\nregister()", "\ncrate = register()")
    return made.with_file("noxfile.py", noxfile.replace("\nif __name__", f"{OWN}\nif __name__")).with_git()


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the results in a folder by session; every JSON file has its JUnit file."""
    found = {path: json.loads(path.read_text()) for path in folder.glob("*.json")}
    for path, data in found.items():
        root = ET.parse(path.with_suffix(".junit.xml")).getroot()  # noqa: S314 - our own
        assert (root.get("failures") == "0") == (data["result"] != "failed")
    assert len(list(folder.iterdir())) == 2 * len(found)
    return {data["session"]: data for data in found.values()}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_every_session_leaves_its_result(crate: CrateBuilder, jobs: str) -> None:
    crate.with_lib(LIB.replace("super::sign(3), 1", "super::sign(3), 2"))
    names = ["member: a/b", "skips", "bug", "doc", "unit-tests"]
    outcome = crate.nox("-j", jobs, "-s", *names, env={"RUSTVMM_RESULTS": "target/out"})
    assert outcome.code == 1
    found = results(crate.directory / "target/out")
    assert {name: data["result"] for name, data in found.items()} == {
        "member: a/b": "failed",
        "skips": "skipped",
        "bug": "failed",
        "doc": "passed",
        "unit-tests": "failed",
    }
    assert found["member: a/b"]["message"] == "sh -c 'echo out; exit 3': exit status 3"
    assert found["member: a/b"]["repeat"] == "nox -s 'member: a/b'"
    assert found["skips"]["message"] == "no need"
    assert found["bug"]["message"] == "ValueError: of the noxfile's"
    tests = found["unit-tests"]
    assert tests["tests"] == {"passed": 0, "failed": 1, "ignored": 0, "cached": 0, "quarantined": 0}
    (finding,) = tests["findings"]
    assert (finding["kind"], finding["file"], finding["line"]) == ("test", "src/lib.rs", 15)


def test_the_folder_is_from_where_nox_is_called_and_files_from_the_top_of_the_repository(
    tmp_path: Path,
) -> None:
    badly = LIB.replace("    if x < 0 {", "    if x<0{").replace("-> i32", "-> i32 ") + "fn unused() {}\n"
    member = new_crate(tmp_path / "member").with_lib(badly)
    top = CrateBuilder(tmp_path).with_git()
    env: dict[str, str | None] = {"RUSTVMM_RESULTS": "out"}
    done = run(
        [sys.executable, "-m", "nox", "-f", "member/noxfile.py", "-s", "fmt", "build-gnu"],
        cwd=top.directory,
        env=env,
    )
    assert done.code == 1
    found = results(tmp_path / "out")
    places = {(f["kind"], f["file"], f["line"]) for data in found.values() for f in data["findings"]}
    assert ("format", "member/src/lib.rs", 4) in places
    assert ("lint", "member/src/lib.rs", 18) in places
    assert found["fmt"]["repeat"] == "nox -f member/noxfile.py -s fmt"
    assert member.directory.is_dir()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_session_has_failed_and_says_so(crate: CrateBuilder, signum: int) -> None:
    out = crate.directory / "out"
    crate.with_file("out/slow.json", '{"result": "passed"}').with_file("out/slow.junit.xml", "<old/>")
    env = {k: v for k, v in os.environ.items() if not k.startswith("RUSTVMM_")}
    env |= {"RUSTVMM_RESULTS": str(out), "PYTHONPATH": str(REPOSITORY)}
    nox = subprocess.Popen(
        [sys.executable, "-m", "nox", "-s", "slow"],
        cwd=crate.directory,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (crate.directory / "started").exists():
        assert nox.poll() is None
        time.sleep(0.02)
    nox.send_signal(signum)
    nox.wait(30)
    if signum != signal.SIGKILL:
        assert results(out).keys() == {"slow"}
    data = json.loads((out / "slow.json").read_text())
    assert (data["result"], data["message"]) == ("failed", "interrupted before it ended")
    assert not list(out.glob(".*"))
    assert "<old/>" not in "".join(path.read_text() for path in out.iterdir())


def test_what_cannot_be_written_is_a_warning(crate: CrateBuilder) -> None:
    crate.with_file("file", "")
    outcome = crate.nox("-s", "skips", "doc", env={"RUSTVMM_RESULTS": "file/out"})
    assert outcome.code == 0
    assert "warning: RUSTVMM_RESULTS: " in outcome.err


def test_the_command_and_pytest_leave_results_too(crate: CrateBuilder) -> None:
    env: dict[str, str | None] = {"RUSTVMM_RESULTS": "target/out", "BASE_BRANCH": "main"}
    crate.with_file("message", "short\n\nbody\n")
    by_command = [sys.executable, "-m", "rustvmm_sessions.cli", "commit-format", "--message=message"]
    done = run(by_command, cwd=crate.directory, env=env)
    found = results(crate.directory / "target/out")["commit-format"]
    assert (found["result"], done.code) == ("failed", 1)
    assert found["repeat"] == "rustvmm-sessions commit-format --message=message"
    assert {f["kind"] for f in found["findings"]} == {"commit"}
    by_pytest = [
        *(sys.executable, "-m", "pytest", "-p", "rustvmm_sessions.pytest_plugin", "-p", "no:cacheprovider"),
        *("--pyargs", "rustvmm_sessions.integration_tests.test_coverage"),
    ]
    run(by_pytest, cwd=crate.directory, env=env)
    coverage = results(crate.directory / "target/out")["coverage"]
    assert coverage["result"] == "failed"
    assert coverage["findings"][0]["title"].startswith("coverage is 88.89 %")
    assert coverage["repeat"].startswith("pytest -p rustvmm_sessions.pytest_plugin")
    assert coverage["tests"]["passed"] == 1
