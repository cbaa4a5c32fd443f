"""The one place where a command of the crate's goes through a shell.

The commands of rust-vmm-ci's description files and of a pipeline file are shell by contract.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.console import say, warn
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.pipeline.custom_tests import CustomTest, commands
from rustvmm_sessions.pipeline.model import tolerated_by
from rustvmm_sessions.process import run
from rustvmm_sessions.rust.cargo import Cargo, machine
from rustvmm_sessions.rust.libtest import heard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rustvmm_sessions.deadline import Deadline
    from rustvmm_sessions.results import Report


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a step runs.

    Attributes:
        name: The step, and the case of it, for messages.
        program: ``sh`` for what runs in a container, as the docker plugin has it; else ``bash``.
        text: The script.
        soft_fail: Buildkite's rule for what is no failure.
    """

    name: str
    program: str
    text: str
    soft_fail: Any = None


def run_script(script: Script, cargo: Cargo, deadline: Deadline, report: Report) -> None:
    """Run a script as Buildkite's agent does, in the directory of `cargo`.

    Args:
        script: The script.
        cargo: Cargo where it starts, with the session's variables.
        deadline: When the session's time is up.
        report: What it says of tests goes there, unless its failure is passed over.

    Raises:
        CheckFailed: It failed, and its ``soft_fail`` does not pass over that.
    """
    command = [script.program, "-e", "-c", script.text]
    own = report.apart()
    with _edits_named(cargo.directory):
        done = heard(
            lambda listener: run(
                command, cwd=cargo.directory, env=cargo.env, deadline=deadline, listener=listener
            ),
            own,
            lambda name: report.file(cargo.directory / name),
            script.name,
        )
    tolerated = any(status in ("*", done.returncode) for status in tolerated_by(script.soft_fail))
    if done.ok or not tolerated:
        report.add(own)
    if done.ok:
        return
    what = f"{script.name}: {done.ending}"
    if not tolerated:
        raise CheckFailed(what, output=done.output, status=done.status)
    warn(f"{what}; its soft_fail passes over that")


@contextlib.contextmanager
def _edits_named(directory: Path) -> Iterator[None]:
    """Warn of tracked files that a command changed, such as vm-memory's that adds to Cargo.toml.

    An agent throws its clone away; here somebody works in it. Nothing is put back, as what changed
    meanwhile may be that somebody's work.
    """
    before = _edited(directory)
    try:
        yield
    finally:
        after = _edited(directory)
        names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        if names:
            what = f"tracked files changed while the command ran: {', '.join(names)}"
            fresh = shlex.join(name for name in names if name not in before)
            warn(f"{what}; `git restore -- {fresh}` takes that back" if fresh else what)


def _edited(directory: Path) -> dict[str, tuple[int, int]]:
    """Return the tracked files that are not as in git's index, each with its time and size."""
    with contextlib.suppress(UserError):  # no git
        git = Git(directory=directory)
        listed = git.read("diff", "--name-only", "--relative", "--ignore-submodules", "-z")
        if listed.ok:
            return {name: _state(directory / name) for name in listed.stdout.split("\0") if name}
    return {}


def _state(path: Path) -> tuple[int, int]:
    try:
        status = os.lstat(path)
    except OSError:  # deleted
        return 0, 0
    return status.st_mtime_ns, status.st_size


def run_custom_test(
    cargo: Cargo, test: CustomTest, chosen: Sequence[str], deadline: Deadline, report: Report
) -> None:
    """Run the cases of a custom test.

    Args:
        cargo: Cargo in the crate's directory, with the session's variables.
        test: The test.
        chosen: The values of the only case of its matrix to run; empty for all.
        deadline: When the session's time is up.
        report: What they say of tests goes there.

    Raises:
        CheckFailed: A case failed, and ``soft_fail`` does not pass over it.
    """
    start = _start(cargo, test)
    cases = commands(test, machine(), _members(cargo, start) if test.per_crate else (), chosen)
    cargo = replace(cargo, directory=start)
    for case, command in cases:
        if case:
            say(f"{test.name}: {case}")
        name = f"{test.name} ({case})" if case else test.name
        soft_fail = test.template.extra.get("soft_fail")
        run_script(
            Script(name=name, program="sh", text=command, soft_fail=soft_fail), cargo, deadline, report
        )


def _start(cargo: Cargo, test: CustomTest) -> Path:
    """Return where Buildkite starts a test: at the repository's top, which a member's folder is not.

    A crate with a workspace of its own has the tests that its folder is the top for, but for those that a
    file above it describes.
    """
    with contextlib.suppress(UserError):  # no git
        here, top = cargo.directory.resolve(), Git(directory=cargo.directory).top
        above = test.template.source.startswith("../")
        if top and top.resolve() != here and (above or cargo.workspace.root != here):
            return top.resolve()
    return cargo.directory


def _members(cargo: Cargo, start: Path) -> Iterable[tuple[str, str]]:
    """Return the names and folders of the members that a test is for: in a member's folder, that one."""
    workspace = cargo.workspace
    whole = cargo.directory in (start, workspace.root)
    members = workspace.members if whole else filter(None, [workspace.current])
    return [(member.name, os.path.relpath(member.directory, start)) for member in members]
