"""The options of the session commit-format, and what it does with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from rustvmm_sessions.invocation import Invocation


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that the session and the command have in common."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--message", type=Path, metavar="FILE", help="check the message in FILE instead")
    one.add_argument(
        "--install-hook",
        action="store_true",
        help="check each message as it is written, by a commit-msg hook",
    )


def run(invocation: Invocation) -> None:
    """Check commit messages, or install the hook that does."""
    from rustvmm_sessions import zipapp
    from rustvmm_sessions.commits import check as commit_format

    given, crate = invocation.given, invocation.crate
    request = commit_format.CommitFormatRequest(
        directory=crate.directory, rules=crate.commit_format, report=invocation.report
    )
    if given.install_hook:
        # It reads the noxfile of the work tree that is committed in, where there is one.
        here: tuple[str, ...] = ("env", f"PYTHONPATH={running}") if (running := zipapp.archive()) else ()
        command = (*here, sys.executable, "-m", "rustvmm_sessions.cli", "commit-format")
        commit_format.install_hook(request, command)
    elif given.message is not None:
        commit_format.check_message(request, invocation.called_from / given.message)
    else:
        commit_format.check_commits(request)
