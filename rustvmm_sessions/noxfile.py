"""What a crate's noxfile says, where nox does not run it: for the command and for pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions import standard
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.invocation import Invocation
from rustvmm_sessions.rust.tools import check_device
from rustvmm_sessions.settings import Settings, settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path


def settings_in(directory: Path) -> Settings:
    """Return what the noxfile in a directory registers; the defaults where there is none.

    Raises:
        UserError: The noxfile cannot be run.
    """
    if not (directory / "noxfile.py").is_file():
        return settings(directory, {})
    from rustvmm_sessions.sessions import settings_of  # noqa: PLC0415 - nox is slow to import

    return settings_of(directory / "noxfile.py")


def run(name: str, words: Sequence[str], crate: Settings) -> None:
    """Run a standard session of a crate with the words that nox would give it; see `begin`."""
    given, _ = standard.parser(crate.session(name).row).parse(words)
    begin(name, given, crate)


def begin(name: str, given: argparse.Namespace, crate: Settings, command: str = "") -> None:
    """Run a standard session of a crate with options that are parsed already.

    Raises:
        UserError: A device that the crate names for it is not here, or the session says so.
        CheckFailed: The session's check does not pass.
    """
    session = crate.session(name)
    deadline = Deadline(minutes=session.timeout_minutes)
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
        )
    )
