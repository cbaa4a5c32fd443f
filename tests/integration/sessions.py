"""Sessions run in small crates without dependencies, and how they ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.crates import LIB, MANIFEST, CrateBuilder, Outcome, new_crate, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def crate_in(
    directory: Path, *, lib: str = LIB, features: str = "", table: str = "", options: str = ""
) -> CrateBuilder:
    """Return a committed crate without Cargo.lock.

    Args:
        directory: Where it is made.
        lib: Its src/lib.rs.
        features: Lines of its manifest's ``[features]``.
        table: Lines of ``[package.metadata.cargo-all-features]``.
        options: What stands in ``register(...)``.
    """
    manifest = f"{MANIFEST.format(name='sample')}\n[features]\n{features}\n"
    if table:
        manifest += f"\n[package.metadata.cargo-all-features]\n{table}\n"
    crate = new_crate(directory, options=options).with_file("Cargo.toml", manifest).with_lib(lib)
    return crate.with_git()


def session(crate: CrateBuilder, name: str, *words: str, env: dict[str, str | None] | None = None) -> Outcome:
    """Run ``nox -s NAME -- WORDS``; whatever it says, it leaves the work tree as it was."""
    return untouched(crate, lambda: crate.nox("-s", name, "--", *words, env=env))


def untouched(crate: CrateBuilder, call: Callable[[], Outcome]) -> Outcome:
    """Return what `call` returns, and see that the work tree stays as it was."""
    before = status(crate)
    outcome = call()
    assert status(crate) == before
    assert "Traceback" not in outcome.text
    return outcome


def status(crate: CrateBuilder) -> str:
    """What git sees changed in the crate's work tree."""
    return crate.git("status", "--porcelain")


def ending(outcome: Outcome) -> str:
    """What is printed last, beside nox's own lines: the error, where there is one."""
    said, _, after = outcome.err.rpartition("nox > Session ")
    errors = [match.start() for match in re.finditer("^error: ", said, re.MULTILINE)]
    start = errors[-1] if errors and " aborted" in after else -1
    return said[start:].strip() if start >= 0 else re.sub(r"( \(took [^)]*\))?\.$", "", after.strip())


def repeat(crate: CrateBuilder, outcome: Outcome) -> Outcome:
    """Paste the one command that the last lines give into a shell where nox was called."""
    (line,) = re.findall(r"repeat it:\n  (.*)\n", ending(outcome))
    return run(["sh", "-c", line], cwd=crate.directory)


def combinations(outcome: Outcome) -> list[str]:
    """The combinations of features that a session began."""
    return re.findall(r"^\[\d+/\d+\] (.*)$", outcome.out, re.MULTILINE)


def script(path: Path, text: str) -> Path:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
