"""A crate with criterion benchmarks, in a clone whose origin has the base, for tests of the bench session."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.crates import CrateBuilder, Outcome

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """\
[package]
name = "kernels"
version = "0.1.0"
edition = "2021"

[workspace]

[dev-dependencies]
criterion = { version = "0.5", default-features = false }

[[bench]]
name = "main"
harness = false

[profile.bench]
opt-level = 1
"""

LIB = """\
//! Kernels whose work is known.
use std::hint::black_box;

/// Steps of `spin`.
pub const STEPS: u64 = 2000;
/// Elements that `chase` walks through.
pub const RING: usize = 512;

/// Some dependent work.
pub fn spin(steps: u64) -> u64 {
    (0..steps).fold(1, |x, n| black_box(x.rotate_left(7) ^ n))
}

/// A ring of indices in an order that no cache guesses.
pub fn ring() -> Vec<u32> {
    let mut order: Vec<u32> = (0..RING as u32).collect();
    let mut seed = 1u64;
    for at in (1..order.len()).rev() {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        order.swap(at, (seed >> 33) as usize % at);
    }
    let mut next = vec![0; RING];
    for pair in order.windows(2) {
        next[pair[0] as usize] = pair[1];
    }
    next[order[RING - 1] as usize] = order[0];
    next
}

/// A thousand steps through the ring.
pub fn chase(ring: &[u32]) -> u32 {
    (0..1000).fold(0, |at, _| ring[at as usize])
}
"""

BENCHES = """\
use criterion::{criterion_group, criterion_main, Criterion};
use std::hint::black_box;

fn benches(c: &mut Criterion) {
    c.bench_function("spin", |b| b.iter(|| kernels::spin(black_box(kernels::STEPS))));
    c.bench_function("other/with (odd) chars+ [a]", |b| b.iter(|| kernels::spin(black_box(1000))));
    let ring = kernels::ring();
    c.bench_function("chase", |b| b.iter(|| kernels::chase(black_box(&ring))));
}

criterion_group!(all, benches);
criterion_main!(all);
"""


@dataclass(frozen=True)
class BenchCrate:
    """A clone on the branch ``work``, which starts where origin's ``main`` is."""

    crate: CrateBuilder

    @property
    def directory(self) -> Path:
        return self.crate.directory

    def with_steps(self, steps: int) -> BenchCrate:
        """Change the work that the benchmark ``spin`` does."""
        return self.with_lib("STEPS: u64 = 2000", f"STEPS: u64 = {steps}")

    def with_lib(self, old: str, new: str) -> BenchCrate:
        return self._edited("src/lib.rs", old, new)

    def with_benches(self, old: str, new: str) -> BenchCrate:
        return self._edited("benches/main.rs", old, new)

    def _edited(self, name: str, old: str, new: str) -> BenchCrate:
        path = self.directory / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return self

    def reset(self) -> BenchCrate:
        """Go back to the base."""
        self.crate.git("checkout", "--quiet", "--force", "-B", "work", "origin/main")
        self.crate.git("clean", "-fdq")
        return self

    def bench(self, *options: str, env: dict[str, str | None] | None = None) -> Outcome:
        """Run ``nox -s bench -- OPTIONS``; whatever it says, what is the user's stays as it was."""
        before = state(self.directory)
        outcome = self.crate.nox("-s", "bench", "--", *options, env=env)
        assert state(self.directory) == before
        assert "Traceback" not in outcome.text, outcome.text
        return outcome


def bench_crate(place: Path, options: str = "") -> BenchCrate:
    """Return the crate in a folder whose name has a space."""
    origin = (
        CrateBuilder(place / "origin")
        .with_file("Cargo.toml", MANIFEST)
        .with_lib(LIB)
        .with_file("benches/main.rs", BENCHES)
        .with_noxfile(options)
        .with_git()
    )
    directory = place / "the clone"
    subprocess.run(["git", "clone", "--quiet", "--", str(origin.directory), str(directory)], check=True)
    return BenchCrate(CrateBuilder(directory)).reset()


def state(directory: Path) -> dict[str, Any]:
    """Return all that is the user's: files, and what git keeps but for its notes on our work tree."""

    def digests(top: Path, *, without: tuple[str, ...]) -> dict[str, str]:
        return {
            str(path.relative_to(top)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(top.rglob("*"))
            if path.is_file() and path.relative_to(top).parts[0] not in without
        }

    git = CrateBuilder(directory).git
    return {
        "files": digests(directory, without=(".git", "target", "__pycache__")),
        "git": digests(directory / ".git", without=("worktrees", "objects")),
        "branches": git("for-each-ref"),
        "head": git("rev-parse", "--symbolic-full-name", "HEAD"),
    }


def read_json(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    return data
