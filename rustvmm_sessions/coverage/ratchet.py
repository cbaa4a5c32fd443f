"""The ratchet of ``tests/coverage``: its file format, and what follows from a measurement.

The first line is the bare percentage, as the oldest crates have it. At most one line per
architecture follows, ``ARCH COVERED/COUNT rustc-VERSION``, so that architectures and toolchains
that count differently do not block each other::

    92.70
    x86_64 470/507 rustc-1.95.0
    aarch64 466/505 rustc-1.95.0
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from rustvmm_sessions.coverage.measurement import (
    Decision,
    Lines,
    Profile,
    Recorded,
    Spread,
    UnstableLine,
    Verdict,
)
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.wording import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rustvmm_sessions.coverage.measurement import FileCoverage

RECORD = "tests/coverage"
"""Where a crate's coverage is recorded, from the crate's directory."""
_PERCENT = re.compile(r"[0-9]{1,3}(?:\.([0-9]{1,20}))?")
_ARCH_LINE = re.compile(r"([a-z][a-z0-9_]*) ([0-9]{1,12})/([0-9]{1,12}) rustc-([0-9A-Za-z.+-]+)")
_CONFLICT = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")
_NEW_DECIMALS = 2


@dataclass(frozen=True, kw_only=True)
class ArchRecord:
    """One architecture's line of ``tests/coverage``."""

    arch: str
    lines: Lines
    toolchain: str

    def __str__(self) -> str:
        return f"{self.arch} {self.lines.covered}/{self.lines.count} rustc-{self.toolchain}"


@dataclass(frozen=True, kw_only=True)
class CoverageFile:
    """The content of ``tests/coverage``.

    Attributes:
        percent: The first line, as written.
        records: The other lines, in the file's order.
    """

    percent: str
    records: tuple[ArchRecord, ...] = ()

    @property
    def values(self) -> dict[str, tuple[Fraction, str]]:
        """What it says by architecture, and how that is shown; without lines, the percentage for all."""
        lines = {record.arch: (record.lines.percent, str(record.lines)) for record in self.records}
        return lines or {"all architectures": (Fraction(self.percent), f"{self.percent} %")}

    @property
    def decimals(self) -> int:
        """Decimals of the bare percentage."""
        return len(self.percent.partition(".")[2])

    def recorded(self, path: Path, arch: str, tolerance: Fraction) -> Recorded:
        """Return what the file says for `arch`."""
        record = next((r for r in self.records if r.arch == arch), None)
        if record is None:
            return Recorded(
                path=path, percent=Fraction(self.percent), decimals=self.decimals, tolerance=tolerance
            )
        return Recorded(
            path=path,
            percent=record.lines.percent,
            decimals=None,
            tolerance=tolerance,
            lines=record.lines,
            toolchain=record.toolchain,
        )

    def updated(self, new: ArchRecord) -> CoverageFile:
        """Return the file with `new` recorded; other architectures' lines keep their places."""
        percent = f"{rounded(new.lines.percent, self.decimals):f}"  # str() may write 0E-7
        if any(record.arch == new.arch for record in self.records):
            records = tuple(new if record.arch == new.arch else record for record in self.records)
        else:
            records = (*self.records, new)
        return replace(self, percent=percent, records=records)

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in (self.percent, *self.records))


def first_record(new: ArchRecord) -> CoverageFile:
    """Return the file for a crate that had none."""
    return CoverageFile(percent=str(rounded(new.lines.percent, _NEW_DECIMALS)), records=(new,))


def parse(text: str, path: Path) -> CoverageFile:
    """Read the content of ``tests/coverage``.

    Raises:
        UserError: The content is not understood; file and line are named.
    """
    lines = [line.rstrip() for line in text.split("\n")]
    for number, line in enumerate(lines, 1):
        if line.startswith(_CONFLICT):
            raise _bad(
                path,
                number,
                "a merge left its conflict markers in the file",
                "keep the side with the higher value, delete the markers, then measure again",
            )
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise _bad(path, 1, "the file is empty; a percentage such as 80.1 is expected", _restore(path))
    if not _PERCENT.fullmatch(lines[0]) or Fraction(lines[0]) > 100:
        raise _bad(
            path,
            1,
            f"invalid percentage {_shown(lines[0])}; expected a bare number from 0 to 100, such as 80.1",
            _restore(path),
        )
    records: list[ArchRecord] = []
    for number, line in enumerate(lines[1:], 2):
        record = _parse_record(line, path, number)
        if any(record.arch == other.arch for other in records):
            raise _bad(path, number, f"a second line for {record.arch}", "keep the one that is right")
        records.append(record)
    return CoverageFile(percent=lines[0], records=tuple(records))


def _parse_record(line: str, path: Path, number: int) -> ArchRecord:
    match = _ARCH_LINE.fullmatch(line)
    if match is None:
        raise _bad(
            path,
            number,
            f"{_shown(line)} is not understood; ARCH COVERED/COUNT rustc-VERSION is expected, "
            "such as x86_64 470/507 rustc-1.95.0",
            _restore(path),
        )
    arch, covered, count, toolchain = match.groups()
    if int(covered) > int(count) or int(count) == 0:
        raise _bad(path, number, f"{covered} lines covered of {count} is impossible", _restore(path))
    return ArchRecord(arch=arch, lines=Lines(covered=int(covered), count=int(count)), toolchain=toolchain)


def _bad(path: Path, number: int, what: str, fix: str) -> UserError:
    return UserError(what, where=f"{path}:{number}", fix=fix)


def _restore(path: Path) -> str:
    return f"restore it with `git checkout -- {path.parent.name}/{path.name}`, or delete it and measure anew"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def unstable(runs: Sequence[Mapping[tuple[str, int], bool]]) -> tuple[UnstableLine, ...]:
    """Return the lines that some runs reached and others did not; each run says so of (path, line)."""
    lines = sorted({line for run in runs for line in run})
    return tuple(
        UnstableLine(path=path, line=line)
        for path, line in lines
        if len({run.get((path, line)) for run in runs}) > 1
    )


def spread(
    runs: Sequence[Sequence[FileCoverage]],
    together: Sequence[FileCoverage],
    varying: Sequence[UnstableLine],
) -> Spread:
    """Return what all and any of several runs reached.

    LLVM gives the counts of a run, and of all runs' profiles together. What all runs reached follows from
    the lines that vary, file by file, and is at most what the poorest run did: a line that LLVM counts
    once for each of its closures stands among the lines once.

    Args:
        runs: The files of each run.
        together: The files as all profiles together count.
        varying: The lines that not all runs reached.
    """
    poorest: dict[str, int] = {}
    for file in (file for run in runs for file in run):
        poorest[file.path] = min(file.lines.covered, poorest.get(file.path, file.lines.covered))
    most = Lines(
        covered=sum(file.lines.covered for file in together), count=sum(file.lines.count for file in together)
    )
    lost = 0
    for file in together:
        least = poorest[file.path]
        if least < file.lines.covered:
            named = sum(line.path == file.path for line in varying)
            lost += max(file.lines.covered - least, min(named, file.lines.covered))
    return Spread(runs=len(runs), least=Lines(covered=most.covered - lost, count=most.count), most=most)


def compare(measured: Lines, recorded: Recorded, spread: Spread | None = None) -> tuple[Verdict, bool]:
    """Compare a measurement with a record.

    Counts are compared as exact fractions, a bare percentage after rounding the measurement half
    up to the percentage's own decimals.

    After several runs the record is equal if it lies between what all and what any of them reached. Where no
    line varies that is the plain comparison, and no loss is hidden. Where w lines vary, a loss of more than
    w others always shows; one of fewer may pass, as a count does not say which lines it counts. Simulated
    (tests/unit/coverage/test_ratchet.py) for lines that a run reaches with probability p, and a record of
    the middle one of four runs, in percent:

    ==============================================  ===  ===  ===  ===  ===
    p                                               0.1  0.3  0.5  0.7  0.9
    ==============================================  ===  ===  ===  ===  ===
    one line varies: unchanged code fails             4    9    6    3    0
    the same where the tests run once                14   44   50   34   10
    a loss of another line passes                    33   50   30    8    0
    ten lines vary: unchanged code fails              4    0    0    0    1
    the same where the tests run once                68   78   80   77   64
    ==============================================  ===  ===  ===  ===  ===

    Returns:
        The verdict, and whether it is `EQUAL` only within the tolerance.
    """
    least, most = (spread.least, spread.most) if spread else (measured, measured)
    lowest, highest = (_difference(lines, recorded) for lines in (least, most))
    if lowest > recorded.tolerance:
        return Verdict.HIGHER, False
    if highest < -recorded.tolerance:
        return Verdict.LOWER, False
    return Verdict.EQUAL, not lowest <= 0 <= highest


def _difference(measured: Lines, recorded: Recorded) -> Fraction:
    value = measured.percent
    if recorded.decimals is not None:
        value = Fraction(rounded(value, recorded.decimals))
    return value - recorded.percent


def decide(
    measured: Lines,
    recorded: Recorded | None,
    profile: Profile,
    *,
    allow_lower: bool = False,
    spread: Spread | None = None,
) -> Decision:
    """Decide whether the check passes and whether the measurement is recorded.

    Only `Profile.DEVEL` ever writes; a lower value only with `allow_lower`. Where ``coverage_score`` is
    the baseline, passing starts ``tests/coverage``.
    """
    devel = profile is Profile.DEVEL
    if recorded is None:
        return Decision(verdict=Verdict.NONE, passed=devel, write=devel)
    verdict, within = compare(measured, recorded, spread)
    if verdict is Verdict.EQUAL:
        write = devel and recorded.is_score
        return Decision(verdict=verdict, passed=True, write=write, within_tolerance=within)
    write = devel and (verdict is Verdict.HIGHER or allow_lower)
    return Decision(verdict=verdict, passed=write, write=write)
