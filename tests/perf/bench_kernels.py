"""A crate whose benchmarks do an exactly known amount of work: ``python -m tests.perf.bench_kernels DIR``.

Each kernel repeats a step whose cost does not depend on how often it is repeated. A slow-down of p
percent is p percent more steps and nothing else: the two programs differ in one constant per kernel, and
code and data lie where they lay. Crates that differ in `mark` alone do the same work in different files.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from tests.crates import CrateBuilder

MANIFEST = """\
[package]
name = "kernels"
version = "0.1.0"
edition = "2021"

[dev-dependencies]
criterion = { version = "0.8", default-features = false, features = ["cargo_bench_support"] }

[[bench]]
name = "main"
harness = false

[workspace]
"""

HEAD = """\
//! Kernels of known cost: `steps(n)` is n, and `PERCENT` percent more.

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, Criterion};

const PERCENT: usize = @PERCENT@;

/// Tells two builds of the same work apart.
#[used]
static MARK: [u8; 8] = *b"@MARK@";

/// The compiler must not know the number, or it unrolls by it.
fn steps(count: usize) -> usize {
    black_box(count * (100 + PERCENT) / 100)
}

fn xorshift(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}

fn kernels(c: &mut Criterion) {
"""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One benchmark.

    Attributes:
        name: The benchmark's id.
        steps: How often it repeats its step; a multiple of 100, so that percents are exact.
        prepare: Rust that runs once.
        start: Rust that makes the state of one iteration.
        step: Rust that is repeated; it changes `state`.
    """

    name: str
    steps: int
    prepare: str = ""
    start: str = "black_box(88172645463325252u64)"
    step: str

    @property
    def source(self) -> str:
        """The benchmark in Rust."""
        return f"""\
    {self.prepare or f"// {self.name}"}
    c.bench_function("{self.name}", |b| {{
        b.iter(|| {{
            let mut state = {self.start};
            for step in 0..steps({self.steps}) {{
                {self.step}
                let _ = step;
            }}
            black_box(state)
        }});
    }});
"""


WALK = """\
let ring: Vec<u32> = (0..1u32 << 16).map(|at| (at.wrapping_mul(40503) + 12345) & 0xffff).collect();"""
BYTES = "let bytes: Vec<u8> = (0..100_000u32).map(|at| (at * 31) as u8).collect();"

KERNELS = (
    Kernel(
        name="multiply 100", steps=100, step="state = state.wrapping_mul(0x5851f42d4c957f2d) ^ state >> 33;"
    ),
    Kernel(name="xorshift 1k", steps=1_000, step="state = xorshift(state);"),
    Kernel(name="divide 1k", steps=1_000, step="state = u64::MAX / (state >> 32 | 1 << 31) ^ state;"),
    Kernel(
        name="branches 2k",
        steps=2_000,
        step="state = xorshift(state); if state & 1 == 0 { state = black_box(state) + 3; }",
    ),
    Kernel(
        name="allocate 500",
        steps=500,
        step="state += black_box(vec![1u8; 16 + step % 64 * 8]).len() as u64;",
    ),
    Kernel(
        name="walk 10k",
        steps=10_000,
        prepare=WALK,
        start="black_box(1u32)",
        step="state = ring[state as usize];",
    ),
    Kernel(
        name="hash/100k bytes",
        steps=100_000,
        prepare=BYTES,
        step="state = (state ^ u64::from(bytes[step % bytes.len()])).wrapping_mul(1099511628211);",
    ),
    Kernel(name="xorshift 500k", steps=500_000, step="state = xorshift(state);"),
)

TAIL = """\
}

criterion_group!(benches, kernels);
criterion_main!(benches);
"""


def write_kernels(directory: Path, *, percent: int = 0, mark: str = "original") -> CrateBuilder:
    """Write the crate whose kernels do `percent` percent more work.

    Args:
        directory: Made where it is missing.
        percent: From 0.
        mark: Eight ASCII letters that the program holds and does not use.
    """
    head = HEAD.replace("@PERCENT@", str(percent)).replace("@MARK@", mark)
    return (
        CrateBuilder(directory)
        .with_file("Cargo.toml", MANIFEST)
        .with_lib("//! Nothing but benchmarks.\n")
        .with_file("benches/main.rs", head + "".join(kernel.source for kernel in KERNELS) + TAIL)
        .with_noxfile()
    )


def main() -> None:
    """Write the crate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--percent", type=int, default=0)
    parser.add_argument("--mark", default="original")
    given = parser.parse_args()
    write_kernels(given.directory, percent=given.percent, mark=given.mark)


if __name__ == "__main__":
    main()
