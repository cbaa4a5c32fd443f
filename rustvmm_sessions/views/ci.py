"""Show a session's result where CI shows those of its jobs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog, files
from rustvmm_sessions.console import on_buildkite, on_github, tell, tell_runner, warn
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.process import run
from rustvmm_sessions.views.annotations import annotated
from rustvmm_sessions.views.markdown import MOST_BYTES, markdown

if TYPE_CHECKING:
    from rustvmm_sessions.results import Result

_STYLES = {"failed": "error", "passed": "success", "skipped": "info"}
_AGENT_SECONDS = 9.0
_AGENT_GRACE = 1.0
_LEAST_BYTES = 1000


def show(result: Result) -> None:
    """Show a result on GitHub's and Buildkite's pages; what cannot be shown there changes no verdict."""
    session = catalog.named(result.session)
    if result.result != "failed" and session and catalog.HELPERS in session.tags:
        return  # it judges nothing
    if on_github():
        for each in annotated(result):
            tell_runner(each.name, each.message, **each.properties)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(result, Path(summary))
    if on_buildkite():
        opened = "^^^ +++\n" if result.result == "failed" else ""  # the group of the program that ran last
        tell(f"{opened}+++ {result.session} {result.result}\n")
        _annotate(result)


def _append(result: Result, path: Path) -> None:
    """Append to the summary of a job, which all sessions of the step share."""
    variables = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA")
    server, repository, commit = (os.environ.get(name, "") for name in variables)
    source = f"{server}/{repository}/blob/{commit}" if server and repository and commit else ""
    try:
        with files.locked(path), path.open("ab") as file:
            room = MOST_BYTES - file.tell()
            if room < _LEAST_BYTES:
                warn(f"the job's summary has no room for {result.session}: it has 1 MiB at most")
                return
            gap = "\n" if file.tell() else ""
            file.write(f"{gap}{markdown(result, source, room - len(gap))}".encode(errors="replace"))
    except (OSError, UserError) as error:
        warn(f"the job's summary cannot be written: {error}")


def _annotate(result: Result) -> None:
    """Annotate the build; a step's later run takes the place of what an earlier one said."""
    agent = shutil.which(os.environ.get("BUILDKITE_AGENT") or "buildkite-agent")
    if agent is None:
        return
    context = "/".join(filter(None, (os.environ.get("BUILDKITE_LABEL"), result.session)))
    text = markdown(result, _source_on_github())
    words = ("annotate", f"--context={context}", f"--style={_STYLES[result.result]}")
    try:
        done = run(
            [agent, *words],
            given=text,
            read_stdout=True,
            read_stderr=True,
            echo=False,
            timeout=_AGENT_SECONDS,
            grace=_AGENT_GRACE,
        )
    except UserError as error:
        warn(f"the build cannot be annotated: {error.what}")
        return
    if not done.ok:
        said = done.stderr.strip().splitlines()[-1:] or [done.ending]
        warn(f"buildkite-agent cannot annotate the build: {said[0]}")


def _source_on_github() -> str:
    """Return the address of the repository's files at the commit of a build; empty where it is elsewhere."""
    url, commit = os.environ.get("BUILDKITE_REPO", ""), os.environ.get("BUILDKITE_COMMIT", "")
    repository = re.search(r"github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?$", url)
    if repository is None or not re.fullmatch(r"[0-9a-f]{40}", commit):
        return ""
    return f"https://github.com/{repository[1]}/blob/{commit}"
