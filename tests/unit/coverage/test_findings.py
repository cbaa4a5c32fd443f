"""What a coverage run comes to, as findings and figures."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from rustvmm_sessions.coverage.findings import tell_changed, tell_judged
from rustvmm_sessions.coverage.measurement import (
    Backend,
    ChangedLines,
    Decision,
    FileCoverage,
    Lines,
    Measurement,
    Recorded,
    UnstableLine,
    Verdict,
)
from rustvmm_sessions.results import Report

BUS = FileCoverage(path="src/bus.rs", lines=Lines(covered=80, count=90), uncovered=((3, 5), (9, 9)))
OTHER = FileCoverage(path="src/other.rs", lines=Lines(covered=10, count=10))
MEASUREMENT = Measurement(
    arch="x86_64",
    toolchain="1.95.0",
    backend=Backend.CARGO,
    lines=Lines(covered=90, count=100),
    files=(BUS, OTHER),
)
RECORDED = Recorded(
    path=Path("/crate/tests/coverage"),
    percent=Fraction(92),
    decimals=1,
    tolerance=Fraction(0),
    lines=Lines(covered=92, count=100),
    toolchain="1.95.0",
)


def judged(verdict: Verdict, *, passed: bool, before: dict[str, Lines] | None = None) -> Report:
    report = Report(Path("/crate"))
    tell_judged(
        report,
        Decision(verdict=verdict, passed=passed, write=False),
        MEASUREMENT,
        RECORDED,
        before or {},
        source="tests/coverage",
        package="",
        place=report.file,
    )
    return report


def test_a_lower_figure_is_an_error_at_the_record_and_names_the_files_that_lost() -> None:
    lost = {"src/bus.rs": Lines(covered=82, count=90), "src/other.rs": Lines(covered=10, count=10)}
    verdict, moved = judged(Verdict.LOWER, passed=False, before=lost).findings
    assert (verdict.kind, verdict.level, verdict.file) == ("coverage", "error", "tests/coverage")
    assert verdict.title == "coverage is lower: 90.00 % measured, 92.0 % recorded"
    assert (moved.level, moved.file, moved.line) == ("notice", "src/bus.rs", 3)
    assert moved.title == "src/bus.rs: 82/90 -> 80/90, 2 more lines uncovered"


def test_lines_that_not_every_run_reaches_are_named_also_where_it_passes() -> None:
    report = Report(Path("/crate"))
    varying = replace(MEASUREMENT, unstable=(UnstableLine(path="src/bus.rs", line=7),))
    tell_judged(
        report,
        Decision(verdict=Verdict.EQUAL, passed=True, write=False),
        varying,
        RECORDED,
        {},
        source=None,
        package="",
        place=report.file,
    )
    (found,) = report.findings
    assert (found.level, found.file, found.line) == ("notice", "src/bus.rs", 7)


def test_what_passes_has_figures_and_no_finding() -> None:
    report = judged(Verdict.EQUAL, passed=True)
    assert report.findings == ()
    assert report.figures == {
        "line coverage": "90/100 lines, 90.00 %",
        "recorded coverage": "92/100 lines, 92.00 %",
    }


@pytest.mark.parametrize(("required", "level"), [(None, "notice"), (80, "notice"), (90, "error")])
def test_changed_lines_that_are_not_covered_are_an_error_where_they_are_too_many(
    required: int | None, level: str
) -> None:
    report = Report()
    changed = ChangedLines(base="abc", name="main", top="/crate", files=(BUS,), unknown=(), touched={})
    tell_changed(report, changed, None if required is None else Fraction(required))
    assert [(f.title, f.level, f.file, f.line, f.end_line) for f in report.findings] == [
        ("changed lines 3-5 are not covered", level, "src/bus.rs", 3, 5),
        ("changed line 9 is not covered", level, "src/bus.rs", 9, None),
    ]
    assert report.figures == {"changed lines": "80/90 lines, 88.89 %"}


def test_where_no_changed_line_can_be_covered_there_is_no_figure() -> None:
    report = Report()
    tell_changed(report, None, Fraction(80))
    nothing = ChangedLines(base="abc", name="main", top="/crate", files=(), unknown=(), touched={})
    tell_changed(report, nothing, Fraction(80))
    assert not report.figures
    assert not report.findings
