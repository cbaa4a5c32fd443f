"""What a repository has, looked at before anything is planned for it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog, files
from rustvmm_sessions.console import warn
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.gate import plan as features
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.init import scaffold
from rustvmm_sessions.init.scaffold import Dependabot, Found, ManyRuns, Publishable
from rustvmm_sessions.init.takeover import take_over
from rustvmm_sessions.pipeline.custom_tests import CustomTest, parse
from rustvmm_sessions.pipeline.hooks import HOOKS
from rustvmm_sessions.pipeline.publishing import ANY, published_by
from rustvmm_sessions.pipeline.spelled import first_folder
from rustvmm_sessions.rust import members
from rustvmm_sessions.rust.cargo import Cargo, machine
from rustvmm_sessions.rust.members import DESCRIPTIONS
from rustvmm_sessions.settings import parse_platforms, settings
from rustvmm_sessions.vendored import VENDORED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path


_DEPTH = 4

_RENOVATE = (
    *(f"{folder}renovate.json{five}" for folder in ("", ".github/", ".gitlab/") for five in ("", "5")),
    *(f".renovaterc{ending}" for ending in ("", ".json", ".json5")),
)


def look(directory: Path, top: Path) -> Found:
    """Return what the repository has.

    Args:
        directory: The crate's directory.
        top: The repository's.

    Raises:
        UserError: There is no manifest, or a file cannot be understood.
    """
    submodules = Git(directory=top).submodules()
    skipped = {top / path for path in submodules.values()}
    manifests = list(_manifests(directory, skipped))
    if not (directory / "Cargo.toml").is_file():
        places = [os.path.relpath(path, directory) for path in _outermost(manifests)]
        more = f" and {len(places) - 5} more" if len(places) > 5 else ""
        raise UserError(
            "there is no Cargo.toml here"
            + (f"; there is one in {', '.join(places[:5])}{more}" if places else ""),
            where=str(directory),
            fix=f"run it there: cd {shlex.quote(places[0])}"
            if places
            else "run it in the directory of a crate or workspace",
        )
    cargo = Cargo(directory=directory)
    own = {member.directory for member in cargo.workspace.members} | {cargo.workspace.root}
    apart = _outermost([path for path in manifests if path.resolve() not in own])
    root, here = cargo.workspace.root, directory.resolve()
    folders = sorted(folder for folder in own if here in folder.parents)
    place = "" if here == top.resolve() else here.relative_to(top.resolve()).as_posix()
    beside = bool(place) and any(not path.resolve().is_relative_to(here) for path in _manifests(top, skipped))
    packages = _publishable(cargo, beside=beside)
    platforms = _platforms(directory / ".platform")
    dependabot = _dependabot(top)
    tests, left_out = _descriptions(directory, directory, skipped)
    others = {folder: _going_to(os.path.relpath(folder, directory), tests) for folder in apart}
    others = {folder: names for folder, names in others.items() if names}
    tests = {name: read for name, read in tests.items() if not any(name in each for each in others.values())}
    above: dict[str, tuple[CustomTest, ...]] = {}
    if place and root == here:
        everything = _descriptions(directory, top, skipped)[0]
        above = {name: everything[name] for name in _going_to(place, everything)}
    judged = members.of(settings(directory, {"platforms": platforms}))
    of_members: dict[str, tuple[CustomTest, ...]] = {}
    for folder in folders:
        of_members |= _descriptions(directory, folder, skipped)[0]
    of_judged = {  # what is odd in them is said by now
        name: parse(files.read_text(directory / path) or "", name, lambda _: None, (member.name, member.path))
        for member in judged
        for path in member.tests
        if (name := str(path)) in of_members
    }
    over = take_over(
        {**tests, **above, **of_judged},
        here,
        {name for each in judged for name in each.platforms.names}
        | {*(platforms or catalog.DEFAULT_PLATFORMS)},
        machine(),
        *([("coverage",)] if above else []),
    )
    return Found(
        place=place,
        member=root != here,
        platforms=platforms,
        custom_tests={name: over.places[name] for name in (*tests, *above)},
        left_out=left_out,
        of_members={name: over.places[name] for name in of_judged},
        members_tests=tuple(name for name in of_members if not name.endswith(DESCRIPTIONS)),
        skip=over.skip,
        packages=packages,
        publishing=_publishing(top, packages),
        calling_old=tuple(
            test.name if name in over.places and not test.member else f"{test.name} ({name})"
            for name, read in {**tests, **above, **of_members}.items()
            for test, (_, session) in zip(read, over.places.get(name) or [("", "")] * len(read), strict=True)
            if not session and _calls_rust_vmm_ci(test, submodules)
        ),
        overrides=over.overrides,
        apart=tuple(os.path.relpath(path, directory) for path in apart if path not in others),
        beside=tuple(look(folder, top) for folder in others),
        submodules=submodules,
        hooks=tuple(
            f".buildkite/hooks/{name}" for name in HOOKS if (top / ".buildkite/hooks" / name).is_file()
        ),
        coverage_configs=_coverage_configs(directory, [directory, *folders]),
        recorded=(directory / "tests" / "coverage").exists(),
        dependabot=dependabot,
        renovate=_renovate(top),
        updated=tuple(
            folder
            for kind, folder in dependabot.updates
            if kind == "cargo"
            and (top / folder / "Cargo.toml").is_file()
            and (top / folder).resolve() not in own - {root}
        ),
        workflows=any((top / ".github" / "workflows").glob("*.y*ml")),
        buildkite=(top / ".buildkite").is_dir() or scaffold.OLD_SUBMODULE in submodules,
        bootstrap=files.read_text(top / scaffold.BUILDKITE) or "",
        vendored=(top / VENDORED).is_file(),
        noxfile=files.read_text(directory / "noxfile.py") or "",
        github=(top / scaffold.GITHUB).exists(),
        tables=_tables(cargo),
        many_runs=None if (directory / "noxfile.py").exists() else _many_runs(cargo, over.skip),
    )


def _calls_rust_vmm_ci(test: CustomTest, submodules: Mapping[str, str]) -> bool:
    path = submodules.get(scaffold.OLD_SUBMODULE)
    return test.calls_rust_vmm_ci or bool(path and f"{path}/" in test.command)


def _dependabot(top: Path) -> Dependabot:
    names = (".github/dependabot.yml", ".github/dependabot.yaml")
    name = next((name for name in names if (top / name).exists()), names[0])
    return scaffold.read_dependabot(name, files.read_text(top / name) or "")


def _renovate(top: Path) -> str:
    """Return the file that configures renovate, empty where there is none."""
    if name := next((name for name in _RENOVATE if (top / name).is_file()), ""):
        return name
    with contextlib.suppress(ValueError, UserError):
        package = json.loads(files.read_text(top / "package.json") or "null")
        return "package.json" if isinstance(package, dict) and "renovate" in package else ""
    return ""


def _coverage_configs(directory: Path, folders: Collection[Path]) -> dict[str, str]:
    """Return the scores of coverage's configuration files, by their names from `directory`."""
    found = {}
    for path in (path for folder in folders for path in sorted(folder.glob("coverage_config_*.json"))):
        with contextlib.suppress(ValueError):
            score = json.loads(files.read_text(path) or "null")
            score = score.get("coverage_score") if isinstance(score, dict) else None
            found[os.path.relpath(path, directory)] = "none" if score is None else f"{score}"
    return found


def _tables(cargo: Cargo) -> tuple[str, ...]:
    """Return what is wrong in the tables that limit the feature matrix."""
    try:
        return features.plan(cargo.metadata, depth=0).warnings
    except UserError as error:
        return (str(error),)


def _many_runs(cargo: Cargo, skipped: Collection[str]) -> ManyRuns | None:
    """Return the crate's feature matrix if it has very many runs; None, too, of one that is wrong.

    None as well where the sessions that have it are all left out.
    """
    session = next((s.name for s in catalog.STANDARD if s.matrix and s.name not in skipped), "")
    if not session:
        return None
    runs = _planned_runs(cargo, None)
    if runs is not None and runs <= scaffold.MOST_RUNS:
        return None
    for depth in (3, 2, 1):
        fewer = _planned_runs(cargo, depth)
        if fewer and (fewer <= scaffold.MOST_RUNS or depth == 1):
            return ManyRuns(session=session, runs=runs, depth=depth, fewer=fewer)
    return None


def _planned_runs(cargo: Cargo, depth: int | None) -> int | None:
    """Return how many runs the feature matrix has; None where they are too many, or a table is wrong."""
    try:
        return len(features.plan(cargo.metadata, depth=depth).runs)
    except UserError:
        return None


def _manifests(directory: Path, skipped: set[Path], depth: int = 0) -> Iterator[Path]:
    """Yield folders with a Cargo.toml, not too deep, outside of submodules, builds and vendored sources."""
    if os.path.isfile(directory / "Cargo.toml"):  # noqa: PTH113 - no error where it may not be looked at
        yield directory
    if depth < _DEPTH:
        for path in _folders(directory):
            if path.name not in ("target", "vendor", "node_modules") and path not in skipped:
                yield from _manifests(path, skipped, depth + 1)


def _folders(directory: Path) -> list[Path]:
    """Return folders in a folder; none of one that may not be read, and none that is hidden or a link."""
    try:
        with os.scandir(directory) as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and e.name[0] != "."]
    except OSError:
        return []
    return [directory / name for name in sorted(names)]


def _outermost(folders: list[Path]) -> list[Path]:
    return [path for path in folders if not any(parent in folders for parent in path.parents)]


def _platforms(path: Path) -> tuple[str, ...] | None:
    text = files.read_text(path)
    return None if text is None else parse_platforms(text, str(path))


def _going_to(folder: str, tests: Mapping[str, Iterable[CustomTest]]) -> list[str]:
    """Return the description files whose tests all go to a folder first."""
    return [name for name, read in tests.items() if all(first_folder(t.command) == folder for t in read)]


def _descriptions(
    directory: Path, crate: Path, skipped: Collection[Path]
) -> tuple[dict[str, tuple[CustomTest, ...]], dict[str, str]]:
    """Return the tests of a crate's description files, by the names from `directory`, and unusable files.

    A link into rust-vmm-ci is such a one, as vhost has it: its own description is of the standard tests.
    """
    tests, left_out = {}, {}
    places = [folder.resolve() for folder in skipped]
    for path in sorted((crate / ".buildkite").glob("*.json")):
        name = os.path.relpath(path, directory)
        if any(path.resolve().is_relative_to(place) for place in places):
            left_out[name] = "a link into a submodule: standard sessions run those tests"
            continue
        try:
            text = files.read_text(path) or ""
            if '"tests"' in text and not (read := parse(text, name, warn)):
                left_out[name] = "as it has no test"
            elif '"tests"' in text:
                tests[name] = read
        except UserError as error:
            warn(f"{name} is left out of the noxfile:\n{error}")
            left_out[name] = "for what is said above"
    return tests, left_out


def _publishable(cargo: Cargo, *, beside: bool) -> tuple[Publishable, ...]:
    """Return the packages that may be published; `beside` says whether other folders have some, too."""
    packages = cargo.metadata["packages"]
    return tuple(
        Publishable(name=package["name"], alone=len(packages) == 1 and not beside)
        for package in packages
        if package["publish"] is None or "crates-io" in package["publish"]
    )


def _publishing(top: Path, packages: Collection[Publishable]) -> dict[str, str]:
    """Return the packages that workflows of other names publish to crates.io: two would race."""
    found: dict[str, str] = {}
    for path in sorted((top / scaffold.WORKFLOWS).glob("*.y*ml")):
        name = path.relative_to(top).as_posix()
        if name not in {package.workflow for package in packages}:
            published = published_by(files.read_text(path) or "")
            found |= {p.name: name for p in packages if published & {p.name, ANY}}
    return found
