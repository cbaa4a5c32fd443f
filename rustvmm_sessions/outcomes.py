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
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import files
from rustvmm_sessions.console import coloured, pass_on, print_error, task, terminal_columns, warn
from rustvmm_sessions.errors import CheckFailed, Skipped, UserError, printable
from rustvmm_sessions.results import Report, Result, clipped, file_name, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "RUSTVMM_OUTCOMES"
RESULTS_VARIABLE = "RUSTVMM_RESULTS"
"""Names the folder where each session leaves its result."""
_INTERRUPTED = "interrupted before it ended"


def results_folder(called_from: Path) -> Path | None:
    """Return the folder that RUSTVMM_RESULTS names, None for none."""
    named = os.environ.get(RESULTS_VARIABLE)
    return called_from / named if named else None


@contextlib.contextmanager
def recorded(
    session: str, repeat: str, *, directory: Path, called_from: Path, summed: bool = False
) -> Iterator[Report]:
    """Give a session the report for what it finds, and deliver its result however it ends.

    Args:
        session: Its name.
        repeat: The command that runs it again.
        directory: The crate's.
        called_from: Where it was called, which RUSTVMM_RESULTS starts from.
        summed: Whether the summary of this run of nox has it.
    """
    started = time.monotonic()
    here = directory.resolve()
    report = Report(here, files.repository_top(here))
    folder = results_folder(called_from)
    # What a run leaves that is killed; and no earlier file remains.
    killed = Result(session=session, result="failed", seconds=0, message=_INTERRUPTED, repeat=repeat)
    _write(folder, killed, ended=False)
    ended: dict[str, Any] = {"result": "failed", "message": _INTERRUPTED}
    try:
        with task(session=session):
            yield report
        ended = {"result": "passed"}
    except Skipped as reason:
        ended = {"result": "skipped", "message": str(reason)}
        raise
    except (UserError, CheckFailed) as error:
        output = getattr(error, "output", "")
        ended |= {"message": str(error), "fix": error.fix, "output": clipped(output)}
        raise
    except Exception as error:  # whatever a noxfile's function raises
        said = str(error)
        name = type(error).__name__
        # nox's own exceptions, those of session.error() for one, have private names
        if name == "_SessionSkip":
            ended["result"] = "skipped"
        ended["message"] = said if name.startswith("_") else f"{name}: {said}"
        raise
    finally:
        result = report.result(session=session, seconds=time.monotonic() - started, repeat=repeat, **ended)
        if summed:
            add(result)
        _write(folder, result)
        from rustvmm_sessions.views import ci

        ci.show(result)


def _write(folder: Path | None, result: Result, *, ended: bool = True) -> None:
    """Write the files of a session; that they cannot be written changes no verdict."""
    if folder is None:
        return
    path = folder / f"{file_name(result.session)}.json"
    tests = path.with_suffix(".junit.xml")
    try:
        files.write_atomic(path, json.dumps(result.as_json(), indent=1) + "\n")
        if ended:
            from rustvmm_sessions.views import junit

            files.write_atomic(tests, junit.xml(result))
        else:
            tests.unlink(missing_ok=True)
    except (OSError, UserError) as error:
        said = f"{error.what}\n --> {error.where}" if isinstance(error, UserError) else error.strerror
        warn(f"{RESULTS_VARIABLE}: {said}")


def collect() -> None:
    """Begin to collect, unless a parent process does; the summary is printed when this one ends."""
    folder = os.environ.get(VARIABLE)
    if folder and Path(folder).is_dir():
        return
    folder = tempfile.mkdtemp(prefix="rustvmm-outcomes-")
    os.environ[VARIABLE] = folder
    atexit.register(_finish, Path(folder), os.getpid(), time.monotonic())


def add(result: Result) -> None:
    """Add a session's result; a summary that cannot be written is no fault of the session."""
    folder = Path(os.environ.get(VARIABLE, ""))
    if folder.is_absolute() and folder.is_dir():
        line = json.dumps({**result.as_json(), "output": result.output}) + "\n"
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


def recorded_sessions() -> list[str]:
    """Return the sessions of this run of nox that have ended."""
    return [result.session for result in _results(Path(os.environ.get(VARIABLE, "/dev/null")))]


def _results(folder: Path) -> list[Result]:
    file = folder / "outcomes"
    results = []
    for line in file.read_text().splitlines() if file.is_file() else ():
        with contextlib.suppress(ValueError):  # what a full disk cut off
            results.append(from_json(json.loads(line)))
    return results


def _finish(folder: Path, process: int, started: float) -> None:
    if os.getpid() != process:
        return
    results = _results(folder)
    if not results:
        shutil.rmtree(folder, ignore_errors=True)
        return
    from rustvmm_sessions.views import terminal

    shutil.rmtree(folder, ignore_errors=True)
    try:
        for each in terminal.end(results, time.monotonic() - started, terminal_columns()):
            text = printable(each.text)
            pass_on(f"{each.coloured(text) if coloured(sys.stdout) else text}\n", sys.stdout)
    except UserError as error:
        print_error(error)
