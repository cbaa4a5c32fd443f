"""A run as it is shown in the terminal."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from rustvmm_sessions.bench import words
from rustvmm_sessions.bench.model import BenchVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.bench.model import BenchReport, Comparison

PLAIN = words.Markup(code=lambda text: f"`{words.one_line(text)}`", text=words.one_line)

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
    ids = [columns(row[0]) for row in rows]
    first = max(width for width in ids if width <= _WIDEST)
    widths = [max(len(row[cell]) for row in rows) for cell in range(1, 5)]
    table = []
    for row, width in zip(rows, ids, strict=True):
        name = row[0] + " " * (first - width)
        if width > _WIDEST:
            table.append(row[0])
            name = " " * first
        figures = (cell.rjust(size) for cell, size in zip(row[1:5], widths, strict=True))
        table.append("  ".join((name, *figures, row[5])))
    return table


def _row(comparison: Comparison) -> tuple[str, str, str, str, str, str]:
    base, head = comparison.medians
    judgement = comparison.judgement
    return (
        words.one_line(comparison.id),
        words.duration(base),
        words.duration(head),
        words.change(judgement),
        words.interval(judgement),
        words.VERDICTS[judgement.verdict],
    )


def columns(text: str) -> int:
    """Return the columns of a terminal that printable text takes."""
    return sum(
        0 if unicodedata.category(char) in ("Mn", "Me") else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
