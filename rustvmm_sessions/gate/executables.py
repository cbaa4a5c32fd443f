"""What a run of ``cargo test`` is going to run, told by the files that cargo built for it.

Of two runs of a feature matrix that come to the very same files, one is enough: the workspace
without features to vary, say, and each of its members alone. Cargo names a test executable after
the hash of all that goes into it (package, features, profile, flags, and the same of each
dependency), and what it hands to a test at run time (directory, ``CARGO_*``, ``OUT_DIR``) follows
from these. What the name leaves out shows in the file itself, which is built anew: a changed
source, another ``CARGO_BIN_EXE_*`` under the same path.

A documentation test is built when it runs, from the library and what its package's tests depend
on. So it counts as the same where the library's own test executable, which is built from these
too, is there and is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.rust.messages import artifacts_in

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, kw_only=True)
class BuiltFile:
    """A file as it lies on the disk; built anew it is another, whatever its name."""

    path: str
    inode: int
    modified: int
    size: int


def built_files(
    messages: str, *, members: Collection[str], selected: Collection[str], doctests: bool
) -> frozenset[BuiltFile]:
    """Return the files that decide what a run does; none if they do not decide it.

    Args:
        messages: What ``cargo test --no-run --message-format=json-render-diagnostics`` prints.
        members: Ids of the workspace's packages.
        selected: Ids of those whose tests the run runs.
        doctests: Whether it runs documentation tests.
    """
    artifacts = [a for a in artifacts_in(messages) if a["package_id"] in members]
    if doctests:
        libraries = [a for a in artifacts if a["target"]["doctest"] and a["package_id"] in selected]
        tested = {a["package_id"] for a in libraries if a["profile"]["test"]}
        if any(a["package_id"] not in tested for a in libraries):
            return frozenset()
    try:
        return frozenset(_file(name) for artifact in artifacts for name in artifact["filenames"])
    except FileNotFoundError:
        return frozenset()


def _file(name: str) -> BuiltFile:
    status = Path(name).stat()
    return BuiltFile(path=name, inode=status.st_ino, modified=status.st_mtime_ns, size=status.st_size)
