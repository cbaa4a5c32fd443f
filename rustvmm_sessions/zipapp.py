"""Ourselves in one file: nox, this library and what they need, for a Python that has none of it.

The file is built from the installed distributions, without a network, and the same versions give
the same bytes: nothing is compressed, since zlib's versions compress differently. Compiled parts are
left out; PyYAML, the only distribution that has some, works without. virtualenv is left out as
well: it could not run from here, and is most of the size.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import re
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rustvmm_sessions import errors, files
from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DISTRIBUTION = "rustvmm-sessions"
_LEFT_OUT = ("virtualenv",)
_MAIN = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("rustvmm-sessions needs Python 3.11 or newer, this is " + sys.version.split()[0])
if sys.argv[1:] == ["--version"]:
    from importlib.metadata import version

    sys.exit(print("rustvmm-sessions", version("rustvmm-sessions"), "with nox", version("nox")))
if sys.argv[1:2] == ["--enter"]:
    from rustvmm_sessions.container.enter import main

    sys.exit(main(sys.argv[2:]))
from rustvmm_sessions.bytecode import keep

keep(__loader__.archive)
from nox.__main__ import main
from nox.command import CommandFailed

try:
    main()
except CommandFailed:  # it could not make an environment with what the noxfile asks for
    from rustvmm_sessions.console import print_error
    from rustvmm_sessions.vendored import unmet

    error = unmet("noxfile.py")
    if error is None:
        raise
    print_error(error)
    sys.exit(2)
"""
_OF_NO_USE = (".pyc", ".so", ".pth", ".pyi", ".mo", ".po")
"""Files that are left out: compiled ones, stubs, and translations of what nox says."""
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The oldest time that the format knows."""
_OLD = 24 * 60 * 60


def archive() -> Path | None:
    """Return the file that we run from if it is such a zipapp, else None."""
    found = getattr(errors.__loader__, "archive", None)
    return Path(found) if found else None


def carried() -> Path:
    """Return a zipapp of ourselves: the one that we run from, else one in the user's cache.

    Raises:
        UserError: It cannot be built or written.
    """
    running = archive()
    if running is not None:
        return running.resolve()
    data = build()
    folder = files.cache_directory() / "zipapp"
    path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.pyz"
    with files.locked(folder):
        for old in folder.glob("*.pyz"):
            if old != path and old.stat().st_mtime < time.time() - _OLD:
                old.unlink()
        if not path.exists() or path.stat().st_size != len(data):
            files.write_atomic(path, data)
            path.chmod(0o755)
    return path


def content() -> bytes:
    """Return the bytes of the zipapp that we run from, else of a new one.

    Raises:
        UserError: It cannot be built.
    """
    running = archive()
    return build() if running is None else running.read_bytes()


def build() -> bytes:
    """Return the bytes of a zipapp of ourselves.

    Raises:
        UserError: A distribution is not installed as pip does it.
    """
    members = {"__main__.py": _MAIN.encode()}
    for distribution in _distributions():
        members.update(_members(distribution))
    return _packed(members, b"#!/usr/bin/env python3\n")


def dependencies() -> bytes:
    """Return a zip file of nox and all else that we need, for a checkout of our own repository.

    Raises:
        UserError: A distribution is not installed as pip does it.
    """
    members: dict[str, bytes] = {}
    for distribution in _distributions():
        if canonicalize_name(distribution.metadata["Name"]) != DISTRIBUTION:
            members.update(_members(distribution))
    return _packed(members)


def _packed(members: Mapping[str, bytes], first: bytes = b"") -> bytes:
    target = io.BytesIO()
    target.write(first)
    with zipfile.ZipFile(target, "w") as made:
        for name, data in sorted(members.items()):
            info = zipfile.ZipInfo(name, _FIRST_DAY)
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            made.writestr(info, data)
    return target.getvalue()


def _distributions() -> Iterator[importlib.metadata.Distribution]:
    """Yield what we consist of: this distribution and all that it requires, without extras."""
    todo, seen = [DISTRIBUTION], set(_LEFT_OUT)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise UserError(
                f"the distribution {name} is not installed, so it cannot be carried along",
                where="this Python",
                fix=f"run `pip install {DISTRIBUTION}`",
            ) from error
        yield found
        todo += [required.name for required in _required(found)]


def _required(distribution: importlib.metadata.Distribution) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _members(distribution: importlib.metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a distribution by their names in the zipapp, its metadata among them."""
    name = canonicalize_name(distribution.metadata["Name"])
    if distribution.files is None:
        raise UserError(
            f"the files of the distribution {name} are not known",
            where="this Python",
            fix="install it by pip",
        )
    own = Path(errors.__file__).parent
    if name == DISTRIBUTION:  # where it is installed to be edited, its list of files has no code
        for path in own.rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                yield path.relative_to(own.parent).as_posix(), path.read_bytes()
    for file in distribution.files:
        where = file.as_posix()
        top, _, inner = where.partition("/")
        if top.endswith(".dist-info"):
            if inner == "METADATA":
                yield where, _metadata(distribution, file)
            elif inner.startswith("licenses/") or inner.upper().startswith(("LICENSE", "COPYING", "NOTICE")):
                yield where, Path(str(file.locate())).read_bytes()
        elif top not in ("..", own.name) and not where.endswith(_OF_NO_USE):
            yield where, Path(str(file.locate())).read_bytes()


def _metadata(distribution: importlib.metadata.Distribution, file: importlib.metadata.PackagePath) -> bytes:
    """Return a distribution's metadata, requiring only what is carried along.

    By it nox decides whether the PEP 723 block of a noxfile is satisfied: with extras of ours that
    the zipapp does not have, it would make an environment.
    """
    kept = {canonicalize_name(required.name) for required in _required(distribution)} - set(_LEFT_OUT)
    head, gap, body = file.read_text(encoding="utf-8").partition("\n\n")
    lines = [
        line
        for line in head.split("\n")
        if not (match := re.match(r"Requires-Dist: *(.*)", line))
        or (canonicalize_name(Requirement(match.group(1)).name) in kept and "extra ==" not in line)
    ]
    return ("\n".join(lines) + gap + body).encode()
