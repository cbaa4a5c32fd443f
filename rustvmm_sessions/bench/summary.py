"""What a run tells the session's result: its verdict, and what summaries show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.bench import words
from rustvmm_sessions.results import Table
from rustvmm_sessions.wording import one_line

if TYPE_CHECKING:
    from rustvmm_sessions.bench.model import BenchReport, Comparison
    from rustvmm_sessions.results import Report

_HEAD = ("benchmark", "base", "now", "change", "between", "verdict")
_PLAIN = words.Markup(code=one_line, text=one_line)


def tell(run: BenchReport, report: Report) -> None:
    """Tell the report of a session what a run comes to."""
    report.verdict = words.conclusion(run, _PLAIN)
    sides = (words.revision(side, _PLAIN) for side in (run.base, run.head))
    report.figures["compared"] = " → ".join(sides)
    rows = tuple(_row(comparison) for comparison in words.ranked(run))
    report.tables.append(Table(title="", head=_HEAD, rows=rows, right=(1, 2, 3)))
    report.notes += [
        *words.findings(run, _PLAIN),
        *words.sides(run, _PLAIN),
        *words.remarks(run, _PLAIN),
        *([words.machine(run.host, _PLAIN)] if run.host else []),
    ]
    report.steps += words.next_steps(run)


def _row(comparison: Comparison) -> tuple[str, ...]:
    judgement = comparison.judgement
    return (
        comparison.id,
        *(words.duration(time) for time in comparison.medians),
        words.change(judgement),
        words.interval(judgement),
        words.VERDICTS[judgement.verdict],
    )
