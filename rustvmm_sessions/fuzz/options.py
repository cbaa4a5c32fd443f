"""The options of the session fuzz."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.settings import FuzzRules

if TYPE_CHECKING:
    from rustvmm_sessions.invocation import Invocation, Parser


def _from_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_from_one.__name__ = "number from 1"  # as argparse names it: invalid number from 1 value: '0'


def add_options(parser: Parser) -> None:
    """Add the options of the session."""
    add = parser.add_argument
    add("--seconds", type=_from_one, metavar="N", help="how long each target is fuzzed (default: 60)")
    add(
        "--target",
        action="append",
        default=[],
        metavar="NAME",
        help="only this fuzz target; may be repeated",
    )
    add("--jobs", type=_from_one, default=1, metavar="N", help="processes that fuzz a target side by side")
    add(
        "--corpus",
        type=Path,
        metavar="DIR",
        help="keep inputs in DIR/TARGET, and remove those that reach nothing new",
    )
    add(
        "--regressions",
        action="store_true",
        help="only run the inputs of the corpus and of earlier crashes again, without fuzzing",
    )


def run(invocation: Invocation) -> None:
    """Fuzz the targets, or run known inputs again."""
    from rustvmm_sessions.fuzz.run import FuzzRequest, fuzz

    given, rules = invocation.given, invocation.crate.fuzz or FuzzRules()
    kept = invocation.crate.directory / rules.corpus if rules.corpus else None
    fuzz(
        FuzzRequest(
            cargo=invocation.cargo,
            called_from=invocation.called_from,
            workspace=invocation.crate.workspace,
            seconds=given.seconds or rules.seconds,
            targets=tuple(given.target) or rules.targets,
            jobs=given.jobs,
            corpus=invocation.path("corpus") or kept,
            regressions=given.regressions,
            deadline=invocation.deadline,
            report=invocation.report,
        )
    )
