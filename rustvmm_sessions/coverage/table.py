"""The table of files that a run ends with where a person looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.coverage.measurement import numbers, spans
from rustvmm_sessions.wording import columns, counted, rounded, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.coverage.measurement import ChangedLines, FileCoverage, Ranges

_MOST_NAME = 48
"""Columns of a path at most; of a longer one the end is shown."""


def table(files: Sequence[FileCoverage], changed: ChangedLines | None, screen: tuple[int, int]) -> list[str]:
    """Return the lines that name the uncovered lines of files, changed ones first and with a plus.

    Args:
        files: What was measured.
        changed: The changed lines, where they are known.
        screen: The columns and rows of the terminal; half of the rows are used.
    """
    missed = {file.path: changed.missed(file) if changed else () for file in files}
    listed = [file for file in files if file.lines.uncovered]
    if not listed:
        return []
    listed.sort(key=lambda file: (-len(list(numbers(missed[file.path]))), -file.lines.uncovered, file.path))
    shown = listed[: max(screen[1] // 2 - 4, 5)]
    rows = [("file", "covered", "", "not covered (+ changed)" if any(missed.values()) else "not covered")]
    rows += [
        (
            file.path if width(file.path) <= _MOST_NAME else f"…{file.path[1 - _MOST_NAME :]}",
            f"{file.lines.covered}/{file.lines.count}",
            f"{rounded(file.lines.percent, 2)} %",
            _places(file, missed[file.path]),
        )
        for file in shown
    ]
    lines = [_cut(line, screen[0]) for line in columns(rows, right=(1, 2))]
    rest = (
        [f"{counted(len(listed) - len(shown), 'more file')} not fully covered"]
        if listed[len(shown) :]
        else []
    )
    if full := len(files) - len(listed):
        rest.append(f"{counted(full, 'file')} covered in full")
    return ["", *lines, *([f"and {', '.join(rest)}"] if rest else []), ""]


def _places(file: FileCoverage, missed: Ranges) -> str:
    touched = set(numbers(missed))
    others = spans(line for line in numbers(file.uncovered) if line not in touched)
    shown = [
        f"{sign}{first}" if first == last else f"{sign}{first}-{last}"
        for sign, places in (("+", missed), ("", others))
        for first, last in places
    ]
    return ", ".join(shown) or "in closures and functions on lines reached otherwise"


def _cut(line: str, most: int) -> str:
    """Return a line as far as it fits, cut behind a comma."""
    if width(line) <= most:
        return line
    head = line[: most - 1]
    return f"{head[: head.rfind(',') + 1] or head} …"[:most]
