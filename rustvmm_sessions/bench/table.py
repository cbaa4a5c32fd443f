"""A run as it is shown in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.bench import words
from rustvmm_sessions.bench.model import BenchVerdict
from rustvmm_sessions.wording import columns, one_line, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.bench.model import BenchReport, Comparison

PLAIN = words.Markup(code=lambda text: f"`{one_line(text)}`", text=one_line)

_WIDEST = 40
"""Columns that ids may take; a longer one gets a line of its own."""


def lines(report: BenchReport) -> list[str]:
    """Return the lines that a run ends with: the table, what it means, and what to do next."""
    compared = f"base: {words.revision(report.base, PLAIN)}, now: {words.revision(report.head, PLAIN)}"
    about = [
        words.conclusion(report, PLAIN),
        *_slower(report),
        *words.findings(report, PLAIN),
        *words.sides(report, PLAIN),
        *words.remarks(report, PLAIN),
        *([words.machine(report.host, PLAIN)] if report.host else []),
    ]
    steps = [line for why, command in words.next_steps(report) for line in (why, f"  {command}")]
    table = ["", *_table(report.benchmarks)] if report.benchmarks else []
    return [compared, *table, "", *about, *(["", *steps] if steps else [])]


def _slower(report: BenchReport) -> list[str]:
    """Name once more, below a long table, what a run fails for."""
    slower = words.having(report, BenchVerdict.REGRESSION)
    named = [f"{PLAIN.code(c.id)} {words.change(c.judgement)}" for c in slower[: words.MOST_LISTED]]
    if len(slower) > words.MOST_LISTED:
        named.append(f"and {len(slower) - words.MOST_LISTED} more")
    return [f"Slower: {', '.join(named)}."] if slower else []


def _table(benchmarks: Sequence[Comparison]) -> list[str]:
    head = ("benchmark", "base", "now", "change", "between", "verdict")
    rows = [head, *(_row(comparison) for comparison in benchmarks)]
    table = columns([(row[0] if width(row[0]) <= _WIDEST else "", *row[1:]) for row in rows], range(1, 5))
    return [
        line
        for row, aligned in zip(rows, table, strict=True)
        for line in ((aligned,) if width(row[0]) <= _WIDEST else (row[0], aligned))
    ]


def _row(comparison: Comparison) -> tuple[str, str, str, str, str, str]:
    base, head = comparison.medians
    judgement = comparison.judgement
    return (
        one_line(comparison.id),
        words.duration(base),
        words.duration(head),
        words.change(judgement),
        words.interval(judgement),
        words.VERDICTS[judgement.verdict],
    )
