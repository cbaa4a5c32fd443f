"""A work tree of our own for another commit, outside the user's, whose files and index stay as they are.

Git notes it under ``.git/worktrees``, where ``git worktree list`` shows it; it is detached, so no branch
is taken. Of the user's hooks none runs, and it is whole where the user's is a sparse checkout.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import warn
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git.git import Git

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET = (
    *("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false"),
    *("-c", "core.sparseCheckout=false"),
)
KEPT_DAYS = 30
"""How long a folder is kept that nobody uses."""

_SUBMODULE = "160000"
"""The mode of a submodule in git's trees."""


def own_place(top: Path) -> Path:
    """Return our folder for the work tree `top`, made where it is not there; the caller locks it.

    Folders of work trees that are gone, or that nobody has used for `KEPT_DAYS`, are removed.
    """
    everyone = files.cache_directory() / "bench"
    place = everyone / files.name_of(top)
    place.mkdir(parents=True, exist_ok=True)
    (place / "of").write_text(str(top))
    for other in everyone.iterdir():
        with contextlib.suppress(OSError):
            note = other / "of"
            unused = time.time() - note.stat().st_mtime
            if unused > KEPT_DAYS * 24 * 3600 or not Path(note.read_text()).exists():
                shutil.rmtree(other)
    return place


def check_out(git: Git, commit: str, directory: Path) -> None:
    """Let `directory` hold the files of `commit`, those of submodules that are here included.

    What an earlier call left is used again; files that are in no commit are removed from it.

    Raises:
        UserError: Git cannot do it; its message is passed on.
    """
    if not _reuse(git, commit, directory):
        git.read("worktree", "remove", "--force", "--force", "--", str(directory))
        shutil.rmtree(directory, ignore_errors=True)
        # Git locks a work tree while it makes it; what it was killed at takes the second --force.
        force = ("--force", "--force")
        done = git.read(
            *_QUIET, "worktree", "add", "--quiet", *force, "--detach", "--", str(directory), commit
        )
        if not done.ok:
            raise UserError(
                f"git cannot check out {commit[:12]}: {done.stderr.strip() or done.ending}",
                where=str(directory),
                fix="correct what git says",
            )
    if top := git.top:
        _fill_submodules(replace(git, directory=top), commit, directory)


def _reuse(git: Git, commit: str, directory: Path) -> bool:
    """Move an earlier work tree to `commit`; return whether there was a sound one of this repository."""
    if not (directory / ".git").is_file():
        return False
    ours = Git(directory=directory, env=git.env)
    common = ("rev-parse", "--path-format=absolute", "--git-common-dir")
    return (
        ours.line(*common) == git.line(*common)
        and ours.top == directory.resolve()
        and ours.read(*_QUIET, "checkout", "--quiet", "--force", "--detach", commit, "--").ok
        and ours.read(*_QUIET, "clean", "-ffdxq", "--").ok
        and not re.search(r"^S ", ours.output("ls-files", "-t"), re.MULTILINE)  # files left out stay so
    )


def _fill_submodules(git: Git, commit: str, directory: Path) -> None:
    """Copy the submodules that the user has initialised, each as `commit` has it."""
    for path, wanted in _submodules(git, commit):
        own = Git(directory=git.directory / path, env=git.env)
        if not own.directory.is_dir() or own.line("rev-parse", "--show-prefix") != "":
            continue  # not initialised: the user's own build goes without it, too
        if own.commit(wanted) is None:
            warn(
                f"the submodule {path} has no commit {wanted[:12]}: {commit[:12]} is built without it; "
                f"`git -C {path} fetch` may bring it"
            )
            continue
        with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
            archive = Path(scratch) / "submodule.tar"
            own.output("archive", "--format=tar", f"--output={archive}", wanted)
            shutil.rmtree(directory / path, ignore_errors=True)
            with tarfile.open(archive) as tar:
                tar.extractall(directory / path, filter="data")
        _fill_submodules(own, wanted, directory / path)


def _submodules(git: Git, commit: str) -> Iterator[tuple[str, str]]:
    listed = git.output("ls-tree", "-r", "-z", "--full-tree", commit)
    for entry in filter(None, listed.split("\0")):
        facts, _, path = entry.partition("\t")
        mode, _, name = facts.split()
        if mode == _SUBMODULE:
            yield path, name
