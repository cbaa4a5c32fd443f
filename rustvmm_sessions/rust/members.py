"""Members of a workspace that are judged by themselves, as files alone say it; needs no cargo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog, files
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust import manifests
from rustvmm_sessions.settings import Platforms, parse_platforms

if TYPE_CHECKING:
    from rustvmm_sessions.settings import Settings

PLATFORM_FILE = Path(".platform")
DESCRIPTIONS = (".buildkite/custom-tests.json", ".buildkite/test_description.json")
"""Where a member describes tests of its own."""
DEFAULTS = Platforms(names=catalog.DEFAULT_PLATFORMS, source="the defaults")


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member that is judged by itself.

    Attributes:
        name: Its name.
        path: Its folder, relative to the workspace's, ``/`` between; ``.`` for the root package.
        platforms: What it is for: by its own ``.platform``, else the top's, else by default.
        measured_on: The platforms that its coverage is configured or recorded for, x86_64 without any.
        tests: The files that describe tests of its own, relative to the workspace's folder.
    """

    name: str
    path: str
    platforms: Platforms
    measured_on: tuple[str, ...] = (catalog.X86_64,)
    tests: tuple[Path, ...] = ()

    def skipped_on(self, machine: str) -> str:
        """Return why it is skipped on an architecture, by its own ``.platform``; empty if it is not."""
        own = self.path != "." and self.platforms.source == str(Path(self.path, PLATFORM_FILE))
        if not own or machine in self.platforms.names:
            return ""
        return f"it is for {', '.join(self.platforms.names)} ({self.platforms.source}), not for {machine}"


def of(crate: Settings) -> tuple[Member, ...]:
    """Return the members that are judged by themselves, in the workspace's order; empty if none are.

    Raises:
        UserError: A manifest or ``.platform`` cannot be understood, or there is no workspace for
            ``members=True``.
    """
    if crate.members is False or not crate.workspace:
        return ()
    if "workspace" not in (files.read_text(crate.directory / "Cargo.toml") or ""):
        if crate.members:
            raise UserError(
                "there is no workspace beside the noxfile",
                where="register(members=True)",
                fix="take it out, or put the noxfile beside the workspace's Cargo.toml",
            )
        return ()
    found = manifests.members(crate.directory)
    if crate.members is None and not any(_stands_by_itself(crate.directory, path) for path in found):
        return ()
    top = platforms_of(crate)
    return tuple(
        Member(
            name=name,
            path=path,
            platforms=(path != "." and read_platforms(crate.directory, Path(path, PLATFORM_FILE))) or top,
            measured_on=measured_on(crate.directory / path),
            tests=_descriptions(crate.directory, path),
        )
        for path, name in found.items()
    )


def _stands_by_itself(directory: Path, path: str) -> bool:
    """Whether a member has files that only mean something where it is judged by itself."""
    folder = directory / path
    return path != "." and (
        (folder / PLATFORM_FILE).is_file()
        or (folder / "tests" / "coverage").is_file()
        or any(folder.glob("coverage_config_*.json"))
        or bool(_descriptions(directory, path))
    )


def measured_on(folder: Path) -> tuple[str, ...]:
    """Return the platforms that a folder has a coverage record or configuration for; x86_64 without any."""
    record = files.read_text(folder / "tests" / "coverage") or ""
    recorded = {line.partition(" ")[0] for line in record.splitlines()}
    there = (folder / f"coverage_config_{name}.json" for name in catalog.PLATFORMS)
    found = (n for n, file in zip(catalog.PLATFORMS, there, strict=True) if n in recorded or file.is_file())
    return tuple(found) or (catalog.X86_64,)


def _descriptions(directory: Path, path: str) -> tuple[Path, ...]:
    """Return a member's own descriptions, not those of the root package, which are the whole workspace's.

    A link out of its folder is none: vhost's lead to rust-vmm-ci's description of the standard tests.
    """
    folder = (directory / path).resolve()
    there = (Path(path, name) for name in DESCRIPTIONS if path != ".")
    return tuple(
        name
        for name in there
        if (directory / name).is_file() and (directory / name).resolve().is_relative_to(folder)
    )


def platforms_of(crate: Settings) -> Platforms:
    """Return what the crate as a whole is for.

    Raises:
        UserError: ``.platform`` cannot be understood.
    """
    if crate.platforms:
        return Platforms(names=crate.platforms, source="register(platforms=...)")
    return read_platforms(crate.directory, PLATFORM_FILE) or DEFAULTS


def read_platforms(directory: Path, name: Path) -> Platforms | None:
    """Return what a ``.platform`` file in a directory says; None if there is none.

    Raises:
        UserError: It cannot be understood.
    """
    text = files.read_text(directory / name)
    return None if text is None else Platforms(names=parse_platforms(text, str(name)), source=str(name))
