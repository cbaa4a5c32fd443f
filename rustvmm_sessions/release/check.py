"""Check what is about to be published: its files, then what cargo packs of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import files
from rustvmm_sessions.console import print_error, say, warn
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.pipeline.publishing import ANY
from rustvmm_sessions.process import run
from rustvmm_sessions.release import facts
from rustvmm_sessions.results import Finding, Report
from rustvmm_sessions.rust.cargo import Cargo, own_folder
from rustvmm_sessions.rust.choice import named
from rustvmm_sessions.rust.features import fullest
from rustvmm_sessions.rust.lockfile import lockfile_kept
from rustvmm_sessions.rust.tools import find_program
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOGETHER = (1, 90)
"""The first release of cargo that packs several members which need each other."""
_LICENCES = ("license", "licence", "copying", "unlicense")


@dataclass(frozen=True, kw_only=True)
class ReleaseRequest:
    """What the check of a release is asked to do.

    Attributes:
        cargo: Cargo in the crate's directory.
        called_from: The directory where nox was called.
        tag: The tag that is being published; empty for none.
        packages: The members to check, by name or folder; empty for all that are published.
        workspace: Whether all members are meant, or the package of the crate's directory.
        deadline: When the session's time is up.
        report: What it finds goes there.
    """

    cargo: Cargo
    called_from: Path
    tag: str = ""
    packages: tuple[str, ...] = ()
    workspace: bool = True
    deadline: Deadline = field(default_factory=Deadline)
    report: Report = field(default_factory=Report)

    @property
    def start(self) -> Cargo:
        """Cargo at the workspace's root."""
        return replace(self.cargo, directory=self.cargo.workspace.root)

    @cached_property
    def published(self) -> dict[str, dict[str, Any]]:
        """What cargo says of the packages that are published on crates.io, by their names."""
        packages = self.cargo.metadata["packages"]
        own = None if self.workspace else self.cargo.package.name
        return {
            package["name"]: package
            for package in packages
            if package["publish"] is None or "crates-io" in package["publish"]
            if own is None or package["name"] == own
        }


@dataclass
class _Faults:
    """Prints what is wrong and reports it, as it is found."""

    request: ReleaseRequest
    count: int = 0
    last: str = ""

    def add(self, what: str, path: Path, line: int | None = None, *, fix: str, message: str = "") -> None:
        place = f"{path}:{line}" if line else str(path)
        print_error(UserError(what, where=place, fix=fix))
        report = self.request.report
        report.found(
            Finding(
                kind="release",
                title=what,
                message=message or f"{what}\n --> {place}\nhelp: {fix}",
                file=report.file(path),
                line=line,
            )
        )
        self.count += 1
        self.last = fix


def check_release(request: ReleaseRequest) -> None:
    """Check the members that are published, and what cargo packs of them.

    Raises:
        CheckFailed: Something does not hold together.
        UserError: There is nothing to publish, or the registry cannot be asked.
    """
    chosen, tag = _chosen(request)
    faults = _Faults(request)
    packages = [request.published[name] for name in chosen]
    with lockfile_kept(request.cargo.workspace, own_folder(request.cargo.workspace, "rustvmm-sessions")):
        for package in packages:
            _check_files(request, faults, package, tag)
        new = {name: not _is_in_registry(request, package) for name, package in request.published.items()}
        for group in facts.groups(_all_needs(request, faults, chosen, new)):
            if _pack(request, faults, group):
                for name in group:
                    _check_packed(request, faults, request.published[name])
        for package in packages:
            _check_rust_version(request, faults, package)
            if new[package["name"]]:
                _check_api(request, faults, package)
    if faults.count:
        raise CheckFailed(
            f"the release does not hold together: {counted(faults.count, 'error')} above", fix=faults.last
        )
    for name in chosen:
        state = "can be published" if new[name] else "is in the registry already"
        say(f"{name} {request.published[name]['version']} {state}")


def _chosen(request: ReleaseRequest) -> tuple[tuple[str, ...], facts.Tagged | None]:
    """Return the packages to check, and what the tag says."""
    if not request.published:
        raise UserError(
            "nothing here is published: every package has `publish = false`",
            where=str(request.cargo.workspace.root / "Cargo.toml"),
            fix="take release=True out of register()",
        )
    root = request.cargo.workspace.root
    folders = {
        name: os.path.relpath(Path(package["manifest_path"]).parent, root)
        for name, package in request.published.items()
    }
    chosen = named(folders, request.packages, "--package") or tuple(request.published)
    if not request.tag:
        return chosen, None
    place = files.repository_top(request.cargo.directory) / ".github" / "workflows"
    texts = {path.name: files.read_text(path) or "" for path in sorted(place.glob("*.y*ml"))}
    found = facts.tagged(request.tag, facts.publishing(texts), request.published)
    if isinstance(found, str):
        raise UserError(found, where=f"--tag {request.tag}", fix="push a tag that one of them is started by")
    if ANY not in found.packages:
        chosen = tuple(name for name in chosen if name in found.packages)
    return chosen, found


def _place(package: Mapping[str, Any], key: str, table: str = "package") -> tuple[Path, int | None]:
    path = Path(package["manifest_path"])
    return path, facts.line_of(files.read_text(path) or "", table, key)


# Its files


def _check_files(
    request: ReleaseRequest, faults: _Faults, package: Mapping[str, Any], tag: facts.Tagged | None
) -> None:
    name, version = package["name"], package["version"]
    if tag and tag.version != version:
        faults.add(
            f"the tag {request.tag} is of version {tag.version}, and {name} has {version}",
            *_place(package, "version"),
            fix=f'write version = "{tag.version}", or push another tag',
        )
    if not package["license"] and not package["license_file"]:
        faults.add(f"{name} has no license", *_place(package, "name"), fix='add license = "Apache-2.0"')
    if not package["description"]:
        faults.add(f"{name} has no description", *_place(package, "name"), fix='add description = "..."')
    folder = Path(package["manifest_path"]).parent
    for key in ("readme", "license_file"):
        if package[key] and not (folder / package[key]).is_file():
            word = key.replace("_", "-")
            faults.add(
                f"{name}: there is no file {package[key]!r}, which {word} names",
                *_place(package, word),
                fix="correct the name, or add the file",
            )
    if not package["readme"]:
        warn(f"{name} has no README, which crates.io would show")
    _check_changelog(request, faults, package, tagged=tag is not None)


def _check_changelog(
    request: ReleaseRequest, faults: _Faults, package: Mapping[str, Any], *, tagged: bool
) -> None:
    name, version = package["name"], package["version"]
    folders = dict.fromkeys([Path(package["manifest_path"]).parent, request.cargo.workspace.root])
    path = next((f / "CHANGELOG.md" for f in folders if (f / "CHANGELOG.md").is_file()), None)
    if path is None:
        warn(f"{name} has no CHANGELOG.md")
        return
    text = files.read_text(path) or ""
    newest = facts.newest_heading(text)
    if newest is None or newest.version != version:
        has = f"its newest heading is of {newest.version}" if newest else "no heading names a version"
        faults.add(
            f"{path.name} does not know {name} {version}: {has}",
            path,
            newest.line if newest else None,
            fix=f"add a heading `## v{version}` above, or correct the version",
        )
    elif tagged and facts.has_unreleased_entries(text):
        faults.add(
            f"{path.name} has entries that are not of {version}",
            path,
            fix=f"move them below the heading of {version}",
        )


# The registry


def _is_in_registry(request: ReleaseRequest, package: Mapping[str, Any]) -> bool:
    """Whether this version of a package is on crates.io.

    Raises:
        UserError: Nobody knows, as without a network.
    """
    spec = f"{package['name']}@{package['version']}"
    done = request.start.read("info", "--quiet", "--registry=crates-io", "--color=never", spec)
    if done.ok or "error: could not find `" in done.stderr:
        return done.ok
    raise UserError(
        f"crates.io cannot be asked for {spec}: {done.stderr.strip().splitlines()[0]}",
        where=str(request.cargo.directory),
        fix="check the network, and that cargo is 1.82 or newer",
    )


def _all_needs(
    request: ReleaseRequest, faults: _Faults, chosen: tuple[str, ...], new: Mapping[str, bool]
) -> dict[str, frozenset[str]]:
    """Return the packages to pack: those chosen, and what they need in a version that is in no registry.

    A tag publishes the chosen ones alone: none of them may be published already, and all else must be.
    """
    folders = {str(Path(p["manifest_path"]).parent): p["name"] for p in request.cargo.metadata["packages"]}
    needs: dict[str, frozenset[str]] = {}
    todo = [*chosen]
    while todo:
        name = todo.pop(0)
        package = request.published[name]
        if request.tag and new[name] != (name in chosen):
            known = "is not in the registry yet, and is needed" if new[name] else "is in the registry already"
            faults.add(
                f"{name} {package['version']} {known}",
                *_place(package, "version"),
                fix=f"publish {name} first" if new[name] else "raise the version",
            )
        needs[name] = _needs(faults, package, folders, new)
        todo += sorted(needs[name] - needs.keys() - {*todo})
    return needs


def _needs(
    faults: _Faults, package: Mapping[str, Any], folders: Mapping[str, str], new: Mapping[str, bool]
) -> frozenset[str]:
    """Return the members that a package needs in a version that is in no registry yet."""
    found, published = set(), faults.request.published
    for dependency, member in facts.dependencies_on_members(package, folders):
        name = dependency["rename"] or dependency["name"]
        table = f"{dependency['kind']}-dependencies" if dependency["kind"] else "dependencies"
        if member not in published:
            faults.add(
                f"{package['name']} needs {member}, which is not published",
                *_place(package, name, table),
                fix=f"take `publish = false` out of {member}, or do without it",
            )
        elif dependency["req"] == "*":
            faults.add(
                f"{package['name']} needs {member} by its path, in no version",
                *_place(package, name, table),
                fix=f'add version = "{published[member]["version"]}"',
            )
        elif new[member]:
            found.add(member)
    return frozenset(found)


# What cargo packs


def _pack(request: ReleaseRequest, faults: _Faults, members: tuple[str, ...]) -> bool:
    """Let cargo pack packages and build what it packed; return whether it could."""
    release = tuple(map(int, re.findall(r"\d+", request.cargo.toolchain.release)[:2]))
    if len(members) > 1 and release < _TOGETHER:
        warn(
            f"{', '.join(members)} need each other in versions that are in no registry yet: "
            f"only cargo 1.90 or newer packs them together, this is {request.cargo.toolchain.release}"
        )
        return False
    words = replace(fullest(request.cargo.metadata, members)[0], packages=members).arguments()
    changed = Git(directory=request.cargo.directory).line("status", "--porcelain")
    if changed and not request.tag:
        warn("the work tree has changes that are not committed; they are packed, too")
        words = ("--allow-dirty", *words)
    args = ("package", *words)
    done = request.start.run(*args, "--offline", deadline=request.deadline)
    if not done.ok and "--offline" in done.stderr:  # cargo says that it wanted the network
        done = request.start.run(*args, deadline=request.deadline)
    if done.timed_out:
        raise CheckFailed(f"cargo package was {done.ending}", output=done.output)
    if not done.ok:
        repeat = request.start.pasteable(request.called_from, (request.cargo.program, *args))
        faults.add(
            f"{', '.join(members)} cannot be packed: see what cargo says above",
            Path(request.published[members[0]]["manifest_path"]),
            fix=repeat,
            message=done.stderr,
        )
    return done.ok


def _check_packed(request: ReleaseRequest, faults: _Faults, package: Mapping[str, Any]) -> None:
    """Look for the licence among the files that are packed."""
    spec = f"--package={package['name']}"
    done = request.start.read("package", "--list", "--allow-dirty", "--offline", spec)
    packed = done.stdout.splitlines()
    if done.ok and not any(name.lower().startswith(_LICENCES) for name in packed):
        faults.add(
            f"{package['name']} is packed without the text of its license",
            *_place(package, "license"),
            fix="add LICENSE files to the package's folder, or to `include` of its manifest",
        )


def _check_rust_version(request: ReleaseRequest, faults: _Faults, package: Mapping[str, Any]) -> None:
    """Build with the oldest compiler that the manifest names, where it is installed."""
    wanted = package["rust_version"]
    if not wanted:
        return
    cargo = _toolchain(request.start, wanted)
    if cargo is None:
        say(f"{package['name']}: rust-version {wanted} is not checked, as that toolchain is not installed")
        return
    words = fullest(request.cargo.metadata, [package["name"]])[0].arguments()
    folder = own_folder(request.cargo.workspace, "rustvmm-release")
    args = ("check", *words, f"--target-dir={folder / wanted}")
    done = cargo.run(*args, deadline=request.deadline)
    if not done.ok:
        faults.add(
            f"{package['name']} does not build with Rust {wanted}, its rust-version",
            *_place(package, "rust-version"),
            fix=cargo.pasteable(request.called_from, (cargo.program, *args)),
            message=done.stderr,
        )


def _toolchain(cargo: Cargo, version: str) -> Cargo | None:
    """Return cargo with the toolchain of a version; None where it is not installed."""
    full = version if version.count(".") == 2 else f"{version}.0"
    for name in ("", full, version):
        chosen = replace(cargo, env={**cargo.env, "RUSTUP_TOOLCHAIN": name, "RUSTUP_AUTO_INSTALL": "0"})
        try:
            if (chosen if name else cargo).toolchain.release == full:
                return chosen if name else cargo
        except UserError:
            continue
    return None


def _check_api(request: ReleaseRequest, faults: _Faults, package: Mapping[str, Any]) -> None:
    """Compare the interface with that of the last release, where cargo-semver-checks is installed."""
    if not any("lib" in target["kind"] for target in package["targets"]):
        return
    tool = find_program("cargo-semver-checks", "CARGO_SEMVER_CHECKS")
    if tool is None:
        say(f"{package['name']}: breaks of its interface are not looked for: no cargo-semver-checks")
        return
    words = ("semver-checks", f"--package={package['name']}")
    done = run([tool, *words], cwd=request.start.directory, env=request.cargo.env, deadline=request.deadline)
    if not done.ok:
        faults.add(
            f"{package['name']} {package['version']} breaks its interface more than its version says",
            *_place(package, "version"),
            fix="raise the version as far as cargo-semver-checks says above",
            message=done.output,
        )
