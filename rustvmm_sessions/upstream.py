"""Where this work left the branch that it goes to; what is missing of that is fetched.

A fetch brings commits and nothing else: no reference, branch, tag, FETCH_HEAD or setting of the
user's changes. A shallow clone gets deeper, which is what makes the answer right.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rustvmm_sessions.console import say, warn
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git import PULL_REQUEST_VARIABLES, why

if TYPE_CHECKING:
    from rustvmm_sessions.git import Git, RemoteBranch

TIMEOUT = 600.0
"""Seconds for one conversation with the remote."""

_FETCH = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-prune",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
    "--refmap=",  # else the remote's tracking branches would move
)
_DEEPEN = ("--deepen=64", "--deepen=1024", "--unshallow")
_SETTINGS = "BASE_BRANCH and REMOTE name the branch and the remote, on a machine without CI's variables"


@dataclass(frozen=True, kw_only=True)
class Base:
    """Where a branch starts.

    Attributes:
        name: The branch that it goes to, such as ``origin/main``.
        tip: The commit that this branch is at.
        commit: The merge base of HEAD and `tip`.
    """

    name: str
    tip: str
    commit: str


def find_base(git: Git, reference: str = "") -> Base:
    """Return where HEAD left upstream, with every commit between them at hand.

    Args:
        git: Git in the repository.
        reference: What is known here to stand for upstream; nothing is fetched then.

    Raises:
        UserError: There is no repository, no such branch, no common commit, or a shallow clone
            that cannot be deepened.
    """
    git.require_repository()
    if git.commit("HEAD") is None:
        raise UserError("there is no commit yet", where=str(git.directory), fix="commit something")
    if reference:
        return Base(name=reference, tip=git.commit(reference) or "", commit=git.merge_base(reference))
    git = replace(git, env={**git.env, "GIT_TERMINAL_PROMPT": "0"})
    branch = git.base_branch()
    name, tip = _tip(git, branch)
    for depth in (*_DEEPEN, ""):
        base = git.line("merge-base", "HEAD", tip)
        shallow = git.shallow
        # A commit at the edge of a shallow clone seems to have no parents.
        edge = (git.line("rev-list", "--max-parents=0", f"{tip}..HEAD") or "").split() if shallow else []
        if base and not edge:
            return Base(name=name, tip=tip, commit=base)
        if not shallow or not depth:
            break
        _deepen(git, branch, depth, (tip, *edge))
    raise UserError(
        f"HEAD and {name} have no commit in common", where=str(git.directory), fix=f"check that {_SETTINGS}"
    )


def _tip(git: Git, branch: RemoteBranch) -> tuple[str, str]:
    """Return the name of the branch and the commit it is at."""
    if branch.name and git.line("check-ref-format", f"refs/heads/{branch.name}") is None:
        raise UserError(
            f"{branch.name!r} is no name of a branch", where="the base branch", fix="name a branch: main"
        )
    name = git.upstream()
    known = git.commit(f"refs/remotes/{name}")
    # CI's clones are reused: what they know of the branch may be of last month.
    if known and not any(os.environ.get(variable) for variable in PULL_REQUEST_VARIABLES):
        return name, known
    try:
        return _fetch_tip(git, branch)
    except UserError as error:
        if known is None:
            raise
        warn(f"{error.what}; taking {name} as it was fetched last")
        return name, known


def _fetch_tip(git: Git, branch: RemoteBranch) -> tuple[str, str]:
    wanted = f"refs/heads/{branch.name or 'main'}"
    asked = git.read(
        "ls-remote", "--symref", "--end-of-options", branch.remote, "HEAD", wanted, timeout=TIMEOUT
    )
    if not asked.ok:
        raise UserError(
            f"the remote {branch.shown!r} cannot be read: {why(asked)}",
            where=str(git.directory),
            fix=f"check the network and the remote; {_SETTINGS}",
        )
    lines = [line.split("\t", 1) for line in asked.stdout.splitlines() if "\t" in line]
    default = next((value[5:] for value, _ in lines if value.startswith("ref: ")), "")
    commits = {name: value for value, name in lines if not value.startswith("ref: ")}
    if default and not branch.name:
        wanted = default
    # What was not asked for is not listed: the default branch may be there as HEAD alone.
    commit = commits.get("HEAD" if wanted == default else wanted)
    name = wanted.removeprefix("refs/heads/")
    if commit is None:
        raise UserError(
            f"the remote {branch.shown!r} has no branch {name!r}",
            where=str(git.directory),
            fix=f"check that {_SETTINGS}",
        )
    if git.commit(commit) is None:
        depth = ("--depth=1",) if git.shallow else ()  # all of its history otherwise
        done = git.read(*_FETCH, *depth, "--end-of-options", branch.remote, wanted, timeout=TIMEOUT)
        if not done.ok or git.commit(commit) is None:
            raise UserError(
                f"{name!r} of {branch.shown!r} cannot be fetched: {why(done)}",
                where=str(git.directory),
                fix=f"check the network: `git fetch {branch.shown} {name}`",
            )
    return f"{branch.shown}/{name}", commit


def _deepen(git: Git, branch: RemoteBranch, depth: str, commits: tuple[str, ...]) -> None:
    say(f"This clone is shallow; fetching more of its history ({depth}).")
    done = git.read(*_FETCH, depth, "--end-of-options", branch.remote, *commits, timeout=TIMEOUT)
    if not done.ok:
        raise UserError(
            "this clone is shallow and cannot be deepened: the commits between HEAD and "
            f"{branch.shown}/{branch.name or 'main'} are not in it ({why(done)})",
            where=str(git.directory),
            fix="clone with the whole history (GitHub's actions/checkout: `fetch-depth: 0`), "
            "or run `git fetch --unshallow`",
        )
