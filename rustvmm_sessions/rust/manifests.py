"""A workspace as its files alone say it: its members, and what they are built of; needs no cargo."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import files
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust import reads
from rustvmm_sessions.rust.reads import Package
from rustvmm_sessions.rust.sources import Reader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_TABLES = ("dependencies", "dev-dependencies", "build-dependencies", "dev_dependencies", "build_dependencies")


def packages(root: Path) -> dict[str, Package]:
    """Return the members of the workspace in `root`, as cargo counts them, then what they are built of.

    Members are those that ``members`` lists, the root package, and path dependencies inside the
    workspace's folder, without what ``exclude`` takes away (cargo's `find_path_deps` and `is_excluded`).

    Raises:
        UserError: There is no manifest, or one that cannot be understood.
    """
    workspace = _workspace(root)
    members = workspace.members()
    todo, found = list(members), dict.fromkeys(members)
    while todo:
        for need in workspace.needs(todo.pop()):
            if need not in found and workspace.is_there(need):
                found[need] = None
                todo.append(need)
    return {path: _package(workspace, path, found, member=path in members) for path in found}


def members(root: Path) -> dict[str, str]:
    """Return the names of the members alone by their folders, for which no source is read.

    Raises:
        UserError: As of `packages`.
    """
    workspace = _workspace(root)
    return {path: workspace.name(path) for path in workspace.members()}


def has_benchmarks(root: Path, target: str) -> bool:
    """Whether a member has a benchmark target of that name, declared or found by cargo.

    Raises:
        UserError: A manifest cannot be understood.
    """
    if not (root / "Cargo.toml").is_file():
        return False
    workspace = _workspace(root)
    for path in workspace.members():
        declared = workspace.manifest(path).get("bench", ())
        if any(isinstance(each, dict) and each.get("name") == target for each in declared):
            return True
        if workspace.table(workspace.manifest(path), "package", path).get("autobenches", True):
            folder = root / path / "benches"
            if (folder / f"{target}.rs").is_file() or (folder / target / "main.rs").is_file():
                return True
    return False


def _workspace(root: Path) -> _Workspace:
    if not (root / "Cargo.toml").is_file():
        raise UserError(
            "there is no Cargo.toml", where=str(root / "Cargo.toml"), fix="run in the workspace's folder"
        )
    return _Workspace(root=root)


def _package(workspace: _Workspace, path: str, folders: Collection[str], *, member: bool) -> Package:
    reader = Reader(root=workspace.root, path=path, folders=folders)
    reader.read(workspace.manifest(path))
    return Package(
        name=workspace.name(path),
        path=path,
        member=member,
        needs=workspace.needs(path),
        perhaps=frozenset(workspace.perhaps(path)),
        reads=tuple(reader.found.values()),
        unknown=reader.unknown,
    )


def shared(root: Path) -> tuple[str, ...]:
    """Return the patterns of the files beside a workspace's manifest that concern every member, too."""
    names = [name for name in (*reads.SHARED, *reads.SHARED_ABOVE) if (root / name).exists()]
    there = [n for n in names if n != "Cargo.toml" and not _is_ignored(root, n)]
    return tuple(f"{name}/**" if (root / name).is_dir() else name for name in there)


def _is_ignored(root: Path, name: str) -> bool:
    """Whether git leaves a file out, as libraries do with Cargo.lock: then it is on some machines only."""
    lines = (files.read_text(root / ".gitignore") or "").splitlines()
    return any(fnmatchcase(name, line.strip().removeprefix("**/").removeprefix("/")) for line in lines)


@dataclass(kw_only=True)
class _Workspace:
    """Manifests of a workspace, each read once; paths are relative to its root."""

    root: Path
    read: dict[str, dict[str, Any]] = field(default_factory=dict)
    direct: dict[str, tuple[tuple[str, ...], frozenset[str]]] = field(default_factory=dict)

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
                    inside = (need for need in self.dependencies(path)[0] if not need.startswith(".."))
                    todo += reversed([need for need in inside if self.is_there(need)])
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
                    f"invalid pattern {pattern!r}: {error}",
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

    def dependencies(self, path: str) -> tuple[tuple[str, ...], frozenset[str]]:
        """Return the folders of path dependencies of every kind, and the names of published ones."""
        if path in self.direct:
            return self.direct[path]
        manifest = self.manifest(path)
        tables = [self.table(manifest, kind, path) for kind in _TABLES]
        for target in self.table(manifest, "target", path).values():
            if isinstance(target, dict):
                tables += [self.table(target, kind, path) for kind in _TABLES]
        whole = self.table(self.table(self.manifest("."), "workspace", "."), "dependencies", ".")
        found: dict[str, None] = {}
        published = set()
        for name, entry in ((n, e) for table in tables for n, e in table.items()):
            base, given = path, entry
            if isinstance(entry, dict) and entry.get("workspace") is True:
                base, given = ".", whole.get(name)
            need = self.folder(base, given)
            if need and need != path:
                found[need] = None
            elif not need:
                renamed = given.get("package") if isinstance(given, dict) else None
                published.add(renamed if isinstance(renamed, str) else name)
        self.direct[path] = tuple(found), frozenset(published)
        return self.direct[path]

    def folder(self, base: str, entry: object) -> str:
        """Return the folder that an entry of a table names by ``path``, written in `base`; empty if none."""
        place = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(place, str):
            return ""
        if place.startswith("/"):
            return os.path.relpath(place, self.root)
        return os.path.normpath(f"{base}/{place}")

    @cached_property
    def patched(self) -> dict[str, str]:
        """The folders of the packages that take the place of published ones, by their names."""
        found = {}
        files = (_toml(self.root / ".cargo" / name) for name in ("config", "config.toml"))
        configured = next(filter(None, files), {})
        for top in (self.manifest("."), configured):
            patches = [t for t in self.table(top, "patch", ".").values() if isinstance(t, dict)]
            for table in (*patches, self.table(top, "replace", ".")):
                for name, entry in table.items():
                    if folder := self.folder(".", entry):
                        found[str(entry.get("package", name.partition(":")[0]))] = folder
        for place in configured.get("paths", ()):
            folder = os.path.relpath(self.root / str(place), self.root)
            if self.is_there(folder):
                found[self.name(folder)] = folder
        return found

    @cached_property
    def locked(self) -> dict[str, set[str]]:
        """The names of the packages that each one depends on, as a committed Cargo.lock has it."""
        found: dict[str, set[str]] = {}
        lock = {} if _is_ignored(self.root, "Cargo.lock") else _toml(self.root / "Cargo.lock")
        for entry in lock.get("package", ()):
            needs = (str(need).partition(" ")[0] for need in entry.get("dependencies", ()))
            found.setdefault(str(entry.get("name")), set()).update(needs)
        return found

    def needs(self, path: str) -> tuple[str, ...]:
        """Return the folders of the packages that one depends on, by ``path`` or by ``[patch]``."""
        folders, published = self.dependencies(path)
        reached, todo = set[str](), [*published, self.name(path)] if self.patched else []
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.add(name)
                todo += self.locked.get(name, ())
        by_patch = [folder for name, folder in self.patched.items() if name in reached and folder != path]
        return tuple(dict.fromkeys((*folders, *by_patch, *self.perhaps(path))))

    def perhaps(self, path: str) -> tuple[str, ...]:
        """Return the packages of ``[patch]`` that a published one may depend on; no Cargo.lock tells."""
        _, published = self.dependencies(path)
        if self.locked or not published - self.patched.keys():
            return ()
        return tuple(f for name, f in self.patched.items() if name not in published and f != path)


def _toml(path: Path) -> dict[str, Any]:
    """Return what a file of cargo's has; nothing where cargo could not read it either."""
    with contextlib.suppress(OSError, ValueError):
        return tomllib.loads(path.read_text(encoding="utf-8"))
    return {}
