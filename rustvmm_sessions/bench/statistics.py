"""What pairs of short processes prove about the speed of two programs.

A process gives one figure: the 25th percentile of its samples' time per iteration, which bursts of
other work on the machine hardly move. A pair of processes, run one after the other in random order,
gives d = ln(head / base), in which slow drifts of the machine cancel. Random order makes d symmetric
about the change, whatever the distribution of a process's figure: exactly where both builds are equally
noisy. So the change is the median of the means of all two pairs (Hodges and Lehmann, Annals of
Mathematical Statistics 34, 1963), and its interval is the one of Wilcoxon's signed ranks (Hollander,
Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition, 2014, sections 3.1 to 3.3). Up to
29 % of wild pairs cannot carry it away, and on normal noise it takes two thirds of the pairs that the
sign test takes.

The pairs are judged at a few looks planned in advance. Each look of each benchmark gets an equal
share of `FAMILY_ALPHA` (Bonferroni), so the chance that a run fails although no benchmark is slower
by more than the threshold is below `FAMILY_ALPHA`, whatever the number of looks and benchmarks, and
however large the noise.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from functools import cache
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

SUSPICION = "both builds execute the same instructions: suspected to be layout of code or the host"
"""What is said of a change in time that no change of the instructions explains."""


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


@cache
def sign_patterns(pairs: int) -> tuple[int, ...]:
    """Return for each t how many of the 2**pairs patterns of signs have positive ranks that sum to t.

    They are the coefficients of the product of all (1 + x**rank), multiplied as one long integer
    that has a field of whole bytes for each.
    """
    width = pairs // 8 + 1
    packed = 1
    for rank in range(1, pairs + 1):
        packed += packed << (8 * width * rank)
    fields = packed.to_bytes((pairs * (pairs + 1) // 2 + 1) * width, "little")
    return tuple(int.from_bytes(fields[at : at + width], "little") for at in range(0, len(fields), width))


def bound_rank(pairs: int, alpha: float) -> int:
    """Return the rank from 1 of the mean of two pairs that bounds the change from below.

    It is the largest k with P(T < k) <= alpha, where T is Wilcoxon's signed-rank statistic: of the
    pairs * (pairs + 1) / 2 means of two pairs (each with itself, too), the k-th smallest is above the
    true change with a probability of at most `alpha`. 0 where the pairs are too few.
    """
    total = 0
    limit = alpha * 2.0**pairs
    patterns = sign_patterns(pairs)
    middle = len(patterns) // 2
    for rank in range(middle):
        total += patterns[rank]
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


def plan_looks(benchmarks: int, most_pairs: int) -> Looks:
    """Plan when a benchmark's pairs are judged: at those of `LOOKS` that come early enough, and at last.

    Args:
        benchmarks: How many are compared in this run.
        most_pairs: How many pairs there is time for, at least 1.
    """
    last = min(most_pairs, LOOKS[-1])
    looks = (*(pairs for pairs in LOOKS if 3 * pairs <= 2 * last), last)
    return Looks(pairs=looks, alpha=FAMILY_ALPHA / benchmarks / len(looks))


def judge(pairs: Sequence[tuple[float, float]], *, alpha: float, threshold: float) -> Judgement:
    """Return what pairs of nanoseconds (base, head) prove.

    A regression is a change whose interval lies above `threshold`, an improvement one whose interval
    lies as far below. Otherwise a benchmark is ok if the interval excludes a slow-down of
    `RESOLUTION` percent (or twice the threshold, where that is more), and inconclusive if not.

    More pairs are worth their time until a change is proven or a slow-down of twice the threshold is
    excluded; beyond the look before the last, until the benchmark is not inconclusive.

    Args:
        pairs: At least one.
        alpha: The error that each side of the interval may have.
        threshold: The slow-down in percent that still passes.
    """
    differences = [math.log(head) - math.log(base) for base, head in pairs]
    means = sorted((a + b) / 2 for at, a in enumerate(differences) for b in differences[at:])
    rank = bound_rank(len(differences), alpha)
    low = means[rank - 1] if rank else -math.inf
    high = means[-rank] if rank else math.inf
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
        change=statistics.median(means),
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


def overall(verdicts: Iterable[BenchVerdict]) -> BenchVerdict:
    """Return the verdict of a run from those of its benchmarks: the one that matters most."""
    found = set(verdicts)
    order = (BenchVerdict.REGRESSION, BenchVerdict.INCONCLUSIVE, BenchVerdict.IMPROVEMENT)
    return next((verdict for verdict in order if verdict in found), BenchVerdict.OK)


def hear_witness(judgement: Judgement, instructions_change: float | None) -> tuple[Judgement, str]:
    """Return the judgement and what must be said of it after the instructions were counted.

    Where both builds execute the same instructions, a change in time comes from where code and
    data happen to lie, or from the machine: it is not held against the change under test.

    Args:
        judgement: What the times prove.
        instructions_change: Change of the number of instructions in percent; None where it is not
            known, or says nothing about this benchmark.
    """
    decided = judgement.verdict in (BenchVerdict.REGRESSION, BenchVerdict.IMPROVEMENT)
    if not decided or instructions_change is None or abs(instructions_change) >= SAME_INSTRUCTIONS:
        return judgement, ""
    return replace(judgement, verdict=BenchVerdict.INCONCLUSIVE), SUSPICION
