"""What a session leaves on CI's pages: GitHub's log, annotations and summary, Buildkite's annotations."""

from __future__ import annotations

import html
import http.server
import json
import os
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions.files import cache_directory
from tests.crates import LIB, CrateBuilder, Outcome, new_crate, run
from tests.integration.sessions import script
from tests.unit.test_workflow import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGENT = cache_directory() / "pipeline-tools" / "buildkite-agent"
SHA = "0123456789abcdef0123456789abcdef01234567"
ON_GITHUB: dict[str, str | None] = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "rust-vmm/sample",
    "GITHUB_SHA": SHA,
}
FOREIGN = """\
#[test]
fn fails() {
    println!("::error::mine\\n  ::stop-commands::x\\na ##[error]b\\n</details><img src=x>\\n```");
    eprint!("::set-output name=a::b");
    assert_eq!(1, 2, "::warning::two");
}
"""
OWN = """\
from rustvmm_sessions import UserError, register

crate = register()


@crate.session
def fine(session):
    pass


@crate.session
def wrong(session):
    raise UserError("the board is missing", fix="plug it in")
"""


def commands(outcome: Outcome) -> list[tuple[str, dict[str, str], str]]:
    """Return what GitHub's runner is told in a log."""
    lines = re.split(r"[\r\n]", f"{outcome.out}\n{outcome.err}")
    return [found for line in lines if (found := read(line))]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    return new_crate(tmp_path_factory.mktemp("ci") / "crate").with_file("noxfile.py", OWN)


# GitHub


def test_a_failing_test_is_annotated_and_tells_the_runner_nothing(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate").with_lib(FOREIGN).with_git()
    summary = tmp_path / "summary.md"
    summary.write_text("before")
    variables = {**ON_GITHUB, "GITHUB_STEP_SUMMARY": str(summary)}
    outcome = crate.nox("-s", "unit-tests", env=variables)

    assert outcome.code == 1
    told = commands(outcome)
    assert [name for name, _, _ in told] == ["group", "endgroup", "group", "endgroup", "error"]
    assert told[2][2] == "cargo test --tests --package=sample"
    assert ": :error::mine\n  : :stop-commands::x\na ## [error]b\n" in outcome.out
    _, properties, message = told[-1]
    assert properties["file"] == "src/lib.rs"
    assert properties["line"] == properties["endLine"] == "5"
    assert properties["title"].startswith("test fails failed")
    assert "::error::mine" in message
    text = summary.read_text()
    assert text.startswith("before\n### unit-tests failed: ")
    assert "<details open><summary>test fails failed" in text
    assert f'href="https://github.com/rust-vmm/sample/blob/{SHA}/src/lib.rs#L5"' in text
    assert "Run it again: `nox -s unit-tests`" in text


def test_coverage_has_its_figures_and_links_in_the_summary(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate").with_record("100.00\n").with_git()
    crate.with_file("src/more.rs", "pub fn more(x: i32) -> i32 {\n    x + 1\n}\n")
    crate.with_lib(LIB.replace("/// Five", "pub mod more;\n/// Five"))
    summary = tmp_path / "summary.md"
    variables = {**ON_GITHUB, "GITHUB_STEP_SUMMARY": str(summary)}
    outcome = crate.nox("-s", "coverage", "--", "--backend=cargo", "--diff=HEAD", env=variables)

    assert outcome.code == 1
    text = html.unescape(summary.read_text())
    assert text.startswith("### coverage failed: coverage is lower: 66.67 % measured, 100.00 % recorded\n")
    assert "\n- line coverage: 8/12 lines, 66.67 %\n" in text
    assert f'<a href="https://github.com/rust-vmm/sample/blob/{SHA}/src/more.rs#L1-L3">' in text
    assert "| `src/more.rs` | 3 | 3 | 1-3 |\n" in text
    levels = [(name, properties.get("file")) for name, properties, _ in commands(outcome)]
    assert ("error", "tests/coverage") in levels
    assert ("notice", "src/more.rs") in levels


def test_the_summary_of_a_job_takes_what_finds_room(own: CrateBuilder, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    variables = {**ON_GITHUB, "GITHUB_STEP_SUMMARY": str(summary)}
    summary.write_bytes(b"x" * ((1 << 20) - 900))
    outcome = own.nox("-s", "fine", env=variables)
    assert outcome.code == 0
    assert "warning: the job's summary has no room for fine" in outcome.err
    assert summary.stat().st_size == (1 << 20) - 900
    summary.unlink()
    summary.mkdir()
    outcome = own.nox("-s", "fine", env=variables)
    assert outcome.code == 0
    assert "warning: the job's summary cannot be written: " in outcome.err


def test_what_a_user_has_set_wrong_is_an_annotation(own: CrateBuilder) -> None:
    outcome = own.nox("-s", "wrong", env=ON_GITHUB)
    assert commands(outcome) == [
        ("error", {"title": "wrong failed"}, "the board is missing\nhelp: plug it in")
    ]


def test_results_that_go_into_a_file_stay_as_they_are(tmp_path: Path) -> None:
    noxfile = OWN.replace("    pass\n", "    crate.run(session, 'printf', '::a::\\\\n##[b]')\n")
    crate = new_crate(tmp_path / "crate").with_file("noxfile.py", noxfile)
    command = f"{sys.executable} -m nox -s fine > {tmp_path}/out"
    assert run(["sh", "-c", command], cwd=crate.directory, env=ON_GITHUB).code == 0
    assert (tmp_path / "out").read_text() == "::a::\n##[b]"


# Buildkite


@pytest.fixture
def agent(tmp_path: Path) -> dict[str, str | None]:
    """An agent that writes down what it is asked, one file for each call."""
    folder = tmp_path / "bin"
    script(
        folder / "buildkite-agent",
        f'{{ printf "%s\\n" "$@"; cat; }} > {tmp_path}/said-$(ls {tmp_path} | wc -l)',
    )
    return {"BUILDKITE": "true", "PATH": f"{folder}:{os.environ['PATH']}"}


def said(tmp_path: Path) -> list[str]:
    return [path.read_text() for path in sorted(tmp_path.glob("said-*"))]


def test_a_step_has_one_annotation_that_its_retry_replaces(
    own: CrateBuilder, tmp_path: Path, agent: dict[str, str | None]
) -> None:
    step = {**agent, "BUILDKITE_LABEL": ":rust: --context=x; $(id)"}
    outcome = own.nox("-s", "wrong", env=step)
    assert outcome.code == 1
    own.nox("-s", "fine", env=step)
    own.nox("-s", "fine", env=agent)
    own.nox("-s", "doctor", env=agent)  # which judges nothing
    first, retry, unnamed = said(tmp_path)
    assert first.startswith(
        "annotate\n--context=:rust: --context=x; $(id)/wrong\n--style=error\n"
        "### wrong failed: the board is missing\n"
    )
    assert "help: plug it in" in first
    assert retry == "annotate\n--context=:rust: --context=x; $(id)/fine\n--style=success\n### fine passed\n"
    assert unnamed.startswith("annotate\n--context=fine\n")
    assert outcome.err.index("^^^ +++\n+++ wrong failed\n") < outcome.err.index("error: the board is missing")


def test_programs_are_groups_of_the_log(tmp_path: Path) -> None:
    noxfile = OWN.replace("    pass\n", "    crate.run(session, 'true')\n")
    crate = new_crate(tmp_path / "crate").with_file("noxfile.py", noxfile)
    outcome = crate.nox("-s", "fine", env={"BUILDKITE": "true"})
    assert "\n--- true\n+++ fine passed\n" in outcome.err


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        ("exit 3", "buildkite-agent cannot annotate the build: exit status 3"),
        ("echo no token >&2; exit 1", "buildkite-agent cannot annotate the build: no token"),
        ("trap '' TERM; sleep 60 & wait; sleep 60", "buildkite-agent cannot annotate the build: stopped at"),
        (None, "the build cannot be annotated: "),
    ],
)
def test_an_agent_that_fails_changes_nothing(
    own: CrateBuilder, tmp_path: Path, behaviour: str | None, told: str
) -> None:
    path = tmp_path / "buildkite-agent"
    if behaviour is None:
        path.write_bytes(b"\x7fELF")
        path.chmod(0o755)
    else:
        script(path, behaviour)
    started = time.monotonic()
    outcome = own.nox("-s", "fine", env={"BUILDKITE": "true", "BUILDKITE_AGENT": str(path)})
    assert time.monotonic() - started < 14
    assert outcome.code == 0
    assert f"warning: {told}" in outcome.err


def test_without_an_agent_there_is_no_annotation(own: CrateBuilder) -> None:
    outcome = own.nox("-s", "fine", env={"BUILDKITE": "true", "BUILDKITE_AGENT": "/nonexistent"})
    assert outcome.code == 0
    assert "warning" not in outcome.err


class _Api(http.server.BaseHTTPRequestHandler):
    """What of Buildkite's API the agent needs to annotate a build."""

    asked: list[tuple[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, json.loads(body)))
        self.send_response(201)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def api() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    _Api.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v3", _Api.asked
        server.shutdown()


def test_the_agent_itself_takes_the_annotation(
    own: CrateBuilder, api: tuple[str, list[tuple[str, Any]]]
) -> None:
    url, asked = api
    variables: dict[str, str | None] = {
        "BUILDKITE": "true",
        "BUILDKITE_AGENT": str(AGENT),
        "BUILDKITE_AGENT_ENDPOINT": url,
        "BUILDKITE_AGENT_ACCESS_TOKEN": "token",
        "BUILDKITE_JOB_ID": "job",
        "BUILDKITE_LABEL": "gate",
    }
    outcome = own.nox("-s", "wrong", env=variables)
    assert "annotate" not in outcome.err
    ((path, body),) = asked
    assert path == "/v3/jobs/job/annotations"
    assert (body["context"], body["style"]) == ("gate/wrong", "error")
    assert body["body"].startswith("### wrong failed: the board is missing\n")
