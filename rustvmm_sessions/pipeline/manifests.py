"""A workspace as its manifests alone say it: its members and what they depend on; needs no cargo."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import files
from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TABLES = ("dependencies", "dev-dependencies", "build-dependencies", "dev_dependencies", "build_dependencies")


@dataclass(frozen=True, kw_only=True)
class Package:
    """A member of a workspace.

    Attributes:
        name: Its name.
        path: Its folder, relative to the workspace's, ``/`` between; ``.`` for the root package.
        needs: The folders, in the same form, of the packages below the workspace's folder that it
            depends on, directly or not, by any kind of dependency.
    """

    name: str
    path: str
    needs: tuple[str, ...]


def members(root: Path) -> tuple[Package, ...]:
    """Return the members of the workspace in `root`, as cargo counts them.

    Those that ``members`` lists, the root package, and path dependencies inside the workspace's
    folder, without what ``exclude`` takes away (cargo's `find_path_deps` and `is_excluded`).

    Raises:
        UserError: There is no manifest, or one that cannot be understood.
    """
    if not (root / "Cargo.toml").is_file():
        raise UserError(
            "there is no Cargo.toml", where=str(root / "Cargo.toml"), fix="run in the workspace's folder"
        )
    workspace = _Workspace(root=root)
    return tuple(
        Package(name=workspace.name(path), path=path, needs=workspace.needs(path))
        for path in workspace.members()
    )


@dataclass(kw_only=True)
class _Workspace:
    """Manifests of a workspace, each read once; paths are relative to its root."""

    root: Path
    read: dict[str, dict[str, Any]] = field(default_factory=dict)
    direct: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def members(self) -> list[str]:
        top = self.manifest(".")
        found: list[str] = []
        todo = list(reversed(list(self.listed())))
        if "package" in top:
            todo.append(".")
        while todo:
            path = todo.pop()
            if path in found or self.is_excluded(path):
                continue
            if "package" in self.manifest(path):
                found.append(path)
                if "workspace" in top:
                    todo += [need for need in reversed(self.dependencies(path)) if self.is_there(need)]
        return found

    def listed(self) -> Iterator[str]:
        """Yield what ``members`` names: cargo reads its entries as glob patterns."""
        for pattern in self.strings("members"):
            if not re.search(r"[*?\[]", pattern):
                path = os.path.normpath(pattern)
                if not self.is_there(path):
                    raise UserError(
                        f"the member {pattern!r} has no Cargo.toml",
                        where=f"{self.where('.')}, workspace.members",
                        fix="correct the path",
                    )
                yield path
                continue
            try:
                matches = sorted(self.root.glob(pattern))
            except (ValueError, NotImplementedError, IndexError) as error:
                raise UserError(
                    f"{pattern!r} is no pattern: {error}",
                    where=f"{self.where('.')}, workspace.members",
                    fix="correct it",
                ) from error
            for match in matches:
                path = os.path.relpath(match, self.root)
                if self.is_there(path):
                    yield path

    def is_excluded(self, path: str) -> bool:
        """Whether ``exclude`` has it, and ``members`` does not name it or a folder around it."""
        return self.is_below(path, "exclude") and not self.is_below(path, "members")

    def is_below(self, path: str, key: str) -> bool:
        entries = [os.path.normpath(entry) for entry in self.strings(key)]
        return any(entry in (".", path) or path.startswith(f"{entry}/") for entry in entries)

    def is_there(self, path: str) -> bool:
        return (self.root / path / "Cargo.toml").is_file()

    def strings(self, key: str) -> list[str]:
        value = self.table(self.manifest("."), "workspace", ".").get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, str) and entry for entry in value):
            raise UserError(
                f"{key} is a list of paths",
                where=f"{self.where('.')}, workspace.{key}",
                fix="correct it",
            )
        return value

    def manifest(self, path: str) -> dict[str, Any]:
        if path not in self.read:
            where = self.where(path)
            text = files.read_text(self.root / where) or ""
            try:
                self.read[path] = tomllib.loads(text)
            except (tomllib.TOMLDecodeError, RecursionError) as error:
                line = re.search(r"at line (\d+)", str(error))
                raise UserError(
                    f"invalid TOML: {error}",
                    where=f"{where}:{line.group(1)}" if line else where,
                    fix="correct the manifest",
                ) from error
        return self.read[path]

    def where(self, path: str) -> str:
        return "Cargo.toml" if path == "." else f"{path}/Cargo.toml"

    def table(self, manifest: dict[str, Any], key: str, path: str) -> dict[str, Any]:
        value = manifest.get(key, {})
        if not isinstance(value, dict):
            raise UserError(f"{key} is a table", where=f"{self.where(path)}, {key}", fix="correct it")
        return value

    def name(self, path: str) -> str:
        name = self.table(self.manifest(path), "package", path).get("name")
        if not isinstance(name, str) or not name:
            raise UserError(
                "the package has no name", where=f"{self.where(path)}, package.name", fix="give it one"
            )
        return name

    def dependencies(self, path: str) -> tuple[str, ...]:
        """Return the folders of path dependencies below the workspace's folder, of every kind."""
        if path not in self.direct:
            manifest = self.manifest(path)
            tables = [self.table(manifest, kind, path) for kind in _TABLES]
            for target in self.table(manifest, "target", path).values():
                if isinstance(target, dict):
                    tables += [self.table(target, kind, path) for kind in _TABLES]
            shared = self.table(self.table(self.manifest("."), "workspace", "."), "dependencies", ".")
            found: dict[str, None] = {}
            for name, entry in ((n, e) for table in tables for n, e in table.items()):
                base, given = path, entry
                if isinstance(entry, dict) and entry.get("workspace") is True:
                    base, given = ".", shared.get(name)
                place = given.get("path") if isinstance(given, dict) else None
                if isinstance(place, str):
                    need = os.path.normpath(f"{base}/{place}")
                    if not need.startswith(("/", "..")) and need != path:
                        found[need] = None
            self.direct[path] = tuple(found)
        return self.direct[path]

    def needs(self, path: str) -> tuple[str, ...]:
        """Return the folders of all packages that `path` is built of, in the order they are met."""
        found: dict[str, None] = {}
        todo = list(reversed(self.dependencies(path)))
        while todo:
            need = todo.pop()
            if need not in found and need != path:
                found[need] = None
                if self.is_there(need):
                    todo += reversed(self.dependencies(need))
        return tuple(found)
