"""What earlier builds of a workspace read, as cargo has noted it in its target directory."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from rustvmm_sessions.rust import reads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rustvmm_sessions.rust.reads import Package

_NOTED = "an earlier build"


def with_dep_info(packages: Mapping[str, Package], root: Path, target: Path) -> dict[str, Package]:
    """Return the packages with the files elsewhere that they read when they were built last.

    Sources do not show what a macro or a build script makes up; a build shows it. Where none was, or what it
    noted is older than the sources, nothing is lost: this only adds.
    """
    found = {path: dict.fromkeys(named.path for named in package.reads) for path, package in packages.items()}
    by_name = {package.name: package.path for package in packages.values()}
    for note in _notes(target, "deps/*.d"):
        files = [os.path.relpath(root / file, root) for file in _sources(_text(note))]
        own = reads.owner(packages, files[0]) if files else ""
        if own:
            found[own] |= dict.fromkeys(file for file in files if reads.owner(packages, file) != own)
    for note in _notes(target, "build/*/output"):
        own = by_name.get(note.parent.name.rpartition("-")[0], "")
        if own:
            said = re.findall(r"^cargo::?rerun-if-changed=(.*)$", _text(note), re.MULTILINE)
            files = [os.path.relpath(root / own / file, root) for file in said]
            found[own] |= dict.fromkeys(f for f in files if reads.owner(packages, f"{f}/x") != own)
    more = {
        path: tuple(reads.Named(path=file, by=_NOTED) for file in [*names][len(packages[path].reads) :])
        for path, names in found.items()
    }
    return {p: replace(package, reads=package.reads + more[p]) for p, package in packages.items()}


def _notes(target: Path, pattern: str) -> Iterator[Path]:
    """Yield notes of the builds in a target directory, of those for the host and for other targets."""
    for profile in ("*", "*/*"):
        yield from target.glob(f"{profile}/{pattern}")


def _text(note: Path) -> str:
    return note.read_text(encoding="utf-8", errors="replace")


def _sources(note: str) -> list[str]:
    """Return the files that the first rule of a dep-info file names."""
    rule = next((line for line in note.splitlines() if ": " in line), "")
    return [word.replace("\\ ", " ") for word in re.findall(r"(?:\\ |\S)+", rule.partition(": ")[2])]
