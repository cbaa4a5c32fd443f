"""What is measured, recorded and decided: the data that every other module passes on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from rustvmm_sessions.wording import counted, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

Ranges = tuple[tuple[int, int], ...]
"""Ranges of line numbers, 1-based, both ends included, ascending."""


class Profile(StrEnum):
    """Who runs the check: `CI` never writes a tracked file, `DEVEL` records what got better."""

    CI = "ci"
    DEVEL = "devel"


class Scope(StrEnum):
    """What is tested: every member of the workspace, or the package of the crate's directory."""

    WORKSPACE = "workspace"
    CRATE = "crate"


class Backend(StrEnum):
    """What counts the lines; `AUTO` is cargo-llvm-cov where it is found, else `CARGO`."""

    AUTO = "auto"
    CARGO_LLVM_COV = "cargo-llvm-cov"
    CARGO = "cargo"


class Verdict(StrEnum):
    """Measured compared with recorded; `NONE` where nothing is recorded."""

    EQUAL = "equal"
    HIGHER = "higher"
    LOWER = "lower"
    NONE = "none"


def numbers(ranges: Ranges) -> Iterator[int]:
    """Yield the numbers of the lines in ranges."""
    for first, last in ranges:
        yield from range(first, last + 1)


def spans(lines: Iterable[int]) -> Ranges:
    """Join ascending line numbers to ranges, both ends included."""
    ranges: list[tuple[int, int]] = []
    for line in lines:
        if ranges and ranges[-1][1] == line - 1:
            ranges[-1] = (ranges[-1][0], line)
        else:
            ranges.append((line, line))
    return tuple(ranges)


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Covered lines of a number of lines that can be covered; `covered` <= `count`."""

    covered: int
    count: int

    @property
    def uncovered(self) -> int:
        """Lines that no test reached."""
        return self.count - self.covered

    @property
    def percent(self) -> Fraction:
        """Coverage in percent, exactly; 0 where there is nothing to cover."""
        return Fraction(100 * self.covered, self.count) if self.count else Fraction(0)

    def __str__(self) -> str:
        return f"{self.covered}/{counted(self.count, 'line')}, {rounded(self.percent, 2)} %"


def summed(several: Iterable[Lines]) -> Lines:
    """Return the sum of several counts."""
    listed = tuple(several)
    return Lines(covered=sum(each.covered for each in listed), count=sum(each.count for each in listed))


@dataclass(frozen=True, kw_only=True)
class FileCoverage:
    """One source file of a measurement.

    Attributes:
        path: Relative to the workspace root where it lies inside, else absolute; ``/`` between.
        lines: Its lines, as LLVM's summary counts them.
        uncovered: Ranges of uncovered lines, 1-based, both ends included, ascending.
        reached: The same of the lines that were reached. A line in several functions counts once here and
            more than once in `lines`.
    """

    path: str
    lines: Lines
    uncovered: Ranges = ()
    reached: Ranges = ()


@dataclass(frozen=True, kw_only=True)
class ChangedLines:
    """The coverage of the lines changed since the merge base.

    Attributes:
        base: The merge base, a commit.
        name: The branch that it is the merge base with.
        top: The repository's top.
        files: The changed files that were measured, by path from the repository's top, with the changed lines
            of each that can be covered.
        unknown: Changed sources of the workspace that were not measured.
        touched: All changed lines of the measured files, by the path that the measurement has.
    """

    base: str
    name: str
    top: str
    files: tuple[FileCoverage, ...]
    unknown: tuple[str, ...]
    touched: Mapping[str, Ranges]

    @property
    def lines(self) -> Lines:
        """All files together."""
        return summed(file.lines for file in self.files)

    def missed(self, file: FileCoverage) -> Ranges:
        """Return the changed lines of a measured file that were not reached."""
        touched = set(numbers(self.touched.get(file.path, ())))
        return spans(line for line in numbers(file.uncovered) if line in touched)


@dataclass(frozen=True, kw_only=True)
class UnstableLine:
    """A line that some runs of the same build reached and others did not."""

    path: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What several runs of one build reached.

    Attributes:
        runs: How many.
        least: The lines that all of them reached.
        most: The lines that any of them reached.
    """

    runs: int
    least: Lines
    most: Lines


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a coverage run measured.

    Attributes:
        arch: The machine as ``uname -m`` says it: ``x86_64``, ``aarch64``, ``riscv64``.
        toolchain: Release of rustc, such as ``1.95.0``.
        backend: What counted; not `Backend.AUTO`.
        lines: All files together; where the tests ran more than once, of the run in the middle.
        files: Every counted file, by path.
        spread: What the runs reached; None where the tests ran once.
        unstable: Lines that not all runs reached.
    """

    arch: str
    toolchain: str
    backend: Backend
    lines: Lines
    files: tuple[FileCoverage, ...]
    spread: Spread | None = None
    unstable: tuple[UnstableLine, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The coverage that a crate's files say it has.

    Attributes:
        path: The file that says so.
        percent: What it says, in percent.
        decimals: Decimals to which a measurement is rounded before it is compared with `percent`;
            None where it is compared as it is.
        lines: The counts recorded for this architecture, where there are any.
        toolchain: The rustc release those counts were measured with.
        tolerance: Points by which a measurement may differ and still be equal.
        is_score: Whether it is rust-vmm-ci's ``coverage_score``, and ``tests/coverage`` is still to be made.
    """

    path: Path
    percent: Fraction
    decimals: int | None
    tolerance: Fraction
    is_score: bool = False
    lines: Lines | None = None
    toolchain: str = ""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What follows from a measurement and a record.

    Attributes:
        verdict: How they compare.
        passed: Whether the check passes.
        write: Whether the new value is to be recorded.
        within_tolerance: Whether equal only because of the tolerance.
    """

    verdict: Verdict
    passed: bool
    write: bool
    within_tolerance: bool = False
