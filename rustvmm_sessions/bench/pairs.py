"""Run benchmarks of two builds in pairs of short processes, alternating, on one processor."""

from __future__ import annotations

import math
import random
import re
import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rustvmm_sessions.bench import criterion, words
from rustvmm_sessions.bench.builds import of_base
from rustvmm_sessions.bench.model import Comparison, Judgement, Looks, TimeUp
from rustvmm_sessions.bench.statistics import (
    fewest_pairs,
    hear_witness,
    instructions_change,
    judge,
    plan_looks,
    wanted_pairs,
)
from rustvmm_sessions.console import Task, task, tell
from rustvmm_sessions.errors import CheckFailed
from rustvmm_sessions.process import run
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rustvmm_sessions.bench.builds import Executable
    from rustvmm_sessions.deadline import Deadline
    from rustvmm_sessions.process import Finished

MORE_TIME = "give it more: --max-minutes, or timeout_minutes of the session bench"
_WITNESS_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Harness:
    """The benchmarks of one package on both sides.

    Attributes:
        base: Built from the base.
        head: Built from HEAD.
        prefix: What goes before ids where several packages have benchmarks; empty otherwise.
    """

    base: Executable
    head: Executable
    prefix: str = ""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What one process measures: a benchmark, or the few that no filter tells apart.

    Attributes:
        harness: Whose.
        pattern: The filter that selects them.
        ids: Their ids, without the prefix.
        effort: How long each process measures.
        seconds: What a pair of processes takes.
    """

    harness: Harness
    pattern: str
    ids: tuple[str, ...]
    effort: criterion.Effort
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done for a unit, fixed before its first pair.

    Attributes:
        looks: When its pairs are judged.
        seconds: What its pairs may take together, even if the machine gets slower.
    """

    looks: Looks
    seconds: float

    @property
    def pairs_missing(self) -> int:
        """How many pairs there is no time for although fewer can prove no slow-down."""
        return max(0, fewest_pairs(self.looks.alpha) - self.looks.pairs[-1])


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where processes run.

    Attributes:
        scratch: A folder for what they write.
        processor: The processor they are pinned to, None for any.
        deadline: When the session's time is up.
    """

    scratch: Path
    processor: int | None
    deadline: Deadline


def list_titles(executable: Executable, deadline: Deadline) -> tuple[str, ...]:
    """Return the titles of an executable's benchmarks.

    Args:
        executable: The program.
        deadline: When the session's time is up.

    Raises:
        CheckFailed: It does not list them.
        TimeUp: There is no time left.
    """
    done = run(
        [executable.path, *criterion.LIST],
        cwd=executable.directory,
        env=executable.env,
        deadline=deadline,
        read_stdout=True,
        read_stderr=True,
        echo=False,
    )
    if done.timed_out:
        raise TimeUp(f"the time was up while the benchmarks of {executable.side} were listed")
    if not done.ok:
        raise _failed(executable, "its benchmarks cannot be listed", done)
    return criterion.parse_list(done.stdout)


def try_out(harness: Harness, pattern: str, machine: Machine) -> Unit:
    """Find out how long a process must measure, and what a pair of them takes.

    Raises:
        CheckFailed: The benchmark fails.
        TimeUp: There is no time left.
    """
    version = min(harness.base.criterion, harness.head.criterion)
    for effort in criterion.efforts(version):
        seconds, ids = 0.0, []
        for executable in (harness.base, harness.head):
            started = time.monotonic()
            results = measure(executable, pattern, effort, machine)
            seconds += time.monotonic() - started
            if machine.deadline.left <= 0:
                raise TimeUp(f"the time was up while {_readable(pattern)} was measured for the first time")
            if results is None:
                break  # it takes too long
            ids.append(results)
        if len(ids) == 2:
            break
    base, head = ids
    return Unit(
        harness=harness,
        pattern=pattern,
        ids=tuple(id_ for id_ in head if id_ in base),
        effort=effort,
        seconds=seconds,
    )


def measure(
    executable: Executable, pattern: str, effort: criterion.Effort, machine: Machine
) -> dict[str, float] | None:
    """Return nanoseconds per iteration by id, as one process measures them.

    None past the limit of the effort, and where the time for everything is up.

    Raises:
        CheckFailed: The process failed, or left no figures.
    """
    home = machine.scratch / "criterion"
    shutil.rmtree(home, ignore_errors=True)
    done = run(
        [executable.path, *criterion.arguments(effort, pattern)],
        cwd=executable.directory,
        env={**executable.env, "CRITERION_HOME": str(home)},
        deadline=machine.deadline,
        timeout=effort.limit,
        read_stdout=True,
        read_stderr=True,
        echo=False,
        processor=machine.processor,
    )
    if done.timed_out:
        return None
    if not done.ok:
        raise _failed(executable, f"the benchmark {_readable(pattern)} failed", done)
    try:
        found = dict(
            criterion.parse_result((path.parent / "benchmark.json").read_text(), path.read_text())
            for path in sorted(home.glob(f"**/{criterion.BASELINE}/sample.json"))
        )
    except (OSError, ValueError) as error:
        raise _failed(
            executable, f"the figures of {_readable(pattern)} cannot be read ({error})", done
        ) from error
    if not found or not all(ns > 0 for ns in found.values()):
        raise _failed(executable, f"the benchmark {_readable(pattern)} left no figures", done)
    return found


def plan(units: Sequence[Unit], benchmarks: int, machine: Machine) -> list[Plan]:
    """Plan so that all units fit into the time there is.

    Args:
        units: Those that are still to be measured.
        benchmarks: How many the whole run compares.
        machine: Where they run.
    """
    wanted = [wanted_pairs(benchmarks, unit.seconds) for unit in units]
    times = [pairs * unit.seconds for pairs, unit in zip(wanted, units, strict=True)]
    share = max(0.0, machine.deadline.left) / max(math.fsum(times), 1e-9)
    return [
        Plan(
            looks=plan_looks(benchmarks, pairs, share),
            seconds=math.inf if share == math.inf else seconds * share,
        )
        for pairs, seconds in zip(wanted, times, strict=True)
    ]


def compare_all(
    units: Sequence[Unit], machine: Machine, threshold: float
) -> Iterator[tuple[Unit, Comparison]]:
    """Compare units one after the other, and yield what was measured of each.

    Each is planned when its turn comes: what those before it took more or less than planned is
    shared by those that are left.
    """
    benchmarks = sum(len(unit.ids) for unit in units)
    for number, unit in enumerate(units):
        planned, *others = plan(units[number:], benchmarks, machine)
        left = sum(u.seconds * p.looks.pairs[-1] for u, p in zip(units[number + 1 :], others, strict=True))
        with task(share=f"{number + 1}/{len(units)}") as shown:
            compared = compare(unit, planned, machine, threshold, shown, left)
        for comparison in compared:
            yield unit, comparison


def compare(  # noqa: PLR0913, PLR0917 - two of them only say how far it is
    unit: Unit, planned: Plan, machine: Machine, threshold: float, shown: Task | None = None, left: float = 0
) -> tuple[Comparison, ...]:
    """Measure pairs of a unit until they settle the question, or the last look or its time has come.

    Args:
        unit: What is measured.
        planned: How often.
        machine: Where.
        threshold: The slow-down in percent that passes.
        shown: Says how far it is.
        left: Seconds that the units after it take at most.

    Returns:
        What they prove of each benchmark; nothing where the time for everything is up before the
        first pair.

    Raises:
        CheckFailed: A process failed.
    """
    looks, started = planned.looks, time.monotonic()
    pairs: dict[str, list[tuple[float, float]]] = {id_: [] for id_ in unit.ids}

    def judged(id_: str) -> Judgement:
        return judge(pairs[id_], alpha=looks.alpha, threshold=threshold)

    shown = shown or Task()
    for count in range(1, looks.pairs[-1] + 1):
        rest = (looks.pairs[-1] - count + 1) * unit.seconds + left
        shown.what = f"{counted(count - 1, 'pair')}, at most {words.lasting(rest)} left: {unit.ids[0]}"
        pair = _pair(unit, machine)
        if pair is None:
            break
        for id_, figures in pair.items():
            pairs[id_].append(figures)
        if time.monotonic() - started > planned.seconds - unit.seconds:
            break
        if count in looks.pairs and all(judged(id_).settled for id_ in unit.ids):
            break
    return tuple(
        Comparison(
            id=f"{unit.harness.prefix}{id_}", pairs=tuple(measured), looks=looks, judgement=judged(id_)
        )
        for id_, measured in pairs.items()
        if measured
    )


def _pair(unit: Unit, machine: Machine) -> dict[str, tuple[float, float]] | None:
    """Measure both sides once, in random order; return (base, head) by id, None if the time is up."""
    sides = [unit.harness.base, unit.harness.head]
    random.shuffle(sides)
    last = replace(unit.effort, limit=None)
    figures = {}
    for side in sides:
        measured = measure(side, unit.pattern, last, machine)
        if measured is None:
            return None
        figures[side.side] = measured
    base, head = figures[unit.harness.base.side], figures[unit.harness.head.side]
    return {id_: (base[id_], head[id_]) for id_ in unit.ids}


def witness(unit: Unit, compared: Comparison, valgrind: Path, machine: Machine) -> Comparison:
    """Return the comparison after the instructions of one iteration were counted on both sides.

    Where they cannot be counted, only that is noted.
    """
    base, head = (
        _instructions(side, unit.pattern, valgrind, machine)
        for side in (unit.harness.base, unit.harness.head)
    )
    change = instructions_change(base, head, compared.medians[0]) if base and head else None
    judgement, note = hear_witness(compared.judgement, change)
    return replace(compared, judgement=judgement, instructions_change=change, note=note)


def _instructions(executable: Executable, pattern: str, valgrind: Path, machine: Machine) -> int:
    """Count the instructions inside criterion's iter(), where the benchmark runs once as a test.

    0 where valgrind fails or has no time, or where the compiler left no iter() that it could know.
    """
    done = run(
        [
            *(valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"),
            *("--toggle-collect=*Bencher*iter*", executable.path, "--test", pattern),
        ],
        cwd=executable.directory,
        env=executable.env,
        deadline=machine.deadline,
        timeout=_WITNESS_SECONDS,
        read_stdout=True,
        read_stderr=True,
        echo=False,
    )
    # Programs that criterion starts, such as gnuplot, report as well, and execute none of iter().
    counts = [int(count) for count in re.findall(r"Collected : (\d+)", done.stderr)]
    return max(counts, default=0) if done.ok else 0


def _readable(pattern: str) -> str:
    """Return the benchmark that a filter selects, as its author wrote it."""
    return repr(re.sub(r"\\(.)", r"\1", pattern.removeprefix("^").removesuffix("$")))


def _failed(executable: Executable, what: str, done: Finished) -> CheckFailed:
    tell(done.output)
    return CheckFailed(
        f"{executable.package}, {executable.side}: {what} ({done.ending}); see what it says above"
        f"{of_base(executable.side)}",
        output=done.output,
    )
