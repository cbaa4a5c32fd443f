"""The sessions that cargo does: formatting, documentation, and the feature matrix of the others."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog, features
from rustvmm_sessions.cargo import Cargo, lockfile_kept, machine, rustflags
from rustvmm_sessions.changed import Affected, affected
from rustvmm_sessions.console import say, warn
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.files import own_directory
from rustvmm_sessions.git import Git
from rustvmm_sessions.tools import SETUP, find_program, need_component, need_musl_target

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rustvmm_sessions.process import Finished

RUSTFMT_CONFIG = "format_code_in_doc_comments=true"
DOC_CFG = "RUSTDOC_disable_feature_compat_errors"
"""Lets crates whose features exclude each other document all of them at once."""


@dataclass(frozen=True, kw_only=True)
class GateRequest:
    """What a session that cargo does is asked to do.

    Attributes:
        cargo: Cargo in the crate's directory.
        session: The standard session.
        workspace: Whether all members are meant, or the package of the crate's directory.
        vary: Features to vary; None for all.
        depth: The most features to combine; None for no limit.
        doctests: Whether documentation tests run for each combination.
        nextest: Whether cargo-nextest runs the tests; documentation tests run beside it.
        fix: Whether to mend what can be mended, instead of checking.
        listing: Whether only to print the plan.
        partition: The share of the plan to run, (I, N) with I from 1.
        changed: Reference whose merge base with HEAD changes are taken against; empty for
            upstream, None to run all members.
        rest: Words for ``cargo test``.
        timeout: Seconds for all of it.
    """

    cargo: Cargo
    session: catalog.StandardSession
    workspace: bool = True
    vary: tuple[str, ...] | None = None
    depth: int | None = None
    doctests: bool = True
    nextest: bool = False
    fix: bool = False
    listing: bool = False
    partition: tuple[int, int] | None = None
    changed: str | None = None
    rest: tuple[str, ...] = ()
    timeout: float | None = None
    _started: float = field(default_factory=time.monotonic)

    @property
    def remaining(self) -> float | None:
        """Seconds left; a command gets at least a moment, and then says that its time is up."""
        return None if self.timeout is None else max(0.01, self._started + self.timeout - time.monotonic())


def check_format(request: GateRequest) -> None:
    """Check the formatting with rustfmt, or correct it with `GateRequest.fix`.

    Raises:
        CheckFailed: Something is not formatted.
    """
    need_component(request.cargo, "fmt", "rustfmt")
    scope = ["--all"] if request.workspace else []
    check = [] if request.fix else ["--check"]
    done = request.cargo.run(
        "fmt", *scope, "--", *check, "--config", RUSTFMT_CONFIG, timeout=request.remaining
    )
    if not done.ok:
        raise CheckFailed(
            f"the formatting is not rustfmt's ({done.ending}); correct it: nox -s fmt -- --fix",
            output=_output(done),
        )


def build_documentation(request: GateRequest) -> None:
    """Build the documentation of all members with all features, warnings denied.

    Raises:
        CheckFailed: rustdoc has something to say.
    """
    cargo = request.cargo
    scope = _scope(request)
    args = ["doc", *scope, "--all-features", "--no-deps"]
    flags, flags_env = rustflags(cargo, "rustflags", ("--cfg", DOC_CFG))
    doc_flags, doc_env = rustflags(cargo, "rustdocflags", ("-D", "warnings"))
    with _lockfile(cargo):
        done = cargo.run(*args, *flags, *doc_flags, env={**flags_env, **doc_env}, timeout=request.remaining)
    if not done.ok:
        raise CheckFailed(f"the documentation has faults ({done.ending})", output=_output(done))


def _scope(request: GateRequest) -> tuple[str, ...]:
    packages = _packages(request)
    return ("--workspace",) if packages is None else tuple(f"--package={name}" for name in packages)


def run_matrix(request: GateRequest) -> None:
    """Run a session's cargo command once for each feature combination that makes a difference.

    Raises:
        CheckFailed: A combination failed; it is named, with the command that repeats it.
        UserError: A tool or target is missing, or the manifest's table cannot be understood.
    """
    spec = request.session.matrix
    if spec is None:
        raise AssertionError(f"{request.session.name} has no feature matrix")
    cargo = request.cargo
    packages = _packages(request)
    if packages is not None and not packages:
        say("Nothing to run.")
        return
    plan = _plan(request, packages)
    for warning in plan.warnings:
        warn(warning)
    if request.listing:
        _say_plan(request, spec, plan)
        return
    if "clippy" in spec.command:
        need_component(cargo, "clippy", "clippy")
    triple = need_musl_target(cargo, machine()) if spec.musl else ""
    with _lockfile(cargo):
        for number, run in enumerate(plan.runs, 1):
            say(f"[{number}/{len(plan.runs)}] {run.describe()}")
            for args in _commands(request, spec, run, triple):
                _run_one(request, spec, run, args)


def _packages(request: GateRequest) -> tuple[str, ...] | None:
    """Return the members to run, or None for the whole workspace."""
    workspace = request.cargo.workspace
    if not request.workspace:
        if workspace.current is None:
            raise UserError(
                "there is no package beside the noxfile, only a workspace",
                where=str(request.cargo.directory),
                fix="leave workspace=False out of register(), or put a noxfile into each member",
            )
        return (workspace.current.name,)
    if request.changed is None:
        return None
    chosen = changed_members(request.cargo, request.changed)
    return tuple(member.package for member in chosen)


def changed_members(cargo: Cargo, reference: str) -> tuple[Affected, ...]:
    """Return the members touched since the merge base with `reference`, and say which and why.

    Committed, staged, unstaged, new and deleted files count.
    """
    git = Git(directory=cargo.directory)
    top = git.line("rev-parse", "--show-toplevel")
    if top is None:
        raise UserError("this is no git work tree", where=str(cargo.directory), fix="run without --changed")
    name = reference or git.upstream()
    base = git.merge_base(name)
    listed = git.read("diff", "--name-only", "-z", "--no-renames", base, "--").check().stdout
    new = (
        git.read("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", top).check().stdout
    )
    paths = [PurePath(top, path) for path in (listed + new).split("\0") if path]
    chosen = affected(cargo.metadata, paths)
    say(f"Changed since {base[:12]} (merge base with {name}): {len(paths)} files.")
    for member in chosen:
        say(f"  {member.package}: {member.why}")
    others = [m.name for m in cargo.workspace.members if m.name not in {c.package for c in chosen}]
    if others:
        say(f"  not touched: {', '.join(others)}")
    return chosen


def _plan(request: GateRequest, packages: tuple[str, ...] | None) -> features.Plan:
    metadata = request.cargo.metadata
    plan = features.plan(metadata, packages=packages, features=request.vary, depth=request.depth)
    if machine() == catalog.RISCV64:  # emulated agents: all features only, as rust-vmm-ci does
        full = [run for run in plan.runs if run.all_features] or [r for r in plan.runs if not r.packages]
        plan = replace(plan, runs=tuple(full))
    return plan if request.partition is None else features.partition(plan, *request.partition)


def _say_plan(request: GateRequest, spec: catalog.CargoRun, plan: features.Plan) -> None:
    for run in plan.runs:
        say(f"cargo {' '.join((*spec.command, *run.arguments()))}    # {run.describe()}")
    for note in plan.notes:
        say(note)
    saved = f"{len(plan.runs)} runs of cargo, {plan.distinct} distinct pairs of package and features"
    share = "" if request.partition is None else " (this is share {}/{})".format(*request.partition)
    say(f"{saved}; cargo all-features would run {plan.predecessor_runs} packages{share}.")


def _commands(
    request: GateRequest, spec: catalog.CargoRun, run: features.Run, triple: str
) -> list[tuple[str, ...]]:
    """Return the cargo commands for one combination."""
    target = (f"--target={triple}",) if triple else ()
    matrix = (*run.arguments(), *target)
    after = ("--", *spec.after) if spec.after else ()
    if request.fix:
        return [(spec.command[0], "--fix", *spec.command[1:], *matrix, *request.rest)]
    if not spec.tests:
        return [(*spec.command, *matrix, *after)]
    options = spec.command[1:]
    if request.nextest:
        release = ("--cargo-profile=release",) if "--release" in options else ()
        commands = [("nextest", "run", "--no-tests=pass", *release, *matrix, *request.rest)]
    elif request.doctests:
        return [("test", *options, *matrix, *request.rest)]
    else:
        commands = [("test", "--tests", *options, *matrix, *request.rest)]
    if request.doctests and _has_library(request.cargo, run):
        commands.append(("test", "--doc", *options, *matrix, *request.rest))
    return commands


def _has_library(cargo: Cargo, run: features.Run) -> bool:
    """Whether cargo test --doc has something to test; without a library it is an error."""
    libraries = {"lib", "rlib", "dylib", "cdylib", "staticlib", "proc-macro"}
    return any(
        member.kinds & libraries
        for member in cargo.workspace.members
        if not run.packages or member.name in run.packages
    )


def _run_one(request: GateRequest, spec: catalog.CargoRun, run: features.Run, args: tuple[str, ...]) -> None:
    cargo = _cargo_at_root(request.cargo)
    if args[0] == "nextest":
        tool = find_program("cargo-nextest", "CARGO_NEXTEST")
        if tool is None:
            raise UserError("cargo-nextest is missing", where='runner="nextest"', fix=SETUP)
        done = cargo.run_tool(tool, *args, timeout=request.remaining)
    elif spec.deny_warnings:
        form = "json-diagnostic-rendered-ansi" if sys.stderr.isatty() else "json"
        done = cargo.read(*args, f"--message-format={form}", echo=True, timeout=request.remaining)
        warnings = _show_diagnostics(done.stdout)
        if done.ok and warnings:
            _fail(request, run, args, f"{warnings} warnings", "".join(_rendered(done.stdout)))
        if not done.ok:
            _fail(request, run, args, done.ending, "".join(_rendered(done.stdout)) or done.stderr)
        return
    else:
        done = cargo.run(*args, timeout=request.remaining)
    if not done.ok:
        _fail(request, run, args, done.ending, _output(done))


def _cargo_at_root(cargo: Cargo) -> Cargo:
    """Feature options of a virtual workspace's members count only when cargo starts at its root."""
    return Cargo(directory=cargo.workspace.root, env=cargo.env)


def _fail(request: GateRequest, run: features.Run, args: tuple[str, ...], ending: str, output: str) -> None:
    root = request.cargo.workspace.root
    place = "" if root == request.cargo.directory.resolve() else f"cd {shlex.quote(str(root))} && "
    raise CheckFailed(
        f"{run.describe()}: {ending}\n  repeat it: {place}{shlex.join((request.cargo.program, *args))}",
        output=output,
    )


def _rendered(messages: str) -> list[str]:
    """Return what the compiler says in cargo's JSON messages, in order."""
    parsed = (json.loads(line) for line in messages.splitlines() if line.startswith("{"))
    return [m["message"]["rendered"] for m in parsed if m["reason"] == "compiler-message"]


def _show_diagnostics(messages: str) -> int:
    """Print what the compiler says; return how many warnings there are."""
    sys.stdout.flush()
    for text in _rendered(messages):
        sys.stderr.write(text)
    sys.stderr.flush()
    parsed = (json.loads(line) for line in messages.splitlines() if line.startswith("{"))
    return sum(
        m["message"]["level"] == "warning" and bool(m["message"]["spans"] or m["message"]["code"])
        for m in parsed
        if m["reason"] == "compiler-message"
    )


def _output(done: Finished) -> str:
    return done.stdout + done.stderr


def _lockfile(cargo: Cargo) -> AbstractContextManager[None]:
    own = own_directory(cargo.workspace.target_directory / "rustvmm-sessions")
    return lockfile_kept(cargo.workspace, own)
