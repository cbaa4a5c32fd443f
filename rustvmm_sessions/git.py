"""Git of a crate's repository: read only, one thin command per fact."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.process import Finished, command_line, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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

PULL_REQUEST_VARIABLES = ("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "GITHUB_BASE_REF")
"""What CI sets for a pull request, to the branch that it is for."""


@dataclass(frozen=True, kw_only=True)
class RemoteBranch:
    """A branch of another repository.

    Attributes:
        remote: The remote's name, or its URL where it has none here.
        name: The branch's name; empty for the remote's default branch.
    """

    remote: str
    name: str

    @property
    def shown(self) -> str:
        """The remote as it may be printed."""
        return without_credentials(self.remote)


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
            f"GIT_CONFIG_VALUE_{count}": str(self._top()),
        }

    def _top(self) -> Path:
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
                f"git cannot do its part: {why(done)}",
                where=f"{self.directory}: {command_line(done.args)}",
                fix="correct what git complains about; `git config --show-origin --list` shows its settings",
            )
        return done.stdout

    def require_repository(self) -> None:
        """Raise a UserError unless this is in a repository that git can read."""
        done = self.read("rev-parse", "--git-dir")
        if done.ok:
            return
        if not (self._top() / ".git").exists():
            raise UserError(
                "this is no git repository", where=str(self.directory), fix="run it in a clone of the crate"
            )
        raise UserError(
            f"git cannot read this repository: {why(done)}",
            where=str(self.directory),
            fix="correct what git complains about",
        )

    def line(self, *args: str) -> str | None:
        """Return what ``git ARGS`` prints, stripped, or None where it fails."""
        done = self.read(*args)
        return done.stdout.strip() if done.ok else None

    def commit(self, reference: str) -> str | None:
        """Return the commit that a reference names, or None; the reference is never an option."""
        return self.line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")

    def merge_base(self, reference: str) -> str:
        """Return the merge base of HEAD and `reference`.

        Raises:
            UserError: The reference is unknown here, or there is no common commit.
        """
        commit = self.commit(reference)
        if commit is None:
            raise self._unknown(reference)
        base = self.line("merge-base", "HEAD", commit)
        if not base:
            if self.shallow:
                raise UserError(
                    f"this clone is shallow: the merge base of HEAD and {reference!r} is not in it",
                    where=str(self.directory),
                    fix="run `git fetch --unshallow`",
                )
            raise UserError(
                f"HEAD and {reference!r} have no commit in common",
                where=str(self.directory),
                fix="name another one",
            )
        return base

    @property
    def shallow(self) -> bool:
        """Whether history was cut off when this was cloned."""
        return self.line("rev-parse", "--is-shallow-repository") == "true"

    def _unknown(self, reference: str) -> UserError:
        self.require_repository()
        # A clone of a single branch fetches no other one unless it is told to.
        everything = "origin '+refs/heads/*:refs/remotes/origin/*'"
        if self.shallow:
            return UserError(
                f"this clone is shallow, and {reference!r} names no commit of it",
                where=str(self.directory),
                fix=f"fetch the rest: `git fetch --unshallow {everything}`",
            )
        return UserError(
            f"{reference!r} names no commit of this repository",
            where=str(self.directory),
            fix=f"check its spelling, or fetch it: `git fetch {everything}`",
        )

    def file_at(self, commit: str, path: Path) -> str | None:
        """Return the text of a file of the work tree as `commit` had it, or None."""
        name = path.relative_to(self.directory).as_posix()
        done = self.read("cat-file", "blob", "--end-of-options", f"{commit}:./{name}")
        return done.stdout if done.ok else None

    def upstream(self) -> str:
        """Return the reference of the branch that this work will go to, as far as known here.

        Nothing is fetched; `rustvmm_sessions.upstream` does.
        """
        branch = self.base_branch()
        if branch.name:
            return f"{branch.shown}/{branch.name}"
        head = self.line("symbolic-ref", "--quiet", "--short", f"refs/remotes/{branch.remote}/HEAD")
        return head or f"{branch.shown}/main"

    def base_branch(self) -> RemoteBranch:
        """Return the branch that this work will go to, as the environment says it.

        The remote is BUILDKITE_REPO's, else REMOTE's, else ``origin``; the branch is that of
        BUILDKITE_PULL_REQUEST_BASE_BRANCH, GITHUB_BASE_REF or BASE_BRANCH.
        """
        remote = os.environ.get("BUILDKITE_REPO") or os.environ.get("REMOTE") or "origin"
        for name in (self.line("remote") or "").splitlines():
            if self.line("remote", "get-url", "--", name) == remote:
                remote = name
        variables = (*PULL_REQUEST_VARIABLES, "BASE_BRANCH")
        branch = next((value for variable in variables if (value := os.environ.get(variable))), "")
        return RemoteBranch(remote=remote, name=branch.removeprefix("refs/heads/"))


def without_credentials(address: str) -> str:
    """Return the address of a remote without the name and password, or token, that it may hold."""
    return re.sub(r"(?<=://)[^/]*@", "", address)


def why(failed: Finished) -> str:
    """Return git's own reason for a failure, in one line."""
    lines = [line for line in failed.stderr.splitlines() if line.strip()]
    return next(
        (line for line in lines if line.startswith(("fatal:", "error:"))), (lines or [failed.ending])[0]
    )
