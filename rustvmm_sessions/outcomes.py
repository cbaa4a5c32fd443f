"""The outcomes of all sessions of one nox run, also of those that ``nox -j`` runs in processes of their own.

The first process makes a folder and names it in the environment; every session adds a line to a
file in it; when the first process ends it prints the summary and removes the folder.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import print_error, say
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.wording import columns, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "RUSTVMM_OUTCOMES"
MOST_LINES = 400
"""Lines of a failed program's output that the summary repeats; the last ones."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][0-9A-Z]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
"""Colours, character sets and links of a terminal."""


@dataclass(frozen=True, kw_only=True)
class SessionOutcome:
    """How a session ended.

    Attributes:
        session: Its name.
        result: ``passed``, ``failed`` or ``skipped``.
        seconds: Wall time.
        message: Why, and what to do.
        fix: What to do, in one line; empty where the first line of `message` says it.
        output: What the failing program printed.
    """

    session: str
    result: str
    seconds: float
    message: str = ""
    fix: str = ""
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
    """Add a session's outcome; a summary that cannot be written is no fault of the session."""
    folder = Path(os.environ.get(VARIABLE, ""))
    if folder.is_absolute() and folder.is_dir():
        line = json.dumps(asdict(outcome)) + "\n"
        with contextlib.suppress(OSError), (folder / "outcomes").open("ab", buffering=0) as file:
            file.write(line.encode())  # in one call, so that lines of parallel sessions stay whole


@dataclass(kw_only=True)
class Done:
    """What became of something that is done once in a run of nox.

    Attributes:
        failure: None while it is not done, empty where it succeeded, else why it failed.
    """

    failure: str | None = None


@contextlib.contextmanager
def once(name: str) -> Iterator[Done]:
    """Give what is known of something done once, to one process at a time; what it leaves is kept."""
    path = Path(os.environ[VARIABLE]) / f"once-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    with files.locked(path):
        done = Done(failure=path.read_text() if path.exists() else None)
        try:
            yield done
        finally:
            if done.failure is not None:
                path.write_text(done.failure)


def _finish(folder: Path, process: int) -> None:
    if os.getpid() != process:
        return
    file = folder / "outcomes"
    lines = file.read_text().splitlines() if file.exists() else []
    shutil.rmtree(folder, ignore_errors=True)
    outcomes = []
    for line in lines:
        with contextlib.suppress(ValueError):  # what a full disk cut off
            outcomes.append(SessionOutcome(**json.loads(line)))
    try:
        for text in summary(outcomes):
            say(text)
    except UserError as error:
        print_error(error)


def summary(outcomes: list[SessionOutcome]) -> list[str]:
    """Return the table of a run of several sessions, and then what failed in full."""
    if len(outcomes) < 2:
        return []
    table = [("session", "result", "seconds", "what to do")]
    for o in outcomes:
        todo = o.fix or "".join(o.message.splitlines()[:1])
        table.append((o.session, f"{o.result:<7}", f"{o.seconds:.1f}", todo))
    lines = ["", *columns(table, right=(2,))]
    for o in outcomes:
        if o.result == "failed":
            lines += ["", f"{o.session} failed:"]
            output = _ESCAPES.sub("", o.output).strip("\n").splitlines()
            if len(output) > MOST_LINES:
                lines.append(f"  ({counted(len(output) - MOST_LINES, 'line')} before these)")
            lines += [f"  {line}" for line in output[-MOST_LINES:]]
            lines += [f"  {line}" for line in o.message.splitlines()]
    return lines
