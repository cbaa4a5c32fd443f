"""Time commands as whole processes, paired, and print tables of them."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to do a job: what is done before the clock starts, and the command that is timed.

    With `check` it has to succeed; without, a check that fails takes as long as one that passes.
    """

    name: str
    command: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    prepare: Callable[[], None] = lambda: None
    check: bool = False


def seconds(way: Way) -> float:
    """Return the wall time of one run."""
    way.prepare()
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run(
        way.command,
        cwd=way.cwd,
        env={**variables, **way.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=way.check,
    )
    return time.perf_counter() - started


def alternate(ways: Sequence[Way], rounds: int) -> dict[str, list[float]]:
    """Time all ways once a round, so that each round meets the same state of the machine."""
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            times[way.name].append(seconds(way))
    return times


def ratio(times: Mapping[str, Sequence[float]], name: str, base: str) -> float:
    """Return the median over the rounds of one way's time by another's."""
    return statistics.median(a / b for a, b in zip(times[name], times[base], strict=True))


def table(rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Yield a table in Markdown, line by line; each row has its cells by the titles of the columns."""
    for number, row in enumerate(rows):
        if number == 0:
            yield f"| {' | '.join(row)} |"
            yield f"|---|{'---:|' * (len(row) - 1)}"
        yield f"| {' | '.join(row.values())} |"


def machine_line() -> str:
    """Describe the machine and the day for a table."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[
        1
    ]
    day = dt.datetime.now(tz=dt.UTC).date()
    return f"{day}, {os.cpu_count()} cores of {model}, {platform.system()}, rustc {rustc}"
