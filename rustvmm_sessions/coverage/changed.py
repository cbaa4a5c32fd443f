"""The lines changed since the merge base, and which of them the tests reach."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.console import say
from rustvmm_sessions.coverage.measurement import ChangedLines, FileCoverage, Lines, numbers, spans
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git import upstream
from rustvmm_sessions.git.git import Git

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rustvmm_sessions.coverage.measurement import Measurement
    from rustvmm_sessions.coverage.request import CoverageRequest

_FILE = re.compile(r'\+\+\+ "?(?:b/(.*?)"?\t?|/dev/null)')
_HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@.*")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What differs in the work tree from the merge base.

    Attributes:
        base: The merge base.
        top: The top of the work tree.
        lines: The numbers of new and changed lines, by path from the top.
    """

    base: upstream.Base
    top: Path
    lines: Mapping[str, frozenset[int]]


def find_changes(directory: Path, reference: str) -> Changes:
    """Return what changed since the merge base, uncommitted and new files included; nothing is fetched.

    Raises:
        UserError: The merge base cannot be told, or git fails.
    """
    git = Git(directory=directory)
    base = upstream.find_base(git, reference, fetch=False, option="--diff")
    top = git.work_tree()
    with tempfile.TemporaryDirectory() as folder:
        return Changes(base=base, top=top, lines=changed_lines(_diff(top, base.commit, Path(folder))))


def look(request: CoverageRequest) -> Changes | None:
    """Return what changed, where that is asked for, or is to be looked at and can be told.

    Raises:
        UserError: It is asked for, and cannot be told.
    """
    if request.diff is None and not request.look:
        return None
    try:
        return find_changes(request.directory, request.diff or "")
    except UserError as error:
        if request.diff is not None:
            raise
        if request.screen is None:
            say(f"Changed lines are not looked at: {error.what}.")
        return None


def _diff(top: Path, base: str, scratch: Path) -> str:
    """Return the diff of the work tree against `base`: committed, staged, unstaged and new files.

    New files are entered into a copy of the index only; the repository's own stays as it is.
    """
    index = scratch / "index"
    own_index = Git(directory=top).line("rev-parse", "--path-format=absolute", "--git-path", "index")
    if own_index and Path(own_index).exists():
        shutil.copy2(own_index, index)  # by its time git knows which files changed in the second it is of
    with_new = Git(directory=top, env={"GIT_INDEX_FILE": str(index)})
    with_new.output("add", "--intent-to-add", "--", ".")
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--unified=0", "--no-relative")
    settings = ("core.quotePath=false", "diff.mnemonicPrefix=false", "diff.noprefix=false")
    return with_new.output(
        *(word for each in settings for word in ("-c", each)), "diff", *options, base, "--", "."
    )


def changed_lines(diff: str) -> dict[str, frozenset[int]]:
    """Return the numbers of the lines that a diff without context adds, by path.

    A line of the sources may itself look like a header; a hunk's own length says where it ends.
    """
    found: dict[str, set[int]] = {}
    current: set[int] = set()
    left = 0
    for line in diff.split("\n"):
        if left and line.startswith("+"):
            left -= 1
        elif match := _HUNK.fullmatch(line):
            left = int(match[2] or 1)
            current.update(range(int(match[1]), int(match[1]) + left))
        elif not left and (match := _FILE.fullmatch(line)):
            current = found.setdefault(match[1], set()) if match[1] else set()
    return {path: frozenset(lines) for path, lines in found.items()}


def coverage_of(changes: Changes, measurements: Iterable[Measurement], roots: Sequence[Path]) -> ChangedLines:
    """Return the coverage of the changed lines.

    Args:
        changes: What changed.
        measurements: What was measured; a line counts as reached where one of them reached it.
        roots: The workspace's folder, which paths of measurements start from, and those of its members.
    """
    top = changes.top.resolve()
    reached: dict[str, dict[int, bool]] = defaultdict(dict)
    measured: dict[str, str] = {}
    for file in (file for measurement in measurements for file in measurement.files):
        real = Path(os.path.realpath(real_path(roots[0] / file.path, roots)))
        if not real.is_relative_to(top) or not changes.lines.get(name := real.relative_to(top).as_posix()):
            continue
        measured[name] = file.path
        for spans_of, hit in ((file.uncovered, False), (file.reached, True)):
            for number in changes.lines[name].intersection(numbers(spans_of)):
                reached[name][number] = hit or reached[name].get(number, False)
    return ChangedLines(
        base=changes.base.commit,
        name=changes.base.name,
        top=str(top),
        files=tuple(
            FileCoverage(
                path=name,
                lines=Lines(covered=sum(lines.values()), count=len(lines)),
                uncovered=spans(sorted(number for number, hit in lines.items() if not hit)),
                reached=spans(sorted(number for number, hit in lines.items() if hit)),
            )
            for name, lines in sorted(reached.items())
            if lines
        ),
        unknown=tuple(
            name
            for name, lines in sorted(changes.lines.items())
            if lines
            and name.endswith(".rs")
            and name not in measured
            and any((top / name).is_relative_to(root.resolve()) for root in roots)
        ),
        touched={measured[name]: spans(sorted(changes.lines[name])) for name in sorted(measured)},
    )


def real_path(path: Path, roots: Sequence[Path]) -> Path:
    """Return where a file is that rustc was told to give another path (``--remap-path-prefix``).

    Such a path ends as the file's does; the first of `roots` that has it counts.
    """
    if path.is_file():
        return path
    ends = (path.parts[start:] for start in range(len(path.parts)))
    found = (root.joinpath(*end) for end in ends if end[0] != "/" for root in roots)
    return next((file for file in found if file.is_file()), path)
