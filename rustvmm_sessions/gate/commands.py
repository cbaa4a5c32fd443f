"""What cargo is asked to do for each feature combination, and how that is said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.gate.words import TestWords, has_doctests, parse, without_doctests
from rustvmm_sessions.results import Report
from rustvmm_sessions.rust.choice import Choice
from rustvmm_sessions.rust.quarantine import Quarantine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rustvmm_sessions import catalog
    from rustvmm_sessions.gate.plan import Share
    from rustvmm_sessions.rust.cargo import Cargo
    from rustvmm_sessions.rust.features import Run


@dataclass(frozen=True, kw_only=True)
class GateRequest:
    """What a session that cargo does is asked to do.

    Attributes:
        cargo: Cargo in the crate's directory.
        session: The standard session.
        called_from: The directory where nox was called.
        workspace: Whether all members are meant, or the package of the crate's directory.
        vary: Features to vary; None for all.
        depth: The most features to combine; None for no limit.
        doctests: Whether documentation tests run for each combination.
        nextest: Whether cargo-nextest runs the tests; documentation tests run beside it.
        fix: Whether to fix what can be fixed, instead of checking.
        listing: Whether only to print the plan.
        partition: The share of the plan to run, (I, N) with I from 1, perhaps with what runs took.
        results: The folder where results are kept; None for none.
        choice: Which members are to be judged.
        rest: Words for ``cargo test``.
        alone: Whether a member fails that passes only with what other members switch on.
        deadline: When the session's time is up.
        specs: By which word cargo knows a package whose name is not enough.
        report: What it finds goes there.
        cached: Whether test executables are not run that have passed in the same surroundings.
    """

    cargo: Cargo
    session: catalog.StandardSession
    called_from: Path
    workspace: bool = True
    vary: tuple[str, ...] | None = None
    depth: int | None = None
    doctests: bool = True
    nextest: bool = False
    fix: bool = False
    listing: bool = False
    partition: Share | None = None
    results: Path | None = None
    choice: Choice = field(default_factory=Choice)
    rest: tuple[str, ...] = ()
    alone: bool = False
    repeat: int = 1
    until_fail: bool = False
    quarantine: Quarantine = field(default_factory=Quarantine)
    deadline: Deadline = field(default_factory=Deadline)
    specs: Mapping[str, str] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    cached: bool = False

    @cached_property
    def words(self) -> TestWords:
        """The words for cargo test."""
        return parse(self.rest, nextest=self.nextest)


def commands(request: GateRequest, spec: catalog.CargoRun, run: Run, triple: str) -> list[tuple[str, ...]]:
    """Return the cargo commands for one combination."""
    target = (f"--target={triple}",) if triple else ()
    matrix = (*run.arguments(request.specs), *target)
    after = ("--", *spec.after) if spec.after else ()
    if request.fix:
        return [(spec.command[0], "--fix", *spec.command[1:], *matrix, *request.rest)]
    if not spec.tests:
        return [(*spec.command, *matrix, *after)]
    packages = packages_of(request, run)
    words = request.words.of_run(run, packages) or request.words
    whole = (*spec.command[1:], *matrix)
    documented = request.doctests and not words.targets and has_doctests(packages)
    silent = without_doctests(packages)
    if request.nextest and "--doc" not in words.targets:
        release = ("--cargo-profile=release",) if "--release" in spec.command else ()
        command = ("nextest", "run", "--no-tests=pass", *release, *matrix, *words.given)
        beside = words.for_cargo() if documented else None
        if beside is None:
            return [command]
        others = tuple(sorted({package["name"] for package in packages} - silent))
        kept = tuple(name for name in run.features if name.partition("/")[0] not in silent)
        of_docs = replace(run, packages=others, features=kept) if silent else run
        return [
            command,
            ("test", "--doc", *spec.command[1:], *of_docs.arguments(request.specs), *target, *beside),
        ]
    if documented and (request.cached or not words.words) and not silent:
        return [("test", kind, *whole, *words.given) for kind in ("--tests", "--doc")]
    tests = () if request.doctests or words.targets else ("--tests",)
    return [("test", *tests, *whole, *words.given)]


def packages_of(request: GateRequest, run: Run) -> list[Mapping[str, Any]]:
    """Return what cargo says of the packages of a run."""
    packages: list[Mapping[str, Any]] = request.cargo.metadata["packages"]
    return [package for package in packages if not run.packages or package["name"] in run.packages]


def start(request: GateRequest) -> Cargo:
    """Return cargo where it starts: for the workspace at its root, for one package in its folder.

    Feature options of a virtual workspace's members count only at the root; a package's own
    configuration and toolchain hold only in its folder.
    """
    root = request.cargo.workspace.root
    return replace(request.cargo, directory=root) if request.workspace else request.cargo


def pasteable(request: GateRequest, command: tuple[str, ...], env: Mapping[str, str]) -> str:
    """Return a command of the request as it is typed where nox was called."""
    return start(request).pasteable(request.called_from, command, env)


def placed(request: GateRequest) -> Callable[[str], str | None]:
    """Return what finds the files that the compiler and tests name, from the workspace's root."""
    root = request.cargo.workspace.root
    return lambda name: request.report.file(root / name)
