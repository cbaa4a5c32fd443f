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
    origin = CrateBuilder(place / "origin").with_files_of("kernels").with_noxfile(options).with_git()
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
