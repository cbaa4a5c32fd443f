"""The options of the pipeline, which the session and the command share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from rustvmm_sessions.invocation import Invocation

FORMATS = ("buildkite", "github", "github-matrix")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the pipeline is rendered to and what is done with it."""
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="what is made of it")
    parser.add_argument(
        "--changed",
        nargs="?",
        const="",
        metavar="REF",
        help="only steps that what changed since the merge base with REF (default: upstream; nothing is "
        "fetched) concerns; github-matrix on a pull request takes its base without being asked",
    )
    group = parser.add_mutually_exclusive_group()
    add = group.add_argument
    add("--output", type=Path, metavar="FILE", help="write it to a file instead of standard output")
    add("--check", type=Path, metavar="FILE", help="fail if FILE holds another pipeline; write nothing")
    add("--diff", type=Path, metavar="FILE", help="print what changes against the pipeline in FILE")
    add("--explain", action="store_true", help="print a table: each step, its origin, why it is there or not")
    add("--upload", action="store_true", help="hand it to buildkite-agent")


def run(invocation: Invocation) -> None:
    """Print or deliver the pipeline of the crate's sessions."""
    from rustvmm_sessions.pipeline.generate import deliver, of_sessions

    crate = invocation.crate
    pipeline = of_sessions(crate, invocation.given.format, invocation.called_from)
    deliver(pipeline, invocation.given, crate=crate.directory, called_from=invocation.called_from)
