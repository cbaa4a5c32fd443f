"""What each run of a feature matrix took: kept with the results, carried by the pipeline's commands.

Agents that share a matrix have to divide it alike, and what each finds in a folder may differ. So it is the
pipeline that reads the folder, once, and says in each command what to divide by.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from rustvmm_sessions import files, results

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ENDING = ".runs.tsv"


def keep(folder: Path, session: str, took: Mapping[str, float]) -> None:
    """Write the seconds of a session's runs, by their descriptions, beside those that are there."""
    path = folder / f"{results.file_name(session)}{_ENDING}"
    with files.locked(path):
        lines = (f"{seconds:.1f}\t{what}\n" for what, seconds in sorted({**_read(path), **took}.items()))
        files.write_atomic(path, "".join(lines))


def kept(folder: Path, session: str) -> dict[str, float]:
    """Return what a folder has of a session's runs, in any folder below; of several figures the largest."""
    found: dict[str, float] = {}
    for path in sorted(folder.rglob(f"{results.file_name(session)}{_ENDING}")):
        for what, seconds in _read(path).items():
            found[what] = max(seconds, found.get(what, 0))
    return found


def _read(path: Path) -> dict[str, float]:
    found = re.findall(r"^(\d{1,9}(?:\.\d+)?)\t(.+)$", files.read_text(path) or "", re.ASCII | re.MULTILINE)
    return {what: float(seconds) for seconds, what in found}


def packed(took: Mapping[str, float]) -> str:
    """Return figures as one word of a command, such as ``3fa91c=12,5b0d22=3``."""
    return ",".join(f"{_short(what)}={max(1, round(seconds))}" for what, seconds in sorted(took.items()))


def unpacked(word: str) -> dict[str, int] | None:
    """Return what `packed` has made a word of; None of any other word."""
    if not re.fullmatch(r"[0-9a-f]{6}=[0-9]{1,9}(,[0-9a-f]{6}=[0-9]{1,9})*", word, re.ASCII):
        return None
    return {short: int(seconds) for short, _, seconds in (entry.partition("=") for entry in word.split(","))}


def of_run(took: Mapping[str, int], what: str) -> int | None:
    """Return what a run took, by its description; None where it is not known."""
    return took.get(_short(what))


def _short(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest()[:6]
