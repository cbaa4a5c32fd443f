"""Run benchmarks of two builds in pairs of short processes, alternating, on one processor."""

from __future__ import annotations

import random
import re
import shutil
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rustvmm_sessions.bench import criterion
from rustvmm_sessions.bench.model import Comparison, Judgement, Looks
from rustvmm_sessions.bench.statistics import hear_witness, judge, plan_looks, wanted_pairs
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.process import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rustvmm_sessions.actions.bench_builds import Executable
    from rustvmm_sessions.process import Finished

_LIST_SECONDS = 60.0
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
class Machine:
    """Where processes run.

    Attributes:
        scratch: A folder for what they write.
        processor: The processor they are pinned to, None for any.
        deadline: When everything must have ended, by `time.monotonic`; None for no limit.
    """

    scratch: Path
    processor: int | None
    deadline: float | None

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, None without one."""
        return None if self.deadline is None else self.deadline - time.monotonic()


def list_titles(executable: Executable) -> tuple[str, ...]:
    """Return the titles of an executable's benchmarks.

    Raises:
        CheckFailed: It does not list them.
    """
    done = run(
        [executable.path, *criterion.LIST],
        cwd=executable.directory,
        env=executable.env,
        timeout=_LIST_SECONDS,
        read_stdout=True,
        read_stderr=True,
        echo=False,
    )
    if not done.ok:
        raise _failed(executable, "its benchmarks cannot be listed", done)
    return criterion.parse_list(done.stdout)


def try_out(harness: Harness, pattern: str, machine: Machine) -> Unit:
    """Find out how long a process must measure, and what a pair of them takes.

    Raises:
        CheckFailed: The benchmark fails.
        UserError: There is no time left.
    """
    version = min(harness.base.criterion, harness.head.criterion)
    for effort in criterion.efforts(version):
        seconds, ids = 0.0, []
        for executable in (harness.base, harness.head):
            started = time.monotonic()
            results = measure(executable, pattern, effort, machine)
            seconds += time.monotonic() - started
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
    """Return nanoseconds per iteration by id, as one process measures them; None past its limit.

    Raises:
        CheckFailed: The process failed, or left no figures.
        UserError: There was no time left for it.
    """
    home = machine.scratch / "criterion"
    shutil.rmtree(home, ignore_errors=True)
    limits = [limit for limit in (effort.limit, machine.remaining) if limit is not None]
    done = run(
        [executable.path, *criterion.arguments(effort, pattern)],
        cwd=executable.directory,
        env={**executable.env, "CRITERION_HOME": str(home)},
        timeout=max(0.01, min(limits)) if limits else None,
        read_stdout=True,
        read_stderr=True,
        echo=False,
        processor=machine.processor,
    )
    if done.timed_out:
        if effort.limit is not None and (machine.remaining is None or machine.remaining > 0):
            return None
        raise UserError(
            f"the time was up while {_readable(pattern)} was measured for the first time",
            where=f"{executable.package}, {executable.side}",
            fix="give it more: --max-minutes, or timeout_minutes of the session bench",
        )
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


def plan(units: Sequence[Unit], machine: Machine) -> list[Looks]:
    """Plan the looks at each unit's pairs so that all of them fit into the time there is."""
    benchmarks = sum(len(unit.ids) for unit in units)
    wanted = [wanted_pairs(benchmarks, unit.seconds) for unit in units]
    share = 1.0
    if machine.remaining is not None and units:
        whole = sum(pairs * unit.seconds for pairs, unit in zip(wanted, units, strict=True))
        share = min(1.0, max(0.0, machine.remaining) / whole)
    return [plan_looks(benchmarks, max(1, int(pairs * share))) for pairs in wanted]


def compare(unit: Unit, looks: Looks, machine: Machine, threshold: float) -> tuple[Comparison, ...]:
    """Measure pairs of a unit until they settle the question or the last look has come.

    Raises:
        CheckFailed: A process failed.
    """
    pairs: dict[str, list[tuple[float, float]]] = {id_: [] for id_ in unit.ids}
    judged: dict[str, Judgement] = {}
    for count in range(1, looks.pairs[-1] + 1):
        for id_, figures in _pair(unit, machine).items():
            pairs[id_].append(figures)
        late = machine.remaining is not None and machine.remaining < unit.seconds
        if count in looks.pairs or late:
            judged = {
                id_: judge(measured, alpha=looks.alpha, threshold=threshold)
                for id_, measured in pairs.items()
            }
            if late or all(judgement.settled for judgement in judged.values()):
                break
    return tuple(
        Comparison(
            id=f"{unit.harness.prefix}{id_}", pairs=tuple(measured), looks=looks, judgement=judged[id_]
        )
        for id_, measured in pairs.items()
    )


def _pair(unit: Unit, machine: Machine) -> dict[str, tuple[float, float]]:
    """Measure both sides once, in random order, and return (base, head) by id."""
    sides = [unit.harness.base, unit.harness.head]
    random.shuffle(sides)
    last = replace(unit.effort, limit=None)
    figures = {side.side: measure(side, unit.pattern, last, machine) or {} for side in sides}
    base, head = figures[unit.harness.base.side], figures[unit.harness.head.side]
    return {id_: (base[id_], head[id_]) for id_ in unit.ids}


def witness(unit: Unit, compared: Comparison, valgrind: Path) -> Comparison:
    """Return the comparison after the instructions of one iteration were counted on both sides.

    Where they cannot be counted, nothing changes.
    """
    counts = [_instructions(side, unit.pattern, valgrind) for side in (unit.harness.base, unit.harness.head)]
    base, head = counts
    if not base or not head:
        return compared
    change = 100 * (head / base - 1)
    judgement, note = hear_witness(compared.judgement, change)
    return replace(compared, judgement=judgement, instructions_change=change, note=note)


def _instructions(executable: Executable, pattern: str, valgrind: Path) -> int:
    """Count the instructions inside criterion's iter(), where the benchmark runs once as a test.

    0 where valgrind fails, or where the compiler left no iter() that it could know.
    """
    done = run(
        [
            *(valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"),
            *("--toggle-collect=*Bencher*iter*", executable.path, "--test", pattern),
        ],
        cwd=executable.directory,
        env=executable.env,
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
    sys.stdout.flush()
    sys.stderr.write(done.stdout + done.stderr)
    sys.stderr.flush()
    return CheckFailed(
        f"{executable.package}, {executable.side}: {what} ({done.ending}); see what it says above",
        output=done.stdout + done.stderr,
    )
