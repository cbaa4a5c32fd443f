"""Cargo.lock, which stays as it is found."""

from __future__ import annotations

import contextlib
import fcntl
from typing import IO, TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import warn
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git.git import Git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rustvmm_sessions.rust.cargo import Workspace


@contextlib.contextmanager
def lockfile_kept(workspace: Workspace, keep: Path, *, reuse: bool = True) -> Iterator[None]:
    """Leave Cargo.lock as it is found, whatever cargo does to it in between.

    Cargo makes a missing lock file and completes an outdated one. What it made of the one found
    here is kept in the folder `keep` for the next run, so that neither time nor versions are lost.
    Of sessions that run at the same time the first notes what is there, and the last puts it back.
    What a killed session left is put back by the next one where nobody else can have made it;
    elsewhere it stays, and a warning names a copy of what was there. Without `reuse` cargo starts
    from what is found, in a work tree that is as clean as it was.
    """
    lock, found, made = workspace.root / "Cargo.lock", keep / "Cargo.lock.found", keep / "Cargo.lock.made"
    begun = keep / "Cargo.lock.begun"
    with _opened(keep / "Cargo.lock.turn") as turn, _opened(keep / "Cargo.lock.users") as users:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if _is_only_holder(users) and not (begun.exists() and _left_by_killed(lock, found, made)):
            _begin_with(lock, found, made, begun, reuse=reuse)
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if _is_only_holder(users):
                _put_back(lock, found, made)
                begun.unlink(missing_ok=True)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("ab")
    except OSError as error:
        raise files.unwritable("the target directory cannot be written", path, error) from error


def _is_only_holder(file: IO[bytes]) -> bool:
    """Whether no other process has the file locked; then it is ours alone."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _left_by_killed(lock: Path, found: Path, made: Path) -> bool:
    """Whether a lock file that differs from what a killed session found is not the user's.

    It is not where there was none, or where it is what a run made of it before, unless git has it by now.
    """
    left, before = files.read_text(lock), files.read_text(found)
    return left != before and (before is None or left == files.read_text(made)) and _is_uncommitted(lock)


def _keep_a_copy(lock: Path, found: Path) -> None:
    """Keep what a killed session found, where the lock file is another one now that may be the user's."""
    if found.exists() and files.read_text(lock) != files.read_text(found) and _is_uncommitted(lock):
        kept = found.replace(found.with_name("Cargo.lock.before"))
        warn(f"{lock} was changed by a run that was killed, or by you since; what it was before is in {kept}")


def _is_uncommitted(lock: Path) -> bool:
    """Whether a file in a repository is untracked, or not as it was added last."""
    return bool(Git(directory=lock.parent).line("ls-files", "--others", "--modified", "--", lock.name))


def _begin_with(lock: Path, found: Path, made: Path, begun: Path, *, reuse: bool) -> None:
    if begun.exists():
        _keep_a_copy(lock, found)
    before = files.read_text(lock)
    known = reuse and made.exists() and files.read_text(found) == before
    if not known:
        made.unlink(missing_ok=True)
        if before is None:
            found.unlink(missing_ok=True)
        else:
            files.write_atomic(found, before)
    begun.touch()
    if known:
        lock.write_text(made.read_text())


def _put_back(lock: Path, found: Path, made: Path) -> None:
    before, after = files.read_text(found), files.read_text(lock)
    if after is None or after == before:
        return
    with contextlib.suppress(UserError):  # a full disk: then the next run takes its time
        files.write_atomic(made, after)
    if before is None:
        lock.unlink()
    else:
        files.write_atomic(lock, before)
