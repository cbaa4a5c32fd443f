"""What is compared, what was measured of it, and what follows."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class BenchVerdict(StrEnum):
    """What a comparison shows; the last two are of whole runs only."""

    OK = "ok"
    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    INCONCLUSIVE = "inconclusive"
    IDENTICAL = "identical"
    NOTHING = "nothing-to-compare"


class TimeUp(Exception):  # noqa: N818 - no fault of anyone's
    """The time was up before anything was measured; the message says at what."""


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One of the two things compared.

    Attributes:
        ref: The name it was asked for by, such as ``origin/main``; empty for HEAD.
        commit: The commit.
        dirty: Whether the work tree differs from it.
    """

    ref: str = ""
    commit: str
    dirty: bool = False


@dataclass(frozen=True, kw_only=True)
class Host:
    """The machine that measured.

    Attributes:
        machine: The architecture, as ``uname -m`` says it.
        model: The processor's name.
        kernel: The kernel's release.
        processors: How many there are.
        processor: The one that benchmarks were pinned to; None where that was refused.
        load: Load average of the last minute when measuring began.
        doubts: What makes figures of this machine worse than they could be.
    """

    machine: str
    model: str
    kernel: str
    processors: int
    processor: int | None
    load: float
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Looks:
    """When the pairs of a benchmark are judged, fixed before the first is measured.

    Attributes:
        pairs: Numbers of pairs, ascending; the last one ends it.
        alpha: The error that each look and each side of an interval may have.
        wanted: How many pairs the benchmark is worth; the last look comes earlier where time is short.
    """

    pairs: tuple[int, ...]
    alpha: float
    wanted: int


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the pairs of one benchmark prove.

    Attributes:
        verdict: Not `BenchVerdict.IDENTICAL` or `BenchVerdict.NOTHING`.
        change: Median of ln(head / base).
        low: Lower end of its interval; -inf where there are too few pairs.
        high: Upper end; inf likewise.
        settled: Whether more pairs could change nothing that matters.
    """

    verdict: BenchVerdict
    change: float
    low: float
    high: float
    settled: bool


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One benchmark of both sides.

    Attributes:
        id: As criterion names it; with the package before it where several have benchmarks.
        pairs: Nanoseconds per iteration, (base, head), in the order of measuring.
        looks: When they were to be judged.
        judgement: What they prove, with the witness heard.
        instructions_change: Change of the instructions executed, in percent; None where they were
            not counted.
        time_only: Whether instructions say nothing about this benchmark.
        note: What a reader must know about the verdict; empty for most.
    """

    id: str
    pairs: tuple[tuple[float, float], ...]
    looks: Looks
    judgement: Judgement
    instructions_change: float | None = None
    time_only: bool = False
    note: str = ""

    @property
    def medians(self) -> tuple[float, float]:
        """The median of the base's times and of the head's, in nanoseconds."""
        base, head = zip(*self.pairs, strict=True)
        return statistics.median(base), statistics.median(head)


SESSION = "nox -s bench --"
"""The command line of the session."""

OPTIONS = (
    *("--base", "--package", "--exclude", "--changed", "--features", "--filter", "--threshold", "--witness"),
)
"""The options of the command line that say what is compared and how it is judged."""


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """A whole run.

    Attributes:
        base: What HEAD is compared with.
        head: The work tree.
        host: The machine; None where nothing was measured.
        threshold: The slow-down in percent that still passes.
        verdict: Of all benchmarks together.
        options: Those of `OPTIONS` that asked for it, each with its value: ``--base=HEAD~1``.
        command: The command line before them.
        benchmarks: Those of both sides, in the order of the head's.
        only_in_base: Ids of benchmarks that are gone.
        only_in_head: Ids of benchmarks that are new.
        unmeasured: Ids of benchmarks of both sides that no time was left for.
        reason: Why there is nothing to compare; empty where there is.
    """

    base: Revision
    head: Revision
    threshold: float
    verdict: BenchVerdict
    options: tuple[str, ...] = ()
    command: str = SESSION
    host: Host | None = None
    benchmarks: tuple[Comparison, ...] = ()
    only_in_base: tuple[str, ...] = ()
    only_in_head: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    reason: str = ""

    @property
    def geomean_change(self) -> float | None:
        """The geometric mean of all changes, in percent; None where nothing was measured."""
        if not self.benchmarks:
            return None
        changes = [comparison.judgement.change for comparison in self.benchmarks]
        return percent(math.fsum(changes) / len(changes))


def with_option(options: Sequence[str], option: str) -> tuple[str, ...]:
    """Return options of a command line with one more, or with another value of one of them."""
    name = option.partition("=")[0]
    return (*(given for given in options if given.partition("=")[0] != name), option)


def percent(log_ratio: float) -> float:
    """Return ln(head / base) as a change in percent."""
    return 100 * math.expm1(log_ratio) if log_ratio < 700 else math.inf
