"""How often bench errs where code only moved: ``nox -s speed -- bench-layout``.

The kernels of bench_kernels.py are built as they are, and many times so that code or data lies elsewhere in
the program and does the same. Each such build is compared with the first one as the session compares.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.bench import criterion, host, pairs
from rustvmm_sessions.bench.builds import Executable
from rustvmm_sessions.bench.model import BenchVerdict, percent
from rustvmm_sessions.bench.statistics import LOOKS, plan_looks
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.rust.tools import find_program
from tests.perf.bench_kernels import HEAD, KERNELS, TAIL, write_kernels
from tests.perf.timing import machine_line, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rustvmm_sessions.bench.model import Comparison
    from tests.crates import CrateBuilder

KINDS = ("functions before it", "static data", "another order", "another link order")


def moved(kind: str, seed: int) -> tuple[str, tuple[str, ...]]:
    """Return the source of benchmarks that do the same in another place, and flags for its linker."""
    draw = random.Random(seed)
    kernels, before = list(KERNELS), ""
    if kind == "functions before it":
        for number in range(draw.randint(1, 20)):
            steps = "".join(f"x = x.rotate_left({turn}) ^ 12345; " for turn in range(draw.randint(1, 30)))
            before += f"#[inline(never)]\nfn unused_{number}(mut x: u64) -> u64 {{ {steps}x }}\n"
            before += f"#[used]\nstatic USED_{number}: fn(u64) -> u64 = unused_{number};\n"
    elif kind == "static data":
        for name in ("DATA", "mut VARIABLE"):
            size = draw.randint(1, 5000)
            before += f"#[used]\nstatic {name}: [u8; {size}] = [1; {size}];\n"
    elif kind == "another order":
        draw.shuffle(kernels)
    linker = (f"-Clink-arg=-Wl,--shuffle-sections=.text*={seed}",) if kind == "another link order" else ()
    head = HEAD.replace("@PERCENT@", "0").replace("@MARK@", f"seed{seed:04}")
    source = "".join(kernel.source for kernel in kernels)
    return head.replace("fn kernels(", f"{before}fn kernels(") + source + TAIL, linker


def build(crate: CrateBuilder, kind: str, seed: int, flags: Sequence[str], to: Path) -> Executable:
    """Build the benchmarks with their code moved, and keep the program."""
    source, linker = moved(kind, seed)
    crate.with_file("benches/main.rs", source)
    done = subprocess.run(
        [
            *("cargo", "rustc", "--profile=bench", "--bench=main", "--quiet", "--message-format=json"),
            *(f"--config=build.rustflags={json.dumps(flags)}", "--", *linker),
        ],
        cwd=crate.directory,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    artifacts = [json.loads(line) for line in done.stdout.splitlines()]
    (built,) = (Path(each["executable"]) for each in artifacts if each.get("executable"))
    path = built.replace(to)
    return Executable(
        side=to.name, package="kernels", path=path, directory=crate.directory, env={}, criterion=(0, 8)
    )


def compare(base: Executable, head: Executable, machine: pairs.Machine) -> Iterator[list[Comparison]]:
    """Yield for each kernel what the clock says, and what is said with the witness heard."""
    valgrind = find_program("valgrind", "VALGRIND")
    if valgrind is None:
        raise SystemExit("valgrind is missing")
    planned = pairs.Plan(looks=plan_looks(len(KERNELS), LOOKS[-1]), seconds=math.inf)
    for kernel in KERNELS:
        (pattern,) = criterion.patterns([kernel.name])
        unit = pairs.try_out(pairs.Harness(base=base, head=head), pattern, machine)
        (clock,) = pairs.compare(unit, planned, machine, threshold=1)
        moves = clock.judgement.verdict in (BenchVerdict.REGRESSION, BenchVerdict.IMPROVEMENT)
        yield [clock, pairs.witness(unit, clock, valgrind, machine) if moves else clock]


def row(kind: str, compared: Sequence[Sequence[Comparison]]) -> dict[str, str]:
    """Return the row of the table for one kind of move."""
    changes = sorted(abs(percent(clock.judgement.change)) for clock, _ in compared)
    by_clock, heard = (
        sum(each.judgement.verdict is BenchVerdict.REGRESSION for each in side)
        for side in zip(*compared, strict=True)
    )
    return {
        "moved by": kind,
        "benchmarks": f"{len(compared)}",
        "change: median, %": f"{changes[len(changes) // 2]:.2f}",
        "largest, %": f"{changes[-1]:.2f}",
        "slower by the clock": f"{by_clock}",
        "regressions": f"{heard}",
    }


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--builds", type=int, default=5, help="of each kind of move (default: 5)")
    parser.add_argument("--rustflags", default="", help="for both sides, such as alignment")
    given = parser.parse_args()
    flags = given.rustflags.split()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        crate = write_kernels(place / "crate")
        machine = pairs.Machine(scratch=place, processor=host.examine().processor, deadline=Deadline())
        print(f"{machine_line()}, load {host.examine().load:.1f}\n")
        base = build(crate, "", 0, flags, place / "base")
        rows = (
            row(
                kind,
                [
                    each
                    for seed in range(given.builds)
                    for each in compare(
                        base, build(crate, kind, seed, flags, place / f"{kind}-{seed}"), machine
                    )
                ],
            )
            for kind in KINDS
        )
        for line in table(rows):
            print(line, flush=True)


if __name__ == "__main__":
    main()
