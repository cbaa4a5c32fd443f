"""The zipapp that a repository keeps for its agents: which one it is, and whether it is the right one."""

from __future__ import annotations

import contextlib
import email
import hashlib
import importlib.metadata
import io
import re
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rustvmm_sessions import __version__, files
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.zipapp import DISTRIBUTION, archive, content

VENDORED = ".buildkite/rustvmm-sessions.pyz"
"""Where it is, from the repository's top."""
DIGEST = f"{VENDORED}.sha256"
RENEW = f"rustvmm-sessions zipapp --output {VENDORED}"
_SCRIPT = re.compile(r"(?m)^# /// script$\n((?:^#(?: .*)?$\n)+?)^# ///$")
"""A PEP 723 block."""


@dataclass(frozen=True, kw_only=True)
class Vendored:
    """The zipapp that a repository keeps for its agents.

    Attributes:
        path: Where it is.
        version: Its version; empty where it is none of ours.
        wrong: Why the agents' sessions fail, or are not what was reviewed; empty where nothing is wrong.
    """

    path: Path
    version: str
    wrong: str = ""

    @property
    def differs(self) -> str:
        """What is to be said of it here: what is wrong, or that another version runs; empty for nothing."""
        other = f"its version is {self.version}, and this is {__version__}"
        return self.wrong or (other if self.version != __version__ else "")


def write(path: Path) -> None:
    """Write a zipapp of ourselves, a new one as a program, and renew the file beside, if there is one.

    Raises:
        UserError: It cannot be built or written.
    """
    path, data = path.resolve(), content()
    with files.locked(path):
        new = not path.exists()
        files.write_atomic(path, data)
        if new:
            path.chmod(0o755)
        beside = path.with_name(f"{path.name}.sha256")
        if beside.is_file():
            files.write_atomic(beside, digest(data))


def vendored(directory: Path) -> Vendored | None:
    """Return what is known of the zipapp of a crate's repository; None where it keeps none."""
    top = files.repository_top(directory)
    path = top / VENDORED
    if not path.is_file():
        return None
    data = path.read_bytes()
    version = versions(data).get(DISTRIBUTION, "")
    beside = files.read_text(top / DIGEST)
    asked = next(
        (r for r in _asked(directory / "noxfile.py") if canonicalize_name(r.name) == DISTRIBUTION), None
    )
    wrong = ""
    if not version:
        wrong = "it is no zipapp of rustvmm-sessions"
    elif beside is not None and hashlib.sha256(data).hexdigest() not in beside.split():
        wrong = f"its SHA-256 is not that in {DIGEST}"
    elif asked and not asked.specifier.contains(version, prereleases=True):
        wrong = f"its version is {version}, and the noxfile asks for {asked}"
    return Vendored(path=path, version=version, wrong=wrong)


def unmet(noxfile: str) -> UserError | None:
    """Return the error that a noxfile asks for what is not there; None where all is."""
    for requirement in _asked(Path(noxfile)):
        try:
            there = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            there = ""
        if not there or not requirement.specifier.contains(there, prereleases=True):
            ours = canonicalize_name(requirement.name) == DISTRIBUTION
            return UserError(
                f"the noxfile asks for {requirement}, and {archive()} has {there or 'no such package'}",
                where=f"{noxfile}, dependencies",
                fix=f"renew it: `{RENEW}`" if ours else "take it out, or use a Python that has it, and nox",
            )
    return None


def _asked(noxfile: Path) -> list[Requirement]:
    """Return the requirements in a noxfile's PEP 723 block; none where it cannot be understood."""
    block = _SCRIPT.search(files.read_text(noxfile) or "")
    with contextlib.suppress(ValueError, TypeError):
        table = tomllib.loads(re.sub("(?m)^# ?", "", block[1])) if block else {}
        found = [Requirement(text) for text in table.get("dependencies", ())]
        return [each for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]
    return []


def versions(data: bytes) -> dict[str, str]:
    """Return the versions of the distributions in a zipapp; none where it is no zip file."""
    found: dict[str, str] = {}
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as opened:
        for name in opened.namelist():
            if name.endswith(".dist-info/METADATA"):
                head = email.message_from_bytes(opened.read(name))
                found[canonicalize_name(str(head["Name"]))] = str(head["Version"])
    return found


def described(data: bytes) -> str:
    """Return a line that tells a zipapp from others."""
    version = versions(data).get(DISTRIBUTION, "(of no known version)")
    return f"{DISTRIBUTION} {version}, {len(data) / 1e6:.1f} MB, SHA-256 {hashlib.sha256(data).hexdigest()}\n"


def digest(data: bytes) -> str:
    """Return what stands beside a repository's zipapp, in the form of sha256sum."""
    parts = " ".join(f"{name}=={version}" for name, version in sorted(versions(data).items()))
    return (
        f"# Buildkite's agents run this file, which has nox and rustvmm-sessions. It was built from\n"
        f"# {parts}\n"
        f"# The same versions give the same bytes. After an upgrade, renew it and this file:\n"
        f"# {RENEW}\n"
        f"{hashlib.sha256(data).hexdigest()}  {VENDORED.rpartition('/')[2]}\n"
    )
