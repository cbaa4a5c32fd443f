"""Read what ``llvm-cov export`` prints: counts per file, and which lines were reached.

Two countings live in one export. The summaries (`counts`) are LLVM's line totals, which
rust-vmm's recorded percentages come from. The lines themselves (`reached_lines`) follow from the
segments, as LCOV has them; a line in several functions counts once there, so the two can differ
by a few lines and are never mixed.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import PurePath
from typing import Any

from rustvmm_sessions.coverage.measurement import FileCoverage, Lines, spans
from rustvmm_sessions.errors import UserError


def parse(text: str, root: PurePath) -> tuple[Lines, tuple[FileCoverage, ...]]:
    """Return the totals and the files of an export in LLVM's JSON format.

    Args:
        text: The output of ``llvm-cov export -format=text``, version 2.0.0 and later.
        root: The workspace's directory, which paths inside it are made relative to.

    Raises:
        UserError: The text is no such export.
    """
    try:
        export = json.loads(text)["data"][0]
        lines = _lines(export["totals"])
        files = tuple(_file(entry, root) for entry in export["files"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"the output of llvm-cov is not understood ({error!r})", fix="check that its version is rustc's"
        ) from error
    return lines, tuple(sorted(files, key=lambda file: file.path))


def _file(entry: dict[str, Any], root: PurePath) -> FileCoverage:
    lines = sorted(reached_lines(entry.get("segments", [])).items())
    return FileCoverage(
        path=relative(entry["filename"], root),
        lines=_lines(entry["summary"]),
        uncovered=spans(line for line, hit in lines if not hit),
        reached=spans(line for line, hit in lines if hit),
    )


def reached(text: str, root: PurePath) -> dict[tuple[str, int], bool]:
    """Return for every (path, line) of an export whether the tests reached it."""
    return {
        (relative(entry["filename"], root), line): hit
        for entry in json.loads(text)["data"][0]["files"]
        for line, hit in reached_lines(entry.get("segments", [])).items()
    }


def relative(filename: str, root: PurePath) -> str:
    """Return a file's path below `root`, or as it is where it lies elsewhere."""
    path = PurePath(filename)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _lines(summary: dict[str, Any]) -> Lines:
    return Lines(covered=int(summary["lines"]["covered"]), count=int(summary["lines"]["count"]))


def reached_lines(segments: list[list[Any]]) -> dict[int, bool]:
    """Return for every line that can be covered whether it was reached.

    A segment is ``[line, column, count, has_count, is_region_entry, is_gap_region]`` and holds
    until the next one. The rule is that of LLVM's LineCoverageStats (CoverageMapping.cpp): a line
    has the highest count of the regions that begin on it and of the one that reaches into it.
    """
    lines: dict[int, bool] = {}
    wrapped: list[Any] | None = None
    previous = 0
    for line, group in groupby(segments, key=lambda segment: int(segment[0])):
        if wrapped is not None and wrapped[3]:
            lines.update(dict.fromkeys(range(previous + 1, line), bool(wrapped[2])))
        own = list(group)
        entries = [s for s in own if s[3] and s[4]]
        skipped = not own[0][3] and own[0][4]
        if entries or (not skipped and wrapped is not None and wrapped[3]):
            counts = [s[2] for s in entries if not (len(s) > 5 and s[5])]
            if wrapped is not None and wrapped[3]:
                counts.append(wrapped[2])
            lines[line] = any(counts)
        wrapped = own[-1]
        previous = line
    return lines
