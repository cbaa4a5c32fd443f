"""Check the crate for targets by cargo check, and say what pulls std in where a target has none."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.console import say, tell
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.results import Finding, Report
from rustvmm_sessions.rust.cargo import Cargo, coloured, own_folder, package_specs
from rustvmm_sessions.rust.choice import Choice, choose
from rustvmm_sessions.rust.configuration import with_flags
from rustvmm_sessions.rust.features import Run, fullest
from rustvmm_sessions.rust.lockfile import lockfile_kept
from rustvmm_sessions.rust.messages import Diagnostics, Printer, diagnostics, finding, messages_in
from rustvmm_sessions.rust.tools import has_core, has_target
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rustvmm_sessions.process import Finished
    from rustvmm_sessions.settings import TargetRules

_LIBRARIES = {"lib", "rlib", "dylib", "cdylib", "staticlib", "proc-macro"}


@dataclass(frozen=True, kw_only=True)
class TargetsRequest:
    """What checking for targets is asked to do.

    Attributes:
        cargo: Cargo in the crate's directory.
        called_from: The directory where nox was called.
        targets: What is set for each target, by its triple.
        choice: Which members are to be checked.
        workspace: Whether all members are meant, or the package of the crate's directory.
        listing: Whether only to print the commands.
        deadline: When the session's time is up.
        report: What it finds goes there.
    """

    cargo: Cargo
    called_from: Path
    targets: Mapping[str, TargetRules]
    choice: Choice = field(default_factory=Choice)
    workspace: bool = True
    listing: bool = False
    deadline: Deadline = field(default_factory=Deadline)
    report: Report = field(default_factory=Report)

    @property
    def start(self) -> Cargo:
        """Cargo where it starts: features of a workspace's members count only at its root."""
        root = self.cargo.workspace.root
        return replace(self.cargo, directory=root) if self.workspace else self.cargo


@dataclass(frozen=True, kw_only=True)
class Check:
    """One run of cargo check.

    Attributes:
        triple: The target.
        words: Words after ``cargo check`` that choose packages and features.
        kinds: Words that choose what is checked of them.
        std: Whether the target has a standard library.
        flags: Flags of rustc.
    """

    triple: str
    words: tuple[str, ...]
    kinds: tuple[str, ...]
    std: bool
    flags: tuple[str, ...]

    @property
    def args(self) -> tuple[str, ...]:
        """Words after ``cargo``."""
        return ("check", f"--target={self.triple}", *self.words, *self.kinds)


def check_targets(request: TargetsRequest) -> None:
    """Check the crate for each target; warnings fail it.

    Raises:
        CheckFailed: Something does not compile, or with warnings.
        UserError: A target is unknown or not installed.
    """
    _need_targets(request)
    packages = choose(request.cargo, request.choice)
    if packages is not None and not packages:
        say("Nothing to run.")
        return
    with lockfile_kept(request.cargo.workspace, own_folder(request.cargo.workspace, "rustvmm-sessions")):
        specs = package_specs(request.cargo, make=not request.listing)
        checks = [check for triple in request.targets for check in _checks(request, triple, packages, specs)]
        failed = {}
        for check in checks:
            if request.listing:
                say(shlex.join(("cargo", *check.args)))
            elif repeat := _run(request, check):
                failed[check.triple] = repeat
    if failed:
        raise CheckFailed(
            f"the crate fails for {', '.join(failed)}; repeat it:\n"
            + "\n".join(f"  {repeat}" for repeat in failed.values()),
            fix=next(iter(failed.values())),
        )


def _need_targets(request: TargetsRequest) -> None:
    cargo = request.cargo
    known = cargo.rustc("--print", "target-list").split()
    for triple in request.targets:
        if triple not in known:
            raise UserError(
                f"rustc {cargo.toolchain.release} has no target {triple!r}",
                where="register(targets=...)",
                fix=did_you_mean(triple, known),
            )
    missing = [triple for triple in request.targets if not has_core(cargo, triple)]
    if missing:
        names, verb = (f"target {missing[0]}", "is") if len(missing) == 1 else (", ".join(missing), "are")
        raise UserError(
            f"{names} {verb} missing for rustc {cargo.toolchain.release}",
            where=f"the toolchain of {cargo.directory}",
            fix=f"run `rustup target add {' '.join(missing)}`",
        )


def _checks(
    request: TargetsRequest, triple: str, packages: tuple[str, ...] | None, specs: Mapping[str, str]
) -> list[Check]:
    rules, metadata = request.targets[triple], request.cargo.metadata
    own = [request.cargo.package.name] if not request.workspace else None
    every = own or [package["name"] for package in metadata["packages"]]
    names = [n for n in every if packages is None or n in packages]
    names = [n for n in names if not rules.packages or n in rules.packages]
    for name in rules.packages:
        if name not in every:
            raise UserError(
                f"there is no member {name!r}",
                where=f"register(targets={{{triple!r}: {{'packages': ...}}}})",
                fix=did_you_mean(name, every),
            )
    if not names:
        return []
    scope = tuple(names) if len(names) < len(metadata["packages"]) else ()
    run = (
        replace(fullest(metadata, names)[0], packages=scope)
        if rules.features is None and rules.default_features
        else Run(packages=scope, features=rules.features or (), no_default=not rules.default_features)
    )
    std = has_target(request.cargo, triple)
    kinds = {
        kind
        for package in metadata["packages"]
        if package["name"] in names
        for target in package["targets"]
        for kind in target["kind"]
    }
    chosen = ["--lib"] if kinds & _LIBRARIES else []
    chosen += ["--bins", *(["--examples"] if std else [])] if std or not chosen else []
    return [
        Check(
            triple=triple,
            words=run.arguments(specs),
            kinds=tuple(chosen),
            std=std,
            flags=rules.rustflags,
        )
    ]


def _run(request: TargetsRequest, check: Check) -> str:
    """Run a check; return the command that repeats it, empty where it passes."""
    cargo = request.start
    env = with_flags(cargo, "rustflags", check.flags, triple=check.triple) if check.flags else {}
    form = "json-diagnostic-rendered-ansi" if coloured() else "json"
    keep_going = () if check.std else ("--keep-going",)  # several crates may lack std
    words = (*check.args, *keep_going, f"--message-format={form}")
    done = cargo.read(*words, env=env, echo=True, deadline=request.deadline, listener=Printer())
    said = diagnostics(done.stdout, (check.triple,))
    if done.ok and not said.warnings:
        say(f"{check.triple}: passed")
        return ""
    if done.timed_out:
        raise CheckFailed(f"{check.triple}: cargo check was {done.ending}", output=done.output)
    if not check.std:
        _name_users_of_std(request, check, done)
    _report(request, check, said)
    if done.ok:  # warnings alone: only with the flag does the command fail
        env = with_flags(cargo, "rustflags", (*check.flags, "-D", "warnings"), triple=check.triple)
    return cargo.pasteable(request.called_from, (cargo.program, *check.args), env)


def _report(request: TargetsRequest, check: Check, said: Diagnostics) -> None:
    root = request.start.directory
    for told in said.denied:
        found = finding(told, lambda name: request.report.file(root / name))
        if found:
            title = f"{check.triple}: {found.title}"
            request.report.found(replace(found, kind="target", title=title, level="error"))


def _name_users_of_std(request: TargetsRequest, check: Check, done: Finished) -> None:
    """Say what the crates that need std are, and by which path of dependencies they are there."""
    for name, package in sorted(_users_of_std(done.stdout).items()):
        asked = ("--invert", package, f"--target={check.triple}", "--edges=normal,features")
        tree = request.start.read("tree", *asked, "--charset=ascii", *check.words)
        path = tree.stdout.strip() if tree.ok else ""
        title = f"{check.triple}: {name} needs std, which the target does not have"
        tell(f"error: {title}\n{path}\n")
        request.report.found(Finding(kind="target", title=title, message=path))


def _users_of_std(messages: str) -> dict[str, str]:
    """Return the packages that ask for std, named for people, with cargo's id of each."""
    found: dict[str, Any] = {}
    for message in messages_in(messages, "compiler-message"):
        if re.match(r"can't find crate for `std`", message["message"]["message"]):
            package = message["package_id"]
            found[_name(package, message["target"]["name"])] = package
    return found


def _name(package_id: str, target: str) -> str:
    """Return ``memchr 2.7.4`` of an id such as ``registry+https://...#memchr@2.7.4``."""
    name, at, version = package_id.rpartition("#")[2].rpartition("@")
    return f"{name if at else target} {version}"
