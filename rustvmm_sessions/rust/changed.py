"""Which members of a workspace are touched by what changed since the merge base."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rustvmm_sessions.console import say
from rustvmm_sessions.git.changes import changes_since
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.rust import manifests
from rustvmm_sessions.rust.dep_info import with_dep_info
from rustvmm_sessions.rust.reads import Affected, affected, read_by
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from rustvmm_sessions.rust.cargo import Cargo


def changed_members(cargo: Cargo, reference: str) -> tuple[Affected, ...]:
    """Return the members touched since the merge base with `reference`, and say which and why.

    Committed, staged, unstaged, new and deleted files count. What lies outside of the repository, where git
    sees nothing, may have changed.
    """
    changes = changes_since(Git(directory=cargo.directory), reference)
    base, top = changes.base, changes.top
    root = cargo.workspace.root.resolve()
    paths = [os.path.relpath(top / path, root) for path in changes.files]
    packages = with_dep_info(manifests.packages(root), root, cargo.workspace.target_directory)
    read = {path for package in packages.values() for path in read_by(package)}
    unseen = {  # of a name there may be several readings, of which most lead nowhere
        path
        for path in read
        if (root / path).exists() and not (root / path).resolve().is_relative_to(top.resolve())
    }
    chosen = affected(packages, paths, unseen)
    say(f"Changed since {base.commit[:12]} (merge base with {base.name}): {counted(len(paths), 'file')}.")
    for member in chosen:
        say(f"  {member.package}: {member.why}")
    others = [m.name for m in cargo.workspace.members if m.name not in {c.package for c in chosen}]
    if others:
        say(f"  not touched: {', '.join(others)}")
    return chosen
