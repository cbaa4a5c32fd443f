"""How often bench errs on kernels of known slow-down, and what it costs: ``nox -s speed -- bench``.

The crate of bench_kernels.py is compared with itself (two builds of the same work in different files), and
with copies that do 5 and 10 percent more. rust-vmm-ci's way is timed on the same crate: criterion's own
times on HEAD, then on the base, then critcmp. `--busy` keeps the machine's other processors spinning.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.rust.tools import find_program
from tests.perf.bench_kernels import KERNELS, write_kernels
from tests.perf.timing import Way, machine_line, seconds, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.crates import CrateBuilder

SLOWER = (0, 5, 10)
TARGETS = (
    "wanted: of runs at 0 % at most 1 % failed and of benchmarks 0.1 %; found at 5 % at least 95 %, at 10 % "
    "99 %; p95 of the error at most 1 point; the same verdict again at least 95 %; half of rust-vmm-ci's time"
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the session.

    Attributes:
        seconds: Its wall time.
        failed: Whether it failed.
        benchmarks: What its JSON file says of each.
    """

    seconds: float
    failed: bool
    benchmarks: list[dict[str, Any]]

    def verdicts(self) -> list[str]:
        """Return what became of each benchmark, in their order."""
        return [benchmark["verdict"] for benchmark in self.benchmarks]


@contextlib.contextmanager
def spinning(count: int) -> Iterator[None]:
    """Keep so many processes busy."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def compare(crate: CrateBuilder, target: Path, *options: str) -> Run:
    """Compare the work tree with its commit, as a user does."""
    target.mkdir(parents=True, exist_ok=True)
    file = target / "run.json"
    file.unlink(missing_ok=True)
    started = time.monotonic()
    outcome = crate.nox(
        *("-s", "bench", "--", "--base", "HEAD", "--json", str(file), *options),
        env={"CARGO_TARGET_DIR": str(target)},
    )
    took = time.monotonic() - started
    if not file.exists():
        raise SystemExit(f"bench wrote no figures:\n{outcome.text}")
    return Run(seconds=took, failed=outcome.code != 0, benchmarks=json.loads(file.read_text())["benchmarks"])


def predecessor(crate: CrateBuilder, target: Path) -> float:
    """Return the seconds that rust-vmm-ci's way takes once both sides are built."""
    kept = (crate.directory / "benches" / "main.rs").read_text()
    cargo = ["cargo", "bench", "--bench", "main", "--all-features"]
    env = {"CARGO_TARGET_DIR": str(target)}

    def bench(name: str) -> float:
        subprocess.run(
            [*cargo, "--no-run", "--quiet"], cwd=crate.directory, env={**os.environ, **env}, check=True
        )
        command = [*cargo, "--", "--noplot", "--save-baseline", name]
        return seconds(Way(name=name, command=command, cwd=crate.directory, env=env))

    took = bench("head")
    crate.git("checkout", "--quiet", "--", "benches")
    took += bench("base")
    crate.with_file("benches/main.rs", kept)
    critcmp = find_program("critcmp", "CRITCMP")
    if critcmp is None:
        raise SystemExit("critcmp is missing: install the extra `tools`")
    shown = [str(critcmp), "--target-dir", str(target), "base", "head"]
    return took + seconds(Way(name="critcmp", command=shown, cwd=crate.directory, env={}))


def row(percent: int, runs: Sequence[Run]) -> dict[str, str]:
    """Return the row of the table for one slow-down."""
    every = [benchmark for run in runs for benchmark in run.benchmarks]
    slower = sum(benchmark["verdict"] == "regression" for benchmark in every)
    errors = sorted(abs(benchmark["change_percent"] - percent) for benchmark in every)
    again = [
        one == other
        for first, second in itertools.pairwise(runs)
        for one, other in zip(first.verdicts(), second.verdicts(), strict=True)
    ]
    counted = [
        benchmark["instructions_change_percent"]
        for benchmark in every
        if benchmark["instructions_change_percent"] is not None
    ]
    undecided = sum(benchmark["verdict"] == "inconclusive" for benchmark in every)
    return {
        "slower by, %": f"{percent}",
        "runs failed": f"{sum(run.failed for run in runs)} of {len(runs)}",
        "regressions": f"{slower} of {len(every)}",
        "undecided": f"{undecided}",
        "p95 of the error, points": f"{errors[math.ceil(0.95 * len(errors)) - 1]:.2f}",
        "same verdict again, %": f"{100 * statistics.mean(again):.1f}" if again else "",
        "pairs": f"{statistics.mean(benchmark['pairs'] for benchmark in every):.0f}",
        "instructions, %": f"{min(counted):.2f} to {max(counted):.2f}" if counted else "",
        "s": f"{statistics.median(run.seconds for run in runs):.1f}",
    }


def rows(crate: CrateBuilder, target: Path, count: int) -> Iterator[dict[str, str]]:
    """Yield the rows of the table, each from so many runs, as soon as they are known."""
    for percent in SLOWER:
        write_kernels(crate.directory, percent=percent, mark="modified")
        compare(crate, target, "--filter", f"^{KERNELS[0].name}$")  # builds
        yield row(percent, [compare(crate, target) for _ in range(count)])


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each slow-down (default: 20)")
    parser.add_argument("--busy", action="store_true", help="with all processors but one kept spinning")
    parser.add_argument("--no-predecessor", action="store_true", help="do not time rust-vmm-ci's way")
    parser.add_argument("--keep", type=Path, help="folder for the builds, to be used again")
    given = parser.parse_args()
    busy = (os.cpu_count() or 2) - 1 if given.busy else 0
    with contextlib.ExitStack() as stack:
        place = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.rmtree(place / "crate", ignore_errors=True)
        crate = write_kernels(place / "crate")
        subprocess.run(["cargo", "generate-lockfile", "--quiet"], cwd=crate.directory, check=True)
        crate.with_git()
        stack.enter_context(spinning(busy))
        print(f"{machine_line()}{f', {busy} spinning beside' if busy else ''}\n")
        shown, kept = itertools.tee(rows(crate, place / "ours", given.runs))
        for line in table(shown):
            print(line, flush=True)
        if not given.no_predecessor:
            took, usual = predecessor(crate, place / "theirs"), max(float(row["s"]) for row in kept)
            print(f"\nrust-vmm-ci's way takes {took:.1f} s; ours at most {usual / took:.2f} of that")
        print(f"\n{TARGETS}")


if __name__ == "__main__":
    main()
