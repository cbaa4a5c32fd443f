"""How often bench errs, simulated: ``nox -s speed -- bench-simulation``.

Pairs are drawn from models of noise and go through the planned looks as the session's do. The models are
the measured range of normal pair noise, a busy machine as eight kernels saw it (a narrow core, a quarter of
wild pairs), and what is said to ruin such comparisons: heavy tails, drift, bursts and outliers.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import random
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions.bench.model import BenchVerdict
from rustvmm_sessions.bench.statistics import LOOKS, judge, plan_looks
from tests.perf.timing import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Noise = Callable[[random.Random], Iterator[tuple[float, float]]]
    """What is added to the logarithms of base and head, pair after pair."""

MAD = 1.4826
"""The standard deviation of normal noise by its median absolute deviation."""


def normal(percent: float) -> Noise:
    """Return pair noise of this median absolute deviation in percent."""

    def draw(chance: random.Random) -> Iterator[tuple[float, float]]:
        while True:
            yield 0.0, chance.gauss(0, MAD * percent / 100)

    return draw


def student(chance: random.Random) -> Iterator[tuple[float, float]]:
    """Student's t with two degrees of freedom, MAD 3 %: its variance is infinite."""
    while True:
        yield 0.0, 0.0367 * chance.gauss(0, 1) / math.sqrt(chance.expovariate(1.0))


def mixture(chance: random.Random) -> Iterator[tuple[float, float]]:
    """Normal noise of MAD 2 %, and every fifth pair from a Cauchy distribution."""
    while True:
        wild = chance.random() < 0.2
        noise = 0.1 * math.tan(math.pi * (0.998 * chance.random() - 0.499))  # within floats
        yield 0.0, noise if wild else chance.gauss(0, 0.02 * MAD)


def drift(chance: random.Random) -> Iterator[tuple[float, float]]:
    """A machine that gets 30 % slower over 240 pairs, one process after the other."""
    for step in range(10**9):
        first, second = (0.3 * (step + half / 2) / 240 for half in (0, 1))
        base, head = (first, second) if chance.random() < 0.5 else (second, first)
        yield base + chance.gauss(0, 0.02), head + chance.gauss(0, 0.02)


def bursts(chance: random.Random) -> Iterator[tuple[float, float]]:
    """A busy neighbour for stretches of 5 to 50 pairs: half of the processes get up to 60 % slower."""
    while True:
        for _ in range(chance.randint(20, 80)):
            yield chance.gauss(0, 0.02), chance.gauss(0, 0.02)
        for _ in range(chance.randint(5, 50)):
            base, head = (
                chance.gauss(0, 0.02) + math.log1p(chance.choice((0.0, 0.6)) * chance.random())
                for _ in range(2)
            )
            yield base, head


def outliers(chance: random.Random) -> Iterator[tuple[float, float]]:
    """Normal noise of MAD 2 %; every twentieth process takes twice as long."""
    while True:
        base, head = (math.log(2) * (chance.random() < 0.05) for _ in range(2))
        yield base, head + chance.gauss(0, 0.02 * MAD)


def busy(chance: random.Random) -> Iterator[tuple[float, float]]:
    """What was measured beside other work: a core of MAD 0.7 %, a quarter of the processes slower."""
    while True:
        base, head = (
            chance.gauss(0, 0.007) + (chance.random() < 0.15) * abs(chance.gauss(0, 0.3)) for _ in range(2)
        )
        yield base, head


NOISES: dict[str, Noise] = {
    "normal, MAD 1.4 %": normal(1.4),
    "normal, MAD 3 %": normal(3),
    "normal, MAD 6 %": normal(6),
    "Student's t, 2 degrees": student,
    "a fifth Cauchy": mixture,
    "drift of 30 %": drift,
    "bursts": bursts,
    "5 % take twice as long": outliers,
    "busy machine": busy,
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one benchmark.

    Attributes:
        verdict: The one at its last look.
        error: The estimated change less the true one, in points.
        pairs: How many it took.
    """

    verdict: BenchVerdict
    error: float
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What became of many runs; all but the last two are shares from 0 to 1.

    Attributes:
        runs_failed: Of runs, those with a regression.
        failed: Of benchmarks, those that are regressions.
        faster: Of benchmarks, those that are improvements.
        inconclusive: Of benchmarks, those that are neither that nor ok.
        same: How often two runs agree on the verdict of a benchmark.
        pairs: How many a benchmark took on average.
        error: The 95th percentile of the errors of the estimates, in points.
    """

    runs_failed: float
    failed: float
    faster: float
    inconclusive: float
    same: float
    pairs: float
    error: float


def simulate(noise: Noise, slower: float, benchmarks: int, chance: random.Random) -> Result:
    """Measure a benchmark of a run as the session does.

    Args:
        noise: What is added to the logarithms of base and head.
        slower: The true slow-down in percent.
        benchmarks: How many the run has.
        chance: Where the noise comes from.
    """
    looks = plan_looks(benchmarks, LOOKS[-1])
    source = noise(chance)
    pairs: list[tuple[float, float]] = []
    for count in looks.pairs:
        while len(pairs) < count:
            base, head = next(source)
            pairs.append((math.exp(base), (1 + slower / 100) * math.exp(head)))
        judgement = judge(pairs, alpha=looks.alpha, threshold=1)
        if judgement.settled:
            break
    return Result(
        verdict=judgement.verdict,
        error=100 * math.expm1(judgement.change) - slower,
        pairs=len(pairs),
    )


def rates(noise: Noise, slower: float, benchmarks: int, runs: int, seed: int = 1) -> Rates:
    """Return the rates of so many runs of so many benchmarks each, all equally slower."""
    chance = random.Random(seed)
    results = [[simulate(noise, slower, benchmarks, chance) for _ in range(benchmarks)] for _ in range(runs)]
    every = [result for run in results for result in run]

    def share(verdict: BenchVerdict) -> float:
        return sum(result.verdict is verdict for result in every) / len(every)

    errors = sorted(abs(result.error) for result in every)
    return Rates(
        runs_failed=sum(any(r.verdict is BenchVerdict.REGRESSION for r in run) for run in results) / runs,
        failed=share(BenchVerdict.REGRESSION),
        faster=share(BenchVerdict.IMPROVEMENT),
        inconclusive=share(BenchVerdict.INCONCLUSIVE),
        same=sum(share(verdict) ** 2 for verdict in BenchVerdict),
        pairs=statistics.mean(result.pairs for result in every),
        error=errors[math.ceil(0.95 * len(errors)) - 1],
    )


def rows(sizes: Sequence[int], benchmarks: int) -> Iterator[dict[str, str]]:
    """Yield the rows of the table, each as soon as it is known.

    Args:
        sizes: Numbers of benchmarks in a run.
        benchmarks: How many are simulated for each figure at least.
    """
    for name, noise in NOISES.items():
        for size in sizes:
            none, two, five, ten = (
                rates(noise, slower, size, max(1, benchmarks // size)) for slower in (0, 2, 5, 10)
            )
            yield {
                "noise": name,
                "benchmarks": f"{size}",
                "falsely failed runs, %": f"{100 * none.runs_failed:.2f}",
                "benchmarks, %": f"{100 * none.failed:.3f}",
                "undecided, %": f"{100 * none.inconclusive:.1f}",
                "found at 2 / 5 / 10 %, %": " / ".join(f"{100 * at.failed:.1f}" for at in (two, five, ten)),
                "same verdict again at 0 / 5 %, %": f"{100 * none.same:.1f} / {100 * five.same:.1f}",
                "pairs at 0 / 5 %": f"{none.pairs:.0f} / {five.pairs:.0f}",
                "p95 of the error at 0 / 5 %, points": f"{none.error:.2f} / {five.error:.2f}",
            }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmarks", type=int, default=5000, help="simulated for each figure")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100], help="benchmarks of a run")
    given = parser.parse_args()
    day = dt.datetime.now(tz=dt.UTC).date()
    print(f"{day}, {given.benchmarks} benchmarks for each figure\n")
    for line in table(rows(given.sizes, given.benchmarks)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
