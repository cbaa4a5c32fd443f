"""What pairs of short processes prove about the speed of two programs.

A process gives one figure: the 25th percentile of its samples' time per iteration, which bursts of
other work on the machine hardly move. A pair of processes, run one after the other in random order,
gives d = ln(head / base), in which slow drifts of the machine cancel. The change is the median of
all d. Its interval is the one of the sign test: it holds for any distribution of d, however heavy its
tails, as long as the pairs are independent (order statistics: David and Nagaraja, Order Statistics,
3rd edition, 2003, section 7.1; sign test: Conover, Practical Nonparametric Statistics, 3rd edition,
1999, section 3.4). Signed ranks would take a third fewer pairs on normal noise, but the noise of a
busy machine is a narrow core and a quarter of wild pairs, on which they take up to twice as many.

The pairs are judged at a few looks planned in advance. Each look of each benchmark gets an equal
share of `FAMILY_ALPHA` (Bonferroni), so the chance that a run fails although no benchmark is slower
by more than the threshold is at most `FAMILY_ALPHA`, whatever the number of looks and benchmarks, and
however large the noise.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from rustvmm_sessions.bench.model import BenchVerdict, Judgement, Looks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FAMILY_ALPHA = 0.01
"""The chance that a run fails although nothing got slower by more than the threshold."""

LOOKS = (30, 60, 120, 240)
"""Numbers of pairs at which a benchmark is judged; the last is for what is inconclusive till then."""

BENCHMARK_SECONDS = 60.0
"""What a benchmark may take where a pair takes long; most are settled in a tenth of it."""

RESOLUTION = 5.0
"""A slow-down in percent that a run must exclude before a benchmark counts as ok."""

SAME_INSTRUCTIONS = 0.1
"""A change of the number of instructions in percent that is none; two runs of one program differ by 0.03."""

SMALL_CHANGE = 5.0
"""A change in percent that layout alone can cause: below it, time and instructions must agree."""

AGREEING_INSTRUCTIONS = 0.5
"""A change of instructions in percent that explains a small one in time; calls of code that only moved differ
by up to 0.4."""

MOST_INSTRUCTIONS = 32.0
"""More instructions than a processor executes in a nanosecond: six or so in a cycle, five cycles."""

SUSPICION = "both builds execute the same instructions: suspected to be layout of code or the host"
"""What is said of a change in time that no change of the instructions explains."""

DISAGREEMENT = "instructions do not explain so small a change in time: suspected to be layout of code"
"""What is said where instructions change, but too little, or the other way."""

UNCOUNTED = "no instructions were counted, so this may be layout of code (valgrind counts them)"
"""What is said of a small change in time that nothing confirms."""


NOTES = (SUSPICION, DISAGREEMENT, UNCOUNTED)


def process_estimate(iterations: Sequence[float], times: Sequence[float]) -> float:
    """Return the 25th percentile of time per iteration, interpolated linearly between samples.

    Args:
        iterations: Iterations of each sample.
        times: Nanoseconds of each sample.
    """
    rates = sorted(time / count for count, time in zip(iterations, times, strict=True))
    place = 0.25 * (len(rates) - 1)
    below = int(place)
    above = min(below + 1, len(rates) - 1)
    return rates[below] + (place - below) * (rates[above] - rates[below])


def bound_rank(pairs: int, alpha: float) -> int:
    """Return the rank from 1 of the value that bounds the median of `pairs` values from below.

    It is the largest k with P(Binomial(pairs, 1/2) < k) <= alpha: the k-th smallest value is above
    the true median with a probability of at most `alpha`. 0 where the values are too few.
    """
    total = 0
    limit = alpha * 2.0**pairs
    middle = (pairs + 1) // 2
    for rank in range(middle):
        total += math.comb(pairs, rank)
        if total > limit:
            return rank
    return middle  # an alpha of about a half or more


def fewest_pairs(alpha: float) -> int:
    """Return the number of pairs below which no slow-down can be proven at `alpha`."""
    return math.ceil(-math.log2(alpha))


def wanted_pairs(benchmarks: int, pair_seconds: float) -> int:
    """Return how many pairs a benchmark is worth that takes `pair_seconds` for each.

    As many as fit into `BENCHMARK_SECONDS`, but so many that a slow-down can be proven even if a
    pair or two speak against it.

    Args:
        benchmarks: How many are compared in this run.
        pair_seconds: Seconds that a pair of processes takes.
    """
    least = fewest_pairs(FAMILY_ALPHA / benchmarks) + 4
    return min(LOOKS[-1], max(least, int(BENCHMARK_SECONDS / pair_seconds)))


def plan_looks(benchmarks: int, wanted: int, share: float = 1.0) -> Looks:
    """Plan when a benchmark's pairs are judged: at those of `LOOKS` that come early enough, and at last.

    Args:
        benchmarks: How many are compared in this run.
        wanted: How many pairs this one is worth, as `wanted_pairs` says.
        share: How much there is of the time that they take.
    """
    last = max(1, int(min(wanted, LOOKS[-1]) * min(1.0, share)))
    looks = (*(pairs for pairs in LOOKS if 3 * pairs <= 2 * last), last)
    return Looks(pairs=looks, alpha=FAMILY_ALPHA / benchmarks / len(looks), wanted=wanted)


def judge(pairs: Sequence[tuple[float, float]], *, alpha: float, threshold: float) -> Judgement:
    """Return what pairs of nanoseconds (base, head) prove.

    A regression is a change whose interval lies above `threshold`, an improvement one whose interval
    lies as far below. Otherwise a benchmark is ok if the interval excludes a slow-down of
    `RESOLUTION` percent (or twice the threshold, where that is more), and inconclusive if not.

    More pairs are worth their time until a change is proven or a slow-down of twice the threshold is
    excluded; beyond the look before the last, only while the benchmark is inconclusive.

    Args:
        pairs: At least one.
        alpha: The error that each side of the interval may have.
        threshold: The slow-down in percent that still passes.
    """
    differences = sorted(math.log(head) - math.log(base) for base, head in pairs)
    rank = bound_rank(len(differences), alpha)
    low = differences[rank - 1] if rank else -math.inf
    high = differences[-rank] if rank else math.inf
    if low > math.log1p(threshold / 100):
        verdict = BenchVerdict.REGRESSION
    elif high < -math.log1p(threshold / 100):
        verdict = BenchVerdict.IMPROVEMENT
    elif high <= math.log1p(max(RESOLUTION, 2 * threshold) / 100):
        verdict = BenchVerdict.OK
    else:
        verdict = BenchVerdict.INCONCLUSIVE
    decided = verdict in (BenchVerdict.REGRESSION, BenchVerdict.IMPROVEMENT)
    enough = verdict is BenchVerdict.OK and len(pairs) >= LOOKS[-2]
    return Judgement(
        verdict=verdict,
        change=statistics.median(differences),
        low=low,
        high=high,
        settled=decided or enough or high <= math.log1p(2 * threshold / 100),
    )


def detectable(judgement: Judgement, threshold: float) -> float:
    """Return the smallest slow-down in percent that would have been found with pairs like these.

    The lower end of the interval lies below the change by what noise and number of pairs make of
    it; a change larger than the threshold by that much would have failed.
    """
    return 100 * math.expm1(math.log1p(threshold / 100) + judgement.change - judgement.low)


def overall(verdicts: Iterable[BenchVerdict], *, complete: bool) -> BenchVerdict:
    """Return the verdict of a run from those of its benchmarks: the one that matters most.

    A benchmark that no time was left for, where the run is not complete, is inconclusive.
    """
    found = {*verdicts, *(() if complete else (BenchVerdict.INCONCLUSIVE,))}
    order = (BenchVerdict.REGRESSION, BenchVerdict.INCONCLUSIVE, BenchVerdict.IMPROVEMENT)
    return next((verdict for verdict in order if verdict in found), BenchVerdict.OK)


def instructions_change(base: int, head: int, base_ns: float) -> float:
    """Return the change of the instructions of one iteration, in percent and at least -100.

    Counted is all that criterion's ``iter`` functions execute, and in ``iter_batched`` that is also the
    setup, whose time is not measured. So that a large setup hides no change of the benchmark, the
    change is one of no more instructions than the time measured has room for.

    Args:
        base: Instructions counted in the base, at least 1.
        head: Instructions counted in HEAD.
        base_ns: Nanoseconds of an iteration of the base.
    """
    return max(-100.0, 100 * (head - base) / min(base, MOST_INSTRUCTIONS * base_ns))


def hear_witness(judgement: Judgement, instructions_change: float | None) -> tuple[Judgement, str]:
    """Return the judgement and what must be said of it after the instructions were counted.

    Where both builds execute the same instructions, a change in time comes from where code and
    data happen to lie, or from the machine: it is not held against the change under test. That can
    also add to what the change does, so one that is not proven to be of `SMALL_CHANGE` counts only
    where the instructions change the same way, and enough.

    Args:
        judgement: What the times prove.
        instructions_change: Change of the number of instructions in percent; None where it is not
            known.
    """
    if judgement.verdict not in (BenchVerdict.REGRESSION, BenchVerdict.IMPROVEMENT):
        return judgement, ""
    slower = judgement.verdict is BenchVerdict.REGRESSION
    proven = 100 * math.expm1(judgement.low if slower else -judgement.high)
    if instructions_change is None:
        return judgement, UNCOUNTED if proven < SMALL_CHANGE else ""
    if abs(instructions_change) < SAME_INSTRUCTIONS:
        return replace(judgement, verdict=BenchVerdict.INCONCLUSIVE), SUSPICION
    agreeing = instructions_change if slower else -instructions_change
    if proven >= SMALL_CHANGE or agreeing >= min(AGREEING_INSTRUCTIONS, max(SAME_INSTRUCTIONS, proven)):
        return judgement, ""
    return replace(judgement, verdict=BenchVerdict.INCONCLUSIVE), DISAGREEMENT
