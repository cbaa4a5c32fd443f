"""The table of standard sessions: the one place that says what they are."""

from __future__ import annotations

from dataclasses import dataclass

X86_64 = "x86_64"
AARCH64 = "aarch64"
RISCV64 = "riscv64"
PLATFORMS = (X86_64, AARCH64, RISCV64)
TIMEOUT_MINUTES = 15
"""Time limit of a session that sets none, as on rust-vmm's agents."""


@dataclass(frozen=True, kw_only=True)
class StandardSession:
    """What is known about a standard session without running it.

    Attributes:
        name: As in ``nox -s NAME``.
        alias: rust-vmm-ci's name of it, accepted in settings; empty where it has none.
        summary: The line of ``nox -l``.
        tags: As in ``nox -t TAG``; without ``quick`` it is not part of plain ``nox``.
        tools: Programs it needs beside cargo and rustc.
        timeout_minutes: Its time limit unless the crate sets another.
        forwards: Whether options it does not know go to ``cargo test``.
    """

    name: str
    summary: str
    tags: tuple[str, ...] = ()
    alias: str = ""
    tools: tuple[str, ...] = ()
    timeout_minutes: int = TIMEOUT_MINUTES
    forwards: bool = False


STANDARD = (
    StandardSession(
        name="coverage",
        alias="coverage",
        summary="Measure line coverage and compare it with tests/coverage.",
        tags=("gate", "quick"),
        tools=("llvm-tools", "cargo-llvm-cov"),
    ),
    StandardSession(
        name="setup",
        summary="Provide the tools that the sessions need and that are missing.",
        tags=("helpers",),
    ),
)


def standard(name: str) -> StandardSession | None:
    """Return the standard session of that name or alias, or None."""
    return next((s for s in STANDARD if name and name in (s.name, s.alias)), None)
