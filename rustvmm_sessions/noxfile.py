"""What a crate's noxfile says, where nox does not run it: for the command and for pytest."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files, outcomes, standard
from rustvmm_sessions.console import tell
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.invocation import Invocation
from rustvmm_sessions.process import command_line
from rustvmm_sessions.rust.tools import check_device
from rustvmm_sessions.settings import Settings, settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def settings_in(directory: Path) -> Settings:
    """Return what the noxfile in a directory registers; the defaults where there is none.

    Raises:
        UserError: The noxfile cannot be run.
    """
    noxfile = directory / "noxfile.py"
    text = files.read_text(noxfile)
    found = None if text is None else _registered(noxfile, text)
    return found or settings(directory, {})


def workflow_of(text: str, platforms: tuple[str, ...], before: str) -> str:
    """Return GitHub's workflow for the sessions that a noxfile of this directory registers.

    Args:
        text: The noxfile.
        platforms: What the crate is for, unless the noxfile says so.
        before: The workflow that is there; empty for none.

    Raises:
        UserError: The noxfile cannot be run, or registers no crate.
    """
    from rustvmm_sessions.pipeline.generate import of_sessions, rendered

    noxfile = Path.cwd() / "noxfile.py"
    crate = _registered(noxfile, text)
    if crate is None:
        raise UserError("it calls no register()", where=str(noxfile), fix="add the call")
    known = replace(crate, platforms=crate.platforms or platforms)
    return rendered(of_sessions(known, "github"), "github", noxfile.parent, before)


def _registered(noxfile: Path, text: str) -> Settings | None:
    """Run a noxfile's text, and return what it registers; None where it registers nothing."""
    from rustvmm_sessions.sessions import registered  # nox is slow to import

    said = io.StringIO()
    try:
        code = compile(text, str(noxfile), "exec", dont_inherit=True)
        with contextlib.redirect_stderr(said):
            exec(code, {"__name__": "noxfile", "__file__": str(noxfile)})  # noqa: S102 - as nox does
    except (Exception, SystemExit) as error:  # whatever a noxfile raises
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error  # our own, which is said already, for nox
        tell(said.getvalue())
        what = f"the noxfile cannot be run: {error}"
        raise UserError(what, where=str(noxfile), fix="correct it; `nox -l` shows more") from error
    tell(said.getvalue())
    crate = registered()
    return crate.settings if crate else None


def run(name: str, words: Sequence[str], crate: Settings) -> None:
    """Run a standard session of a crate with the words that nox would give it; see `begin`."""
    given, _ = standard.parser(crate.session(name).row).parse(words)
    begin(name, given, crate, command_line(["pytest", *sys.argv[1:]]))


def begin(name: str, given: argparse.Namespace, crate: Settings, repeat: str, command: str = "") -> None:
    """Run a standard session of a crate with options that are parsed already.

    Args:
        name: The session.
        given: Its options.
        crate: The crate.
        repeat: The command that runs it again.
        command: The command line that asks for it, without options.

    Raises:
        UserError: A device that the crate names for it is not here, or the session says so.
        CheckFailed: The session's check does not pass.
    """
    session = crate.session(name)
    deadline = Deadline(minutes=session.timeout_minutes)
    with outcomes.recorded(name, repeat, directory=crate.directory, called_from=crate.directory) as report:
        for device in session.devices:
            check_device(device)
        standard.begin(
            Invocation(
                crate=crate,
                settings=session,
                deadline=deadline,
                given=given,
                called_from=crate.directory,
                command=command,
                report=report,
            )
        )
