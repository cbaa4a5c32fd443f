"""Git of a crate's repository: read only, one thin command per fact."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.process import Finished, StartError, command_line, run

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOCAL_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
)
"""What ``git rev-parse --local-env-vars`` names, but for configuration, which may be meant for us."""

_READ_ONLY = {"GIT_OPTIONAL_LOCKS": "0"}


@dataclass(frozen=True, kw_only=True)
class Git:
    """Git in one directory.

    Attributes:
        directory: A directory of the work tree.
        env: Variables laid over the caller's for every call.
    """

    directory: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def read(self, *args: str, timeout: float | None = None) -> Finished:
        """Run ``git ARGS`` and keep what it prints.

        A hook's variables, which would point git elsewhere, are taken out, and a repository that
        another user owns (a container's mount) is trusted for this call alone. The index stays as
        it is on the disk: git would write what it learns about the work tree's files into it.
        """
        return run(
            ["git", *args],
            cwd=self.directory,
            env={**dict.fromkeys(_LOCAL_VARIABLES), **_READ_ONLY, **self._trust(), **self.env},
            timeout=timeout,
            read_stdout=True,
            read_stderr=True,
            echo=False,
        )

    def _trust(self) -> dict[str, str]:
        given = os.environ.get("GIT_CONFIG_COUNT", "")
        count = int(given) if given.isdecimal() else 0
        return {
            "GIT_CONFIG_COUNT": str(count + 1),
            f"GIT_CONFIG_KEY_{count}": "safe.directory",
            f"GIT_CONFIG_VALUE_{count}": str(self._place()),
        }

    def _place(self) -> Path:
        """Return the folder that has ``.git``, as far as that can be said without git."""
        place = self.directory.resolve()
        return next((folder for folder in (place, *place.parents) if (folder / ".git").exists()), place)

    def output(self, *args: str) -> str:
        """Return what ``git ARGS`` prints.

        Raises:
            UserError: It fails; the reason is git's.
        """
        done = self.read(*args)
        if not done.ok:
            raise UserError(
                f"git failed: {why(done)}",
                where=f"{self.directory}: {command_line(done.args)}",
                fix="correct what git complains about; `git config --show-origin --list` shows its settings",
            )
        return done.stdout

    def require_repository(self) -> None:
        """Raise a UserError unless this is in a repository that git can read."""
        done = self.read("rev-parse", "--git-dir")
        if done.ok:
            return
        if not (self._place() / ".git").exists():
            raise UserError(
                "this is not a git repository",
                where=str(self.directory),
                fix="run it in a clone of the crate",
            )
        raise UserError(
            f"git cannot read this repository: {why(done)}",
            where=str(self.directory),
            fix="correct what git complains about",
        )

    def line(self, *args: str) -> str | None:
        """Return what ``git ARGS`` prints, stripped, or None where it fails or there is no git."""
        try:
            done = self.read(*args)
        except StartError:
            return None
        return done.stdout.strip() if done.ok else None

    @property
    def top(self) -> Path | None:
        """The top of the work tree; None outside of one."""
        top = self.line("rev-parse", "--show-toplevel")
        return Path(top) if top else None

    def work_tree(self) -> Path:
        """Return the top of the work tree.

        Raises:
            UserError: There is none.
        """
        top = self.top
        if top is None:
            self.require_repository()
            raise UserError(
                "this is not a git work tree", where=str(self.directory), fix="run it in a clone of the crate"
            )
        return top

    @property
    def remotes(self) -> list[str]:
        """The names of the remotes."""
        return (self.line("remote") or "").splitlines()

    def commit(self, reference: str) -> str | None:
        """Return the commit that a reference names, or None; the reference is never an option."""
        return self.line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")

    @property
    def shallow(self) -> bool:
        """Whether history was cut off when this was cloned."""
        return self.line("rev-parse", "--is-shallow-repository") == "true"

    def file_at(self, commit: str, path: Path) -> str | None:
        """Return the text of a file of the work tree as `commit` had it, or None."""
        name = path.relative_to(self.directory).as_posix()
        done = self.read("cat-file", "blob", "--end-of-options", f"{commit}:./{name}")
        return done.stdout if done.ok else None

    def submodules(self) -> dict[str, str]:
        """Return the paths of the repository's submodules, from its top, by their names."""
        listed = self.line(
            "config",
            "--file",
            str((self.top or self.directory) / ".gitmodules"),
            "--get-regexp",
            r"^submodule\..*\.path$",
        )
        pairs = (line.partition(" ") for line in (listed or "").splitlines())
        return {key[len("submodule.") : -len(".path")]: path for key, _, path in pairs}


def without_credentials(address: str) -> str:
    """Return the address of a remote without the name and password, or token, that it may hold."""
    return re.sub(r"(?<=://)[^/]*@", "", address)


def why(failed: Finished) -> str:
    """Return git's own reason for a failure, in one line."""
    lines = [line for line in failed.stderr.splitlines() if line.strip()]
    return next(
        (line for line in lines if line.startswith(("fatal:", "error:"))), (lines or [failed.ending])[0]
    )
