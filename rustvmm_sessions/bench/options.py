"""The options of the session bench, and what it does with them."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.invocation import add_member_options

if TYPE_CHECKING:
    from rustvmm_sessions.bench.compare import Delivery
    from rustvmm_sessions.invocation import Invocation


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that the session and the command have in common."""
    add = parser.add_argument
    add(
        "--base",
        default="",
        metavar="REF",
        help="compare with the merge base with REF, which is known here (default: upstream, fetched)",
    )
    add_member_options(parser)
    add(
        "--features",
        metavar="LIST",
        help="build with these beside the default ones (default: as many as may go together)",
    )
    add("--filter", default="", metavar="REGEX", help="only benchmarks in whose id it is found")
    add(
        "--threshold",
        type=_percent,
        metavar="PERCENT",
        help="the slow-down that still passes (default: register(bench=...)'s, else 1)",
    )
    add("--max-minutes", type=_minutes, metavar="N", help="the time for all of it, building included")
    add("--json", type=Path, metavar="FILE", help="write the result with all raw figures")
    add("--html", type=Path, metavar="FILE", help="write a page with all figures")
    add("--critcmp", type=Path, metavar="DIR", help="write both sides as baselines for critcmp")
    outcome = parser.add_mutually_exclusive_group()
    outcome.add_argument("--report-only", action="store_true", help="fail on no verdict")
    outcome.add_argument("--strict", action="store_true", help="fail also where noise hides the answer")
    add(
        "--witness",
        choices=["auto", "off"],
        default="auto",
        help="count instructions by valgrind where it is there and times differ",
    )


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of percent from 0 to 1000")
    return value


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")
    return value


def run(invocation: Invocation) -> None:
    """Compare benchmarks as the options say."""
    from rustvmm_sessions.bench import compare as bench

    given, cargo, deadline = invocation.given, invocation.cargo, invocation.deadline
    choice, packages = invocation.choice, tuple(filter(None, [cargo.variable("PACKAGE")]))
    if given.max_minutes is not None:
        deadline = replace(deadline, minutes=given.max_minutes, setting="--max-minutes")
    bench.check_benchmarks(
        bench.BenchRequest(
            cargo=cargo,
            choice=replace(choice, packages=choice.packages or packages),
            features=given.features,
            base=given.base,
            filter=given.filter,
            rules=invocation.crate.bench,
            threshold=given.threshold,
            deadline=deadline,
            witness=given.witness == "auto",
            delivery=delivery(given, invocation.called_from),
            command=invocation.command,
            report=invocation.report,
        )
    )


def delivery(given: argparse.Namespace, called_from: Path) -> Delivery:
    """Return what the options of `add_options` say of the report."""
    from rustvmm_sessions.bench.compare import Delivery

    return Delivery(
        json=given.json and called_from / given.json,
        html=given.html and called_from / given.html,
        critcmp=given.critcmp and called_from / given.critcmp,
        strict=given.strict,
        report_only=given.report_only,
    )
