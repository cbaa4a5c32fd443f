"""What the members of a workspace are built and tested of, and which of them a change so reaches.

A member reads its own folder, those of the packages that it depends on, and files elsewhere that
one of these names. Where that cannot be told, every change reaches it: more runs, never less.
Paths are relative to the workspace's folder, ``/`` between; ``.`` is that folder itself.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

SHARED = ("Cargo.toml", "Cargo.lock", "noxfile.py")
"""Files beside the workspace's manifest that concern every member."""
SHARED_ABOVE = (".cargo", "rust-toolchain", "rust-toolchain.toml", "clippy.toml", ".clippy.toml")
"""Files and folders that concern every member also from a folder above it."""
MOST_PATTERNS = 25
"""The most packages below a member whose folders a pipeline names one by one."""

_LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_INCLUDED = re.compile(r'(?:\bpath\s*=|\binclude(?:_str|_bytes)?!\s*[({\[])\s*"([^"\n]*)"')
_MODULE = re.compile(r"\bmod\s+(\w+)\s*;")
_CLIMBS = re.compile(r"\.(?:parent|ancestors|pop)\(\)")
_CAN_READ = re.compile(r"\b(?:fs|File|OpenOptions|Command|Path|PathBuf|include\w*|extern|unsafe|mod)\b")
_SAYS = re.compile(r'"cargo::?rerun-if-changed=([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class Named:
    """A file or folder outside of a package's folder, and the file of the package that names it."""

    path: str
    by: str
    folder: bool = False


@dataclass(frozen=True, kw_only=True)
class Package:
    """A member of a workspace, or a package that one is built of.

    Attributes:
        name: Its name.
        path: Its folder.
        member: Whether it is a member.
        needs: The folders of the packages that it depends on, by any kind of dependency.
        perhaps: Those of them that only an absent Cargo.lock could tell for certain.
        reads: What it reads outside of its folder.
        unknown: Why nobody can tell what else it reads; empty if there is nothing else.
    """

    name: str
    path: str
    member: bool = True
    needs: tuple[str, ...] = ()
    perhaps: frozenset[str] = frozenset()
    reads: tuple[Named, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, kw_only=True)
class Affected:
    """A member that a change reaches.

    Attributes:
        package: Its name.
        why: The file or the member through which, in words.
    """

    package: str
    why: str


def built_of(packages: Mapping[str, Package], path: str) -> Iterator[tuple[Package, Package | None]]:
    """Yield all packages that one is built of, itself first, each with the dependency that it comes by."""
    found: dict[str, Package | None] = {path: None}
    todo = [path]
    while todo:
        package = packages[todo.pop(0)]
        by = found[package.path]
        yield package, by
        for need in package.needs:
            if need not in found and need in packages:
                found[need] = by or packages[need]
                todo.append(need)


def read_by(package: Package) -> tuple[str, ...]:
    """Return the folders and files that a package is built of, without those that it depends on."""
    return (package.path, *(named.path for named in package.reads))


def affected(
    packages: Mapping[str, Package], changed: Iterable[str], unseen: Collection[str] = ()
) -> tuple[Affected, ...]:
    """Return the members that need another run after these paths changed, in the workspace's order.

    A file belongs to the innermost package whose folder holds it. What lies in `unseen` may have changed.
    """
    paths = tuple(changed)
    shared = next((path for path in paths if concerns_all(path)), "")
    owned: dict[str, str] = {}
    for path in paths:
        owned.setdefault(owner(packages, path), path)
    found = []
    for member in packages.values():
        why = f"{shared} changed" if shared else _why(packages, member, paths, owned, unseen)
        if member.member and why:
            found.append(Affected(package=member.name, why=why))
    return tuple(found)


def _why(
    packages: Mapping[str, Package],
    member: Package,
    paths: tuple[str, ...],
    owned: Mapping[str, str],
    unseen: Collection[str],
) -> str:
    for package, by in built_of(packages, member.path):
        reason = ""
        if package.path in owned:
            reason = f"{owned[package.path]} changed"
        elif named := next(((n, p) for n in package.reads for p in paths if is_below(p, n.path)), None):
            reason = f"{named[1]} changed, which {named[0].by} names"
        elif hidden := next((path for path in read_by(package) if path in unseen), ""):
            reason = f"{hidden} lies outside of the repository, where git sees no change"
        elif package.unknown and paths:
            reason = f"{paths[0]} changed, and {package.unknown}"
        if reason and by is None:
            return reason
        if reason and by is not None:
            depends = "may depend" if by.path in member.perhaps else "depends"
            return f"{depends} on {by.name}" if by.member else f"{depends} on {by.path}: {reason}"
    return ""


def patterns(packages: Mapping[str, Package], path: str, place: str = ".") -> tuple[tuple[str, ...], str]:
    """Return the patterns of the files on whose change a member is to be tested, and why it is all of them.

    A member that needs more packages than `MOST_PATTERNS` names the folders around them, which may be too
    much but never too little: hundreds of paths in hundreds of steps are more than Buildkite takes.

    Args:
        packages: The packages by their folders.
        path: The member's folder.
        place: The workspace's folder, from the repository's top, where patterns start.
    """
    whole = [package for package, _ in built_of(packages, path)]
    if unknown := next((package.unknown for package in whole if package.unknown), ""):
        return ("**",), unknown
    needs = [package.path for package in whole[1:] if _pattern(place, package.path)]
    if len(needs) > MOST_PATTERNS:
        needs = [posixpath.dirname(need) or "." for need in needs]
    read = [named for package in whole for named in package.reads]
    found = dict.fromkeys(
        (
            *(_pattern(place, folder) for folder in (path, *needs)),
            *(_pattern(place, named.path, folder=named.folder) for named in read),
        )
    )
    return ("**",) if "**" in found else tuple(filter(None, found)), ""


def shared_patterns(place: str = ".") -> tuple[str, ...]:
    """Return the patterns of the files that concern every member of a workspace.

    Whether they exist does not count: one that is deleted concerns every member, too.

    Args:
        place: The workspace's folder, from the repository's top.
    """
    above = [place]
    while above[-1] != ".":
        above.append(posixpath.dirname(above[-1]) or ".")
    return (
        *(_pattern(place, name, folder=False) for name in SHARED),
        *(_pattern(p, name, folder=name == ".cargo") for p in above for name in SHARED_ABOVE),
    )


def _pattern(place: str, path: str, *, folder: bool = True) -> str:
    """Return the pattern of a file, or of all in a folder; empty for one outside of the repository."""
    path = posixpath.normpath(posixpath.join(place, path))
    if path == ".." or path.startswith("../"):
        return ""
    return "**" if path == "." else f"{path}/**" if folder else path


def owner(packages: Collection[str], path: str) -> str:
    """Return the innermost of the packages' folders that holds a file; empty if none does."""
    above = path.startswith("../")
    while path := posixpath.dirname(path):
        if path in packages:
            return path
    return "." if "." in packages and not above else ""


def is_below(path: str, folder: str) -> bool:
    """Whether a path is another one, or in that folder."""
    return path == folder or path.startswith(f"{folder}/") or (folder == "." and not path.startswith("../"))


def concerns_all(path: str) -> bool:
    """Whether a file concerns every member, whatever they read."""
    parts = [part for part in path.split("/") if part != ".."]
    return path in SHARED or (bool(parts) and parts[0] in SHARED_ABOVE)


# What sources say ------------------------------------------------------------------------------


def paths_in(source: str) -> Iterator[str]:
    """Yield the paths that the literals of a source lead up by: ``../shared/table.txt``, ``{}/../x``.

    Whatever is made of them, by ``include_str!``, ``#[path]``, a build script or a test, is in there.
    """
    for literal in _LITERAL.findall(source) if ".." in source else ():
        path = literal.rpartition("rerun-if-changed=")[2]
        if path.startswith(("{", "/")):
            path = path.partition("/")[2]
        path = re.split(r"[{*?\[\\]", path)[0]
        if ".." in path.split("/"):
            yield path.rstrip("/")


def parts_of(source: str, name: str) -> Iterator[str]:
    """Yield the paths, from its folder, of the files that a source may consist of besides.

    Args:
        source: The text.
        name: The file's name.
    """
    yield from _INCLUDED.findall(source)
    for module in _MODULE.findall(source):
        for folder in ("", f"{name.removesuffix('.rs')}/"):
            yield from (f"{folder}{module}.rs", f"{folder}{module}/mod.rs")


def climbs(source: str) -> bool:
    """Whether a source may leave the package's folder by other means than a literal."""
    return "CARGO_MANIFEST_DIR" in source and bool(_CLIMBS.search(source))


def why_unknown(build_script: str, *, has_dependencies: bool) -> str:
    """Return what a build script leaves open about the files it reads; empty if it does not."""
    said = _SAYS.findall(build_script)
    if any("{" in path for path in said):
        return "computes what it reads"
    if not said and (has_dependencies or _CAN_READ.search(build_script)):
        return "does not say what it reads"
    return ""
