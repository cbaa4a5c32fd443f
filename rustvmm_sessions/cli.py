"""The command ``rustvmm-sessions``, for what is wanted without a noxfile."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rustvmm_sessions.cargo import Cargo
from rustvmm_sessions.errors import CheckFailed, UserError


def main(words: list[str] | None = None) -> int:
    """Run the command; return its exit status: 0 done, 1 a check failed, 2 a wrong call or configuration."""
    parser = argparse.ArgumentParser(prog="rustvmm-sessions", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    doctor = commands.add_parser(
        "doctor", help="say which tools are there and which are missing", allow_abbrev=False
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    given = parser.parse_args(words)
    try:
        from rustvmm_sessions.actions.doctor import examine, report  # noqa: PLC0415 - as late as can be

        report(examine(Cargo(directory=Path.cwd())), as_json=given.json)
    except CheckFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0
