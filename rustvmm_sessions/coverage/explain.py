"""Say what a coverage measurement means against what is recorded, and what to do about it."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import PurePath
from typing import TYPE_CHECKING

from rustvmm_sessions.coverage.llvm_export import relative
from rustvmm_sessions.coverage.measurement import (
    ChangedLines,
    Decision,
    FileCoverage,
    Lines,
    Measurement,
    Recorded,
    Verdict,
    spans,
)
from rustvmm_sessions.wording import counted, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rustvmm_sessions.coverage.request import CoverageRequest

MOST_FILES = 10
"""Files listed at most; the rest is counted."""
MOST_RANGES = 12
"""Line ranges of a file listed at most; the rest is counted."""


def command(options: str, package: str = "") -> str:
    """Return the command that runs the session, of one member where there is one."""
    return f"nox -s coverage -- {f'--package {package} ' if package else ''}{options}"


def measured(measurement: Measurement) -> str:
    """Return the line that says what was measured."""
    runs = f", the middle one of {measurement.spread.runs} runs" if measurement.spread else ""
    return (
        f"measured: {measurement.lines}  "
        f"({measurement.arch}, rustc {measurement.toolchain}, by {measurement.backend}{runs})"
    )


def unstable(measurement: Measurement) -> str:
    """Return the warning that names the lines that not all runs reached; empty where there are none."""
    spread = measurement.spread
    if spread is None or spread.least == spread.most:
        return ""
    places: dict[str, list[int]] = {}
    for line in measurement.unstable:
        places.setdefault(line.path, []).append(line.line)
    rows = [f"  {path}:{ranges(spans(lines))}" for path, lines in places.items()]
    rows = rows or ["  (in closures and functions on lines reached otherwise)"]
    return "\n".join(
        (
            f"{spread.least.covered} to {spread.most.covered} lines are covered in {spread.runs} runs of the "
            "same build; lines that not every run reaches:",
            *_and_more(rows[:MOST_FILES], len(rows)),
        )
    )


def recorded(record: Recorded | None, path: str) -> str:
    """Return the line that says what is recorded; `path` is the file that says so."""
    if record is None:
        return "recorded: nothing"
    tolerance = f", tolerance {_points(record.tolerance)}" if record.tolerance else ""
    if record.lines is not None:
        return f"recorded: {record.lines}  ({path}, rustc {record.toolchain}{tolerance})"
    return f"recorded: {_percent(record)} %  ({path}{tolerance})"


def difference(decision: Decision, measurement: Measurement, record: Recorded | None) -> list[str]:
    """Return what the two figures mean side by side."""
    if record is None:
        return []
    spread = measurement.spread
    now = measurement.lines
    if spread and decision.verdict in (Verdict.HIGHER, Verdict.LOWER):
        now = spread.least if decision.verdict is Verdict.HIGHER else spread.most
    points = now.percent - record.percent
    if record.decimals is not None:
        points = Fraction(rounded(now.percent, record.decimals)) - record.percent
    lines = []
    if decision.verdict is Verdict.EQUAL and spread and spread.least != spread.most:
        lines.append("The record lies between what all runs reached and what any run reached: equal.")
        return lines
    if decision.within_tolerance:
        lines.append(
            f"The difference of {_signed(points)} is within the tolerance of "
            f"{_points(record.tolerance)}: equal."
        )
    elif decision.verdict is not Verdict.EQUAL:
        lines.append(f"Coverage is {decision.verdict} by {_points(abs(points))}.")
    if record.lines is not None and now != record.lines:
        lines.append(meaning(now, record.lines))
    if record.toolchain and record.toolchain != measurement.toolchain:
        lines.append(
            f"The record was made with rustc {record.toolchain}, this is {measurement.toolchain}: "
            "compilers count some lines differently."
        )
    if decision.verdict is not Verdict.EQUAL and record.decimals is not None and record.lines is None:
        lines.append(
            "The recorded percentage has no counts for this architecture; "
            "it may have been measured on another one."
        )
    return lines


def meaning(now: Lines, before: Lines) -> str:
    """Say in words how the counts moved: a percentage alone misleads.

    Deleting a well-tested module lowers the percentage although fewer lines are uncovered.
    """
    uncovered = now.uncovered - before.uncovered
    count = now.count - before.count
    counts = (
        f"{counted(now.uncovered, 'line')} uncovered, {before.uncovered} before; "
        f"{counted(now.count, 'line')} in all, {before.count} before"
    )
    if uncovered > 0 and count > 0:
        better = now.percent > before.percent
        words = "code was added" + (", better tested than the rest" if better else " that no test reaches")
    elif uncovered > 0:
        words = "code that was tested no longer is"
    elif now.percent < before.percent:
        words = "no code lost its tests: tested code was removed, so what is left weighs more"
    elif uncovered < 0:
        words = "code that was not tested " + ("now is" if count >= 0 else "is gone, or now is")
    else:
        words = "tested code was added" if count > 0 else "tested code was removed"
    return f"{counts}: {words}."


def movements(now: Sequence[FileCoverage], before: Mapping[str, Lines]) -> list[tuple[str, str, str, str]]:
    """Return the files whose counts differ from those of the last passing run, the largest change first.

    Returns:
        The path, the counts before and now, and where it has more uncovered lines than before, all of them.
    """
    files = {file.path: file for file in now}
    current = {path: file.lines for path, file in files.items()}
    empty = Lines(covered=0, count=0)
    rows = [
        (path, before.get(path, empty), current.get(path, empty))
        for path in sorted({*current, *before})
        if current.get(path) != before.get(path)
    ]
    rows.sort(key=lambda row: -abs(row[2].uncovered - row[1].uncovered))
    return [
        (
            path,
            f"{old.covered}/{old.count}" if path in before else "new",
            f"{new.covered}/{new.count}" if path in current else "gone",
            places(files[path]) if new.uncovered > old.uncovered else "",
        )
        for path, old, new in rows
    ]


def moved(now: Sequence[FileCoverage], before: Mapping[str, Lines]) -> list[str]:
    """List the files whose counts differ from those of the last passing run."""
    rows = movements(now, before)
    if not rows:
        return []
    lines = [
        f"  {path}  {old} -> {new}{f'; uncovered: {uncovered}' if uncovered else ''}"
        for path, old, new, uncovered in rows[:MOST_FILES]
    ]
    return _and_more(["Files that moved since the last passing run here (covered/count):", *lines], len(rows))


def changed(request: CoverageRequest, lines: ChangedLines | None) -> list[str]:
    """Say how many changed lines are covered, and which are not where no table shows them."""
    if lines is None:
        return []
    required = request.patch
    here = request.directory.resolve()
    since = f"since {lines.base[:12]} (merge base with {lines.name})"
    total = lines.lines
    said = []
    if total.count:
        wanted = "" if required is None else f"; {_decimal(required)} % required"
        said.append(
            f"Changed {since}: {total.covered} of {counted(total.count, 'line')} covered, "
            f"{rounded(total.percent, 2)} %{wanted}."
        )
    elif request.diff is not None and not lines.unknown:
        said.append(f"No line that can be covered was changed {since}.")
    top = PurePath(lines.top)

    def shown(path: str) -> str:
        return relative(str(top / path), here) if (top / path).is_relative_to(here) else path

    said += [
        f"  {shown(file.path)}:{ranges(file.uncovered, len(file.uncovered))}"
        for file in lines.files
        if file.uncovered and not request.screen
    ]
    if lines.unknown:
        names = ", ".join(map(shown, lines.unknown))
        said.append(f"Changed {since}, and not in the report, as tests and what is left out are not: {names}")
    return said


def short(lines: ChangedLines | None, required: Fraction | None) -> str:
    """Say that too few of the changed lines are covered; empty where enough are, or none can be."""
    if lines is None or required is None or not lines.lines.count or lines.lines.percent >= required:
        return ""
    total = lines.lines
    return (
        f"{total.covered} of {counted(total.count, 'changed line')} covered, {rounded(total.percent, 2)} %; "
        f"{_decimal(required)} % required"
    )


def remedy_of_changed(package: str = "") -> str:
    """Return what to do where too few of the changed lines are covered."""
    return f"test the lines that are listed; see them in context with `{command('--diff --html', package)}`"


def least_covered(files: Sequence[FileCoverage]) -> list[str]:
    """List the files with most uncovered lines, with the ranges of those lines."""
    worst = sorted(
        (f for f in files if f.lines.uncovered), key=lambda file: (-file.lines.uncovered, file.path)
    )
    if not worst:
        return []
    lines = ["Files with most uncovered lines:"]
    lines += [
        f"  {file.path}  {file.lines.uncovered} of {file.lines.count}: {places(file)}"
        for file in worst[:MOST_FILES]
    ]
    return _and_more(lines, len(worst))


def _and_more(lines: list[str], total: int) -> list[str]:
    return [*lines, f"  and {total - MOST_FILES} more"] if total > MOST_FILES else lines


def places(file: FileCoverage) -> str:
    """Write where a file's uncovered lines are.

    LLVM counts a closure's lines once more, as a function of their own: those that no test calls,
    on lines that tests reach otherwise, have no range and are counted.
    """
    return ", and ".join(filter(None, (ranges(file.uncovered), hidden(file))))


def hidden(file: FileCoverage) -> str:
    """Say how many uncovered lines of a file have no range."""
    number = file.lines.uncovered - sum(last - first + 1 for first, last in file.uncovered)
    return f"{number} in closures and functions on lines reached otherwise" if number > 0 else ""


def ranges(places: Sequence[tuple[int, int]], most: int = MOST_RANGES) -> str:
    """Write line ranges as ``3-5, 9``; those beyond `most` are counted."""
    shown = [f"{first}" if first == last else f"{first}-{last}" for first, last in places[:most]]
    if len(places) > most:
        shown.append(f"and {counted(len(places) - most, 'more place')}")
    return ", ".join(shown)


def commands(decision: Decision, record_path: str, *, allow_lower: bool, package: str = "") -> list[str]:
    """Return what to do next, as commands.

    The tests of some crates, vm-memory's among them, do not reach the same lines in every run.
    """
    add = f"git add {record_path}"
    record = command("--profile devel", package)
    if decision.write and decision.verdict is Verdict.LOWER:
        return [f"Recorded the lower value in {record_path}, as --allow-lower says. Next: {add}"]
    if decision.write:
        return [f"Recorded in {record_path}. Next: {add}"]
    match decision.verdict:
        case Verdict.EQUAL:
            return []
        case Verdict.HIGHER:
            return ["Record it:", f"  {record}", f"  {add}"]
        case Verdict.NONE:
            return ["There is no baseline to compare with. Make one:", f"  {record}", f"  {add}"]
        case Verdict.LOWER:
            accept = (
                [] if allow_lower else [f"  If it is meant: {record} --allow-lower", f"  and then: {add}"]
            )
            return [
                "Next:",
                f"  See the lines: {command('--html', package)}",
                f"  Name lines that not every run reaches: {command('--repeat 10', package)}",
                *accept,
            ]


def not_built(stderr: str, errors: Sequence[str], ending: str) -> tuple[str, bool]:
    """Say why cargo did not build the tests, in the words of what failed.

    Args:
        stderr: What cargo said.
        errors: The errors of the compiler and the linker, as they rendered them.
        ending: How cargo ended.

    Returns:
        The reason, and whether it is code that does not compile.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stderr)
    if match := re.search(r"The system library `(.+?)` required by crate `(.+?)` was not found", plain):
        return f"the system library `{match[1]}`, which `{match[2]}` needs, is missing", False
    if match := re.search(r"^error: failed to run custom build command for `(\S+ \S+)", plain, re.MULTILINE):
        return (
            f"the build script of `{match[1].rstrip('`')}` failed: {_script_words(plain[match.end() :])}",
            False,
        )
    if match := re.search(
        r"rustc (\S+) is not supported by the following packages?:\n((?:[ \t]+\S.*\n?)+)", plain
    ):
        needs = ", ".join(line.strip() for line in match[2].splitlines())
        return f"the toolchain is too old: {needs}, this is rustc {match[1]}", False
    failed = re.search(r"^error: could not compile (`[^`]+`.*?)(?: due to .*)?$", plain, re.MULTILINE)
    crate = failed[1] if failed else "the crate"
    rendered = [re.sub(r"\x1b\[[0-9;]*m", "", error) for error in errors]
    if linking := [text for text in rendered if text.startswith("error: linking with")]:
        missing = re.search(r"(?:cannot find|unable to find library) -l(\S+?):?(?:\s|$)", linking[0])
        why = f"the system library `{missing[1]}` is missing" if missing else linking[0].splitlines()[0]
        return f"{crate} does not link: {why}", False
    if rendered or failed:
        words = next((text.splitlines()[0] for text in rendered if text.startswith("error")), ending)
        return f"the tests do not build with coverage instrumentation: {crate}: {words}", True
    said = re.search(r"^error: (.*)", plain, re.MULTILINE)
    causes = re.findall(r"^Caused by:\n\s+(.+)", plain, re.MULTILINE)
    return f"cargo did not build the tests: {': '.join((said[1] if said else ending, *causes[-1:]))}", False


def _script_words(said: str) -> str:
    """Return what a build script said last, and of a panic its message."""
    if panic := re.search(r"panicked at .*?:\n(.+)", said):
        return panic[1].strip()
    lines = [line.strip() for line in said.partition("--- stderr")[2].splitlines() if line.strip()]
    ended = re.search(r"process didn't exit successfully: `.*` \((.+)\)", said)
    return lines[-1] if lines else ended[1] if ended else "it says nothing"


def remedy(decision: Decision, package: str = "") -> str:
    """Return the command that makes the check pass; empty where it takes more than one."""
    return command("--profile devel", package) if decision.verdict in (Verdict.HIGHER, Verdict.NONE) else ""


def summary(decision: Decision, measurement: Measurement, record: Recorded | None) -> str:
    """Return the one line that a failing session ends with."""
    percent = rounded(measurement.lines.percent, 2)
    if record is None:
        return f"coverage is {percent} % and nothing is recorded to compare it with"
    before = _percent(record)
    if record.lines is not None and before == str(percent):
        return f"coverage is {decision.verdict}: {measurement.lines} measured, {record.lines} recorded"
    return f"coverage is {decision.verdict}: {percent} % measured, {before} % recorded"


def figure(record: Recorded) -> str:
    """Return the recorded figure in short."""
    return str(record.lines or f"{_percent(record)} %")


def _percent(record: Recorded) -> str:
    return f"{rounded(record.percent, 2 if record.decimals is None else record.decimals):f}"


def _points(value: Fraction) -> str:
    decimals = 2 if value >= Fraction(1, 100) else 4
    while value and not rounded(value, decimals):
        decimals += 2  # two fractions may be very near and still differ
    return counted(_decimal(value, decimals), "point")


def _decimal(value: Fraction, decimals: int = 2) -> str:
    text = f"{rounded(value, decimals):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _signed(value: Fraction) -> str:
    return ("+" if value > 0 else "-") + _points(abs(value))
