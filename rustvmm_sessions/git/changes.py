"""What changed in a work tree since it left upstream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions.git import upstream

if TYPE_CHECKING:
    from pathlib import Path

    from rustvmm_sessions.git.git import Git
    from rustvmm_sessions.git.upstream import Base


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What changed since the merge base.

    Attributes:
        base: The merge base.
        top: The top of the work tree.
        files: Committed, staged, unstaged, new and deleted files, from the top.
    """

    base: Base
    top: Path
    files: tuple[str, ...]


def changes_since(git: Git, reference: str) -> Changes:
    """Return what changed since the merge base with a reference, upstream if it is empty; fetch nothing.

    Raises:
        UserError: There is no such commit, or this clone is too shallow to have it.
    """
    base = upstream.find_base(git, reference, fetch=False, option="--changed")
    top = git.work_tree()
    listed = git.output("diff", "--name-only", "-z", "--no-renames", "--no-relative", base.commit, "--")
    new = git.output("ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", ":/")
    return Changes(base=base, top=top, files=tuple(path for path in (listed + new).split("\0") if path))
