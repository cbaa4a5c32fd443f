"""Runs of benchmarks as they could have been measured, for tests of what is made of them."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

from rustvmm_sessions.bench.document import analyse
from rustvmm_sessions.bench.model import (
    BenchReport,
    BenchVerdict,
    Comparison,
    Host,
    Judgement,
    Revision,
)
from rustvmm_sessions.bench.statistics import LOOKS, plan_looks
from rustvmm_sessions.bench.summary import tell
from rustvmm_sessions.results import Report
from rustvmm_sessions.views import markdown

UNJUDGED = Judgement(
    verdict=BenchVerdict.INCONCLUSIVE, change=0.0, low=-math.inf, high=math.inf, settled=False
)
BASE = Revision(ref="origin/main", commit="1111111111112222222222223333333333334444")
HEAD = Revision(commit="aaaaaaaaaaaabbbbbbbbbbbbccccccccccccdddd", dirty=True)
HOST = Host(
    machine="x86_64",
    model="Intel(R) Xeon(R) Processor @ 2.60GHz",
    kernel="6.12.0-1-amd64",
    processors=2,
    processor=1,
    load=0.31,
)


def pairs(
    change: float = 0.0, *, count: int = 30, base: float = 125.0, noise: float = 0.8, seed: int | str = 1
) -> tuple[tuple[float, float], ...]:
    """Return pairs of nanoseconds whose head is slower by `change` percent.

    Args:
        change: The true change in percent.
        count: How many pairs.
        base: Nanoseconds of the base.
        noise: The standard deviation of a time, in percent; every tenth pair has ten times as much.
        seed: Another one gives other noise.
    """
    chance = random.Random(seed)

    def times(level: float) -> float:
        spread = noise * (10 if chance.random() < 0.1 else 1)
        return level * math.exp(abs(chance.gauss(0, spread / 100)))

    return tuple((times(base), times(base * (1 + change / 100))) for _ in range(count))


def compared(name: str, change: float = 0.0, **how: Any) -> Comparison:
    """Return a benchmark whose pairs are still to be judged; the arguments are those of `pairs`."""
    fields = {key: how.pop(key) for key in ("instructions_change", "time_only", "note") if key in how}
    how.setdefault("seed", ascii(name))
    return Comparison(
        id=name, pairs=pairs(change, **how), looks=plan_looks(1, LOOKS[-1]), judgement=UNJUDGED, **fields
    )


def report(*benchmarks: Comparison, threshold: float = 1.0, **fields: Any) -> BenchReport:
    """Return a run of these benchmarks, judged."""
    looks = plan_looks(max(1, len(benchmarks)), LOOKS[-1])
    fields = {"host": HOST if benchmarks else None, "verdict": BenchVerdict.NOTHING, **fields}
    return analyse(
        BenchReport(
            base=BASE,
            head=HEAD,
            threshold=threshold,
            benchmarks=tuple(replace(comparison, looks=looks) for comparison in benchmarks),
            **fields,
        )
    )


def eight() -> BenchReport:
    """Return a run with every verdict, one very noisy benchmark and one very slow."""
    return report(
        compared("queue/pop descriptor chain/16", 2.6, base=412.0, instructions_change=2.4),
        compared("queue/pop descriptor chain/256", 0.1, base=6430.0, instructions_change=0.01),
        compared("queue/add_used", -3.4, base=58.4, instructions_change=-3.0),
        compared("memory/read_obj<u64>", 0.0, base=1.82, instructions_change=0.0),
        compared("memory/read slice 1 MiB", 0.4, base=48_300.0, noise=6.0, instructions_change=0.0),
        compared("eventfd/signal and wait", 0.6, base=2210.0, noise=1.0, time_only=True),
        compared("layout/unlucky", 4.0, base=733.0, instructions_change=0.02),
        compared("boot/load_kernel", 61.0, base=31_200_000.0, instructions_change=58.0),
        only_in_base=("queue/legacy_pop",),
        only_in_head=("queue/pop in order", "queue/event_idx"),
    )


SAID_OF_EIGHT = (
    "2 of 8 benchmarks got slower by more than 1 %; 1 got faster; 1 could not be decided.",
    "origin/main (111111111111) → aaaaaaaaaaaa with uncommitted changes",
    "Geometric mean of all changes: +",
    "Slow-downs of ",
    "At most 1 % of such runs",
    "Only in the base: queue/legacy_pop.",
    "New, compared with nothing: queue/pop in order, queue/event_idx.",
    "nox -s bench -- --filter '^(queue/pop descriptor chain/16|boot/load_kernel)$'",
)
"""What Markdown and the page have to say of it, once they are drawn."""


def in_markdown(run: BenchReport, most: int = markdown.MOST_BYTES) -> str:
    """Return the result of a session that a run makes, in Markdown."""
    report = Report()
    tell(run, report)
    return markdown.markdown(report.result(session="bench", result="passed", seconds=1.0), most=most)
