"""The outcomes of all sessions of one nox run, also of those that ``nox -j`` runs in processes of their own.

The first process makes a folder and names it in the environment; every session adds a line to a
file in it; when the first process ends it prints the summary and removes the folder.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from rustvmm_sessions.console import say

VARIABLE = "RUSTVMM_OUTCOMES"
MOST_LINES = 400
"""Lines of a failed program's output that the summary repeats; the last ones."""


@dataclass(frozen=True, kw_only=True)
class SessionOutcome:
    """How a session ended.

    Attributes:
        session: Its name.
        result: ``passed``, ``failed`` or ``skipped``.
        seconds: Wall time.
        message: Why, and what to do.
        output: What the failing program printed.
    """

    session: str
    result: str
    seconds: float
    message: str = ""
    output: str = ""


def collect() -> None:
    """Begin to collect, unless a parent process does; the summary is printed when this one ends."""
    folder = os.environ.get(VARIABLE)
    if folder and Path(folder).is_dir():
        return
    folder = tempfile.mkdtemp(prefix="rustvmm-outcomes-")
    os.environ[VARIABLE] = folder
    atexit.register(_finish, Path(folder), os.getpid())


def add(outcome: SessionOutcome) -> None:
    """Add a session's outcome."""
    folder = Path(os.environ.get(VARIABLE, ""))
    if folder.is_absolute() and folder.is_dir():
        with (folder / "outcomes").open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")


def _finish(folder: Path, process: int) -> None:
    if os.getpid() != process:
        return
    file = folder / "outcomes"
    lines = file.read_text().splitlines() if file.exists() else []
    shutil.rmtree(folder, ignore_errors=True)
    for text in summary([SessionOutcome(**json.loads(line)) for line in lines]):
        say(text)


def summary(outcomes: list[SessionOutcome]) -> list[str]:
    """Return the table of a run of several sessions, and then what failed in full."""
    if len(outcomes) < 2:
        return []
    width = max(len(o.session) for o in outcomes)
    lines = ["", f"{'session':<{width}}  result   seconds  what to do"]
    for o in outcomes:
        first = o.message.splitlines()[0] if o.message else ""
        lines.append(f"{o.session:<{width}}  {o.result:<7}  {o.seconds:7.1f}  {first}".rstrip())
    for o in outcomes:
        if o.result == "failed":
            lines += ["", f"{o.session} failed:"]
            output = o.output.rstrip().splitlines()
            if len(output) > MOST_LINES:
                lines.append(f"  ({len(output) - MOST_LINES} lines before these)")
            lines += [f"  {line}" for line in output[-MOST_LINES:]]
            lines += [f"  {line}" for line in o.message.splitlines()]
    return lines
