"""Run a crate's custom test as Buildkite's agent does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rustvmm_sessions.console import say, warn
from rustvmm_sessions.errors import CheckFailed
from rustvmm_sessions.pipeline.custom_tests import CustomTest, commands
from rustvmm_sessions.pipeline.shell import run_shell
from rustvmm_sessions.rust.cargo import Cargo, machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rustvmm_sessions.deadline import Deadline


def run_custom_test(cargo: Cargo, test: CustomTest, chosen: Sequence[str], deadline: Deadline) -> None:
    """Run the cases of a custom test.

    Args:
        cargo: Cargo in the crate's directory, with the session's variables.
        test: The test.
        chosen: The values of the only case of its matrix to run; empty for all.
        deadline: When the session's time is up.

    Raises:
        CheckFailed: A case failed, and ``soft_fail`` does not pass over it.
    """
    cases = commands(test, machine(), _members(cargo) if test.per_crate else (), chosen)
    for case, command in cases:
        if case:
            say(f"{test.name}: {case}")
        done = run_shell("sh", command, cargo, deadline)
        if done.ok:
            continue
        what = f"{test.name}{f' ({case})' if case else ''}: {done.ending}"
        if not test.tolerates(done.returncode):
            raise CheckFailed(what, output=done.stdout + done.stderr, status=done.status)
        warn(f"{what}; its soft_fail passes over that")


def _members(cargo: Cargo) -> Iterable[tuple[str, str]]:
    workspace = cargo.workspace
    return [(m.name, os.path.relpath(m.directory, workspace.root)) for m in workspace.members]
