"""Which members of a workspace a change touches, and which depend on those."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from rustvmm_sessions.console import say
from rustvmm_sessions.git import upstream
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rustvmm_sessions.rust.cargo import Cargo

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TOUCH_ALL = ("Cargo.toml", "Cargo.lock", "noxfile.py")
"""Files beside the workspace's manifest that concern every member."""
_TOUCH_ALL_BELOW = ("rust-toolchain", "rust-toolchain.toml", "clippy.toml", ".clippy.toml")
"""Files that concern every member also from a folder above it."""


@dataclass(frozen=True, kw_only=True)
class Affected:
    """A member that a change reaches.

    Attributes:
        package: Its name.
        why: The file or the member through which, in words.
    """

    package: str
    why: str


def affected(metadata: Mapping[str, Any], paths: Iterable[PurePath]) -> tuple[Affected, ...]:
    """Return the members that need another run after `paths` changed, in the workspace's order.

    A file belongs to the innermost member, or path dependency of one, whose folder holds it.
    Cargo.toml, Cargo.lock and noxfile.py beside the workspace's manifest touch every member, and so
    do .cargo/, rust-toolchain and clippy.toml there and in the folders above. Members that depend on
    a touched one through path dependencies of any kind are touched too.

    Args:
        metadata: ``cargo metadata --format-version=1 --no-deps``.
        paths: Changed, new and deleted files, absolute.
    """
    root = PurePath(metadata["workspace_root"])
    members = {PurePath(p["manifest_path"]).parent: p["name"] for p in metadata["packages"]}
    dependents = _dependents(metadata)
    why: dict[PurePath, str] = {}
    for path in paths:
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        if _touches_all(path, root):
            for folder in members:
                why.setdefault(folder, f"{shown} changed")
        owner = next((f for f in path.parents if f in members or f in dependents), None)
        if owner is not None:
            why.setdefault(owner, f"{shown} changed")
    todo = list(why)
    while todo:
        folder = todo.pop(0)
        for dependent in dependents.get(folder, ()):
            if dependent not in why:
                name = members.get(folder)
                why[dependent] = f"depends on {name}" if name else f"depends on {folder}: {why[folder]}"
                todo.append(dependent)
    return tuple(Affected(package=name, why=why[f]) for f, name in members.items() if f in why)


def _touches_all(path: PurePath, root: PurePath) -> bool:
    if path.parent == root and path.name in _TOUCH_ALL:
        return True
    above = next((p for p in (path, *path.parents) if p.name in (*_TOUCH_ALL_BELOW, ".cargo")), None)
    return above is not None and root.is_relative_to(above.parent)


def _dependents(metadata: Mapping[str, Any]) -> dict[PurePath, list[PurePath]]:
    """Return for the folder of each path dependency those of the members that have it."""
    dependents: dict[PurePath, list[PurePath]] = {}
    for package in metadata["packages"]:
        for dependency in package["dependencies"]:
            if dependency.get("path"):
                folder = PurePath(package["manifest_path"]).parent
                dependents.setdefault(PurePath(dependency["path"]), []).append(folder)
    return dependents


def changed_members(cargo: Cargo, reference: str) -> tuple[Affected, ...]:
    """Return the members touched since the merge base with `reference`, and say which and why.

    Committed, staged, unstaged, new and deleted files count.
    """
    git = Git(directory=cargo.directory)
    base = upstream.find_base(git, reference, fetch=False, option="--changed")
    top = git.work_tree()
    listed = git.output("diff", "--name-only", "-z", "--no-renames", "--no-relative", base.commit, "--")
    new = git.output("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", ":/")
    paths = [PurePath(top, path) for path in (listed + new).split("\0") if path]
    chosen = affected(cargo.metadata, paths)
    say(f"Changed since {base.commit[:12]} (merge base with {base.name}): {counted(len(paths), 'file')}.")
    for member in chosen:
        say(f"  {member.package}: {member.why}")
    others = [m.name for m in cargo.workspace.members if m.name not in {c.package for c in chosen}]
    if others:
        say(f"  not touched: {', '.join(others)}")
    return chosen
