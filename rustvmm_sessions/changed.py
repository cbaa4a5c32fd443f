"""Which members of a workspace a change touches, and which depend on those."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TOUCH_ALL = ("Cargo.toml", "Cargo.lock", "rust-toolchain", "rust-toolchain.toml", "noxfile.py")


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

    A file belongs to the innermost member whose folder holds it. Cargo.toml, Cargo.lock,
    rust-toolchain, noxfile.py and .cargo/ beside the workspace's manifest touch every member.
    Members that depend on a touched one through path dependencies of any kind are touched too.

    Args:
        metadata: ``cargo metadata --format-version=1 --no-deps``.
        paths: Changed, new and deleted files, absolute.
    """
    root = PurePath(metadata["workspace_root"])
    folders = {PurePath(p["manifest_path"]).parent: p["name"] for p in metadata["packages"]}
    why: dict[str, str] = {}
    for path in paths:
        if not path.is_relative_to(root):
            continue
        inside = path.relative_to(root)
        if inside.parts[0] == ".cargo" or str(inside) in _TOUCH_ALL:
            for name in folders.values():
                why.setdefault(name, f"{inside} changed")
        owner = next((folders[folder] for folder in path.parents if folder in folders), None)
        if owner is not None:
            why.setdefault(owner, f"{inside} changed")
    dependents = _dependents(metadata, folders)
    todo = list(why)
    while todo:
        name = todo.pop(0)
        for dependent in dependents.get(name, ()):
            if dependent not in why:
                why[dependent] = f"depends on {name}"
                todo.append(dependent)
    return tuple(Affected(package=n, why=why[n]) for n in folders.values() if n in why)


def _dependents(metadata: Mapping[str, Any], folders: Mapping[PurePath, str]) -> dict[str, list[str]]:
    """Return for each member those that depend on it by path."""
    dependents: dict[str, list[str]] = {}
    for package in metadata["packages"]:
        for dependency in package["dependencies"]:
            target = folders.get(PurePath(dependency.get("path") or "/"))
            if target is not None:
                dependents.setdefault(target, []).append(package["name"])
    return dependents
