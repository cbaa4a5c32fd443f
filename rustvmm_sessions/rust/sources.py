"""What a package's files name outside of its folder."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.files import files_in
from rustvmm_sessions.rust import reads
from rustvmm_sessions.rust.reads import Named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path


@dataclass(kw_only=True)
class Reader:
    """One package's files, and those elsewhere that they lead to.

    Attributes:
        root: The workspace's folder.
        path: The package's, relative to it.
        folders: Those of all packages; what lies in one that is inside another is the inner one's.
        found: What is read elsewhere, by its path.
        unknown: Why more cannot be told; empty if there is nothing more.
    """

    root: Path
    path: str
    folders: Collection[str]
    found: dict[str, Named] = field(default_factory=dict)
    unknown: str = ""

    def read(self, manifest: Mapping[str, Any]) -> None:
        """Look at all files of the package."""
        real = os.path.relpath((self.root / self.path).resolve(), self.root.resolve())
        if real != self.path:
            self.name(real, f"the link {self.path}")
        for file in files_in(self.root / self.path):
            name = os.path.relpath(file, self.root)
            if reads.owner(self.folders, name) == self.path:
                self.look_at(name)
        for target in _targets(manifest):
            self.name(f"{self.path}/{target}", f"{self.path}/Cargo.toml")
        script = manifest.get("package", {}).get("build", "build.rs")
        if isinstance(script, str) and (source := self.text(f"{self.path}/{script}")):
            why = reads.why_unknown(source, has_dependencies="build-dependencies" in manifest)
            self.unknown = self.unknown or (why and f"{posixpath.normpath(f'{self.path}/{script}')} {why}")

    def name(self, file: str, by: str) -> None:
        """Note what a file names, and look at that, unless it is the package's own."""
        file = posixpath.normpath(file)
        if not file.replace("../", "").strip("."):
            file = "."  # a folder around the workspace is all of it
        if file in self.found or reads.owner(self.folders, f"{file}/x") == self.path:
            return
        folder = (self.root / file).is_dir()
        self.found[file] = Named(path=file, by=posixpath.normpath(by), folder=folder)
        if not folder:
            self.look_at(file, elsewhere=True)
        elif file not in self.folders and not file.startswith("..") and not reads.is_below(self.path, file):
            for each in files_in(self.root / file):
                self.look_at(os.path.relpath(each, self.root), elsewhere=True)

    def look_at(self, file: str, *, elsewhere: bool = False) -> None:
        """Note where a link leads, or what a source names."""
        if (self.root / file).is_symlink():
            target = (self.root / file).resolve()
            self.name(os.path.relpath(target, self.root.resolve()), f"the link {file}")
        elif file.endswith(".rs") and (source := self.text(file)):
            folder, _, name = file.rpartition("/")
            for path in reads.paths_in(source):
                self.name(f"{folder or '.'}/{path}", file)
                self.name(f"{self.path}/{path}", file)
            for path in reads.parts_of(source, name) if elsewhere else ():
                self.name(f"{folder or '.'}/{path}", file)
            if not self.unknown and reads.climbs(source):
                self.unknown = f"{file} leaves the package's folder by its parents"

    def text(self, file: str) -> str:
        """Return the text of a file; empty where there is none."""
        path = self.root / file
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _targets(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files above the package that a manifest names for targets and as build script."""
    targets = [target for kind in ("bin", "test", "bench", "example") for target in manifest.get(kind, ())]
    names = [target.get("path") for target in (manifest.get("lib", {}), *targets)]
    for name in (*names, manifest.get("package", {}).get("build")):
        if isinstance(name, str) and ".." in name.split("/"):
            yield name
