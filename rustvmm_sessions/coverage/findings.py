"""What a coverage run came to, as findings and figures of the session's result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.coverage import explain
from rustvmm_sessions.results import Finding, Table
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from fractions import Fraction

    from rustvmm_sessions.coverage.measurement import ChangedLines, Decision, Lines, Measurement, Recorded
    from rustvmm_sessions.results import Level, Report


def tell_changed(report: Report, lines: ChangedLines | None, required: Fraction | None) -> None:
    """Report the changed lines that are not covered; too few of them are an error."""
    if lines is None or not lines.lines.count:
        return
    report.figures["changed lines"] = str(lines.lines)
    level: Level = "error" if explain.short(lines, required) else "notice"
    for file in lines.files:
        for first, last in file.uncovered:
            many = first != last
            report.found(
                Finding(
                    kind="coverage",
                    title=f"changed lines {first}-{last} are not covered"
                    if many
                    else f"changed line {first} is not covered",
                    level=level,
                    file=file.path,
                    line=first,
                    end_line=last if many else None,
                )
            )


def tell_judged(  # noqa: PLR0913 - all that a verdict is made of
    report: Report,
    decision: Decision,
    measurement: Measurement,
    recorded: Recorded | None,
    before: Mapping[str, Lines],
    *,
    source: str | None,
    package: str,
    place: Callable[[str], str | None],
) -> None:
    """Report the figure, the verdict, the files that lost coverage since the last pass, and unstable lines.

    Args:
        report: Where to.
        decision: The verdict.
        measurement: What was measured.
        recorded: What is recorded.
        before: The counts of the last passing run; empty where there is none.
        source: The file with the record, from the repository's top.
        package: The member; empty for all.
        place: Returns a file, as the measurement names it, from the repository's top.
    """
    of = f" of {package}" if package else ""
    report.figures[f"line coverage{of}"] = str(measurement.lines)
    if recorded is not None:
        report.figures[f"recorded coverage{of}"] = explain.figure(recorded)
    report.tables += _tables(measurement, before, of)
    for each in _unstable(measurement, place):
        report.found(each)
    if decision.passed:
        return
    report.found(
        Finding(
            kind="coverage",
            title=f"{explain.summary(decision, measurement, recorded)}{of}",
            message="\n".join(explain.difference(decision, measurement, recorded)),
            file=source,
            line=1 if source else None,
        )
    )
    for each in _lost(measurement, before, place) if before else ():
        report.found(each)


def _unstable(measurement: Measurement, place: Callable[[str], str | None]) -> Iterator[Finding]:
    for line in measurement.unstable:
        file = place(line.path)
        yield Finding(
            kind="coverage",
            title=f"{line.path}:{line.line} is not reached in every run",
            level="notice",
            file=file,
            line=line.line if file else None,
        )


def _lost(
    measurement: Measurement, before: Mapping[str, Lines], place: Callable[[str], str | None]
) -> Iterator[Finding]:
    for file in measurement.files:
        old = before.get(file.path)
        lost = file.lines.uncovered - (old.uncovered if old else 0)
        if lost > 0:
            named = place(file.path)
            counts = (
                f"{f'{old.covered}/{old.count}' if old else 'new'} -> {file.lines.covered}/{file.lines.count}"
            )
            yield Finding(
                kind="coverage",
                title=f"{file.path}: {counts}, {counted(lost, 'more line')} uncovered",
                level="notice",
                message=f"uncovered: {explain.places(file)}",
                file=named,
                line=file.uncovered[0][0] if named and file.uncovered else None,
            )


def _tables(measurement: Measurement, before: Mapping[str, Lines], of: str) -> Iterator[Table]:
    if rows := explain.movements(measurement.files, before) if before else []:
        yield Table(
            title=f"Files{of} that moved since the last passing run (covered/count)",
            head=("file", "before", "now", "uncovered"),
            rows=tuple(rows),
            right=(1, 2),
        )
    files = [file for file in measurement.files if file.lines.uncovered]
    files.sort(key=lambda file: (-file.lines.uncovered, file.path))
    yield Table(
        title=f"Files{of} with uncovered lines",
        head=("file", "uncovered", "lines", "where"),
        rows=tuple(
            (file.path, str(file.lines.uncovered), str(file.lines.count), explain.places(file))
            for file in files
        ),
        right=(1, 2),
        folded=True,
    )
