"""Where this work left the branch that it goes to; what is missing of that is fetched where it may be.

A fetch brings commits and nothing else: no reference, branch, tag, FETCH_HEAD or setting of the
user's changes. A shallow clone gets deeper, which is what makes the answer right.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rustvmm_sessions.console import say, warn
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git.git import why, without_credentials

if TYPE_CHECKING:
    from rustvmm_sessions.git.git import Git

PULL_REQUEST_VARIABLES = ("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "GITHUB_BASE_REF")
"""What CI sets for a pull request, to the branch that it is for."""
TIMEOUT = 600.0
"""Seconds for one conversation with the remote."""

_PATIENCE = 30.0
"""The same where what was fetched last will do."""
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


def find_base(git: Git, reference: str = "", *, fetch: bool, option: str = "") -> Base:
    """Return where HEAD left upstream, with every commit between them at hand.

    Args:
        git: Git in the repository.
        reference: What is known here to stand for upstream; nothing is fetched then.
        fetch: Whether the remote may be asked, and a shallow clone deepened.
        option: The option that gives `reference`, for advice.

    Raises:
        UserError: There is no repository, no such branch, no common commit, or a shallow clone
            that is not or cannot be deepened.
    """
    git.require_repository()
    if git.commit("HEAD") is None:
        raise UserError("there is no commit yet", where=str(git.directory), fix="commit something")
    git = replace(git, env={**git.env, "GIT_TERMINAL_PROMPT": "0"})
    fetch = fetch and not reference
    name, tip = (reference, git.commit(reference)) if reference else _upstream(git, option, fetch=fetch)
    if tip is None:
        raise _unknown(git, name)
    for depth in (*_DEEPEN, ""):
        base = git.line("merge-base", "HEAD", tip)
        shallow = git.shallow
        # A commit at the edge of a shallow clone seems to have no parents.
        edge = (git.line("rev-list", "--max-parents=0", f"{tip}...HEAD") or "").split() if shallow else []
        if base and not edge:
            return Base(name=name, tip=tip, commit=base)
        if not shallow or not depth or not fetch:
            break
        _deepen(git, name, depth, (tip, *edge))
    if shallow:
        raise UserError(
            f"this clone is shallow: the merge base of HEAD and {name!r} is not in it",
            where=str(git.directory),
            fix="run `git fetch --unshallow`",
        )
    raise UserError(
        f"HEAD and {name!r} have no commit in common",
        where=str(git.directory),
        fix="name another one" if reference else f"check that {_SETTINGS}",
    )


def base_branch(git: Git) -> RemoteBranch:
    """Return the branch that this work will go to, as the environment says it.

    The remote is BUILDKITE_REPO's, else REMOTE's, else ``origin``; the branch is that of
    BUILDKITE_PULL_REQUEST_BASE_BRANCH, GITHUB_BASE_REF or BASE_BRANCH.

    Raises:
        UserError: That can be no branch's name.
    """
    remote = os.environ.get("BUILDKITE_REPO") or os.environ.get("REMOTE") or "origin"
    for name in git.remotes:
        if git.line("remote", "get-url", "--", name) == remote:
            remote = name
    variables = (*PULL_REQUEST_VARIABLES, "BASE_BRANCH")
    branch = next((value for variable in variables if (value := os.environ.get(variable))), "")
    branch = branch.removeprefix("refs/heads/")
    if branch and git.line("check-ref-format", f"refs/heads/{branch}") is None:
        raise UserError(f"invalid branch name {branch!r}", where="the base branch", fix="name a branch: main")
    return RemoteBranch(remote=remote, name=branch)


def default_branch(git: Git) -> str:
    """Return the remote's default branch as it was fetched last; empty where that is not known."""
    place = f"refs/remotes/{base_branch(git).remote}/"
    head = git.line("symbolic-ref", "--quiet", f"{place}HEAD") or ""
    known = head.startswith(place) and git.commit(head) is not None
    return head.removeprefix(place) if known else ""


def _upstream(git: Git, option: str, *, fetch: bool) -> tuple[str, str | None]:
    """Return the name of the branch that this work goes to, and its commit, None where it is not here."""
    branch = base_branch(git)
    name, tip = _known(git, branch)
    if tip is None:
        _require_remote(git, branch, option)
    if fetch:
        return _current(git, branch, name, tip)
    if tip is None and not branch.name:
        raise UserError(
            f"the default branch of {branch.shown!r} is not known here",
            where=str(git.directory),
            fix=f"run `git fetch {branch.shown}` and `git remote set-head {branch.shown} --auto`",
        )
    return name, tip


def _known(git: Git, branch: RemoteBranch) -> tuple[str, str | None]:
    """Return the name of the branch and the commit that it was at when it was fetched last, if it was.

    What a clone has as ``origin/HEAD`` stays when the remote's default branch gets another name.
    """
    usual = f"{branch.shown}/{branch.name or 'main'}"
    head = None if branch.name else git.line("symbolic-ref", "--quiet", f"refs/remotes/{branch.remote}/HEAD")
    for name in ((head or "").removeprefix("refs/remotes/"), usual):
        tip = git.commit(f"refs/remotes/{name}")
        if tip is not None:
            return name, tip
    return usual, None


def _require_remote(git: Git, branch: RemoteBranch, option: str) -> None:
    """Raise a UserError where no variable names a remote, and there is none of the usual name."""
    remotes = git.remotes
    if branch.remote != "origin" or "origin" in remotes:
        return
    other = f", or name what to compare with: `{option} REF`" if option else ""
    if not remotes:
        raise UserError(
            "this repository has no remote, so it is not known where this work goes to",
            where=str(git.directory),
            fix=f"add the remote: `git remote add origin URL`{other}",
        )
    raise UserError(
        "there is no remote 'origin'",
        where=str(git.directory),
        fix=f"name one of {', '.join(remotes)} in the variable REMOTE{other}",
    )


def _current(git: Git, branch: RemoteBranch, name: str, known: str | None) -> tuple[str, str]:
    """Return the name of the branch, as the remote has it now, and a commit that it is at.

    Args:
        git: Git in the repository.
        branch: The branch.
        name: What `_known` found.
        known: The commit to that.
    """
    # CI's clones are reused: what they know of the branch may be of last month.
    newest = any(os.environ.get(variable) for variable in PULL_REQUEST_VARIABLES)
    if known is not None and branch.name and not newest:
        return name, known
    try:
        now, commit = _ask(git, branch, TIMEOUT if known is None or newest else _PATIENCE)
        fetched = git.commit(f"refs/remotes/{branch.shown}/{now}")
        if fetched is None or newest:
            _fetch(git, branch, now, commit)
            fetched = commit
    except UserError as error:
        if known is None:
            raise
        warn(f"{error.what}; taking {name} as it was fetched last")
        return name, known
    return f"{branch.shown}/{now}", fetched


def _ask(git: Git, branch: RemoteBranch, timeout: float) -> tuple[str, str]:
    """Return the name of the branch and its commit, as the remote says them."""
    wanted = f"refs/heads/{branch.name or 'main'}"
    asked = git.read(
        "ls-remote", "--symref", "--end-of-options", branch.remote, "HEAD", wanted, timeout=timeout
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
    return name, commit


def _fetch(git: Git, branch: RemoteBranch, name: str, commit: str) -> None:
    if git.commit(commit) is not None:
        return
    depth = ("--depth=1",) if git.shallow else ()  # all of its history otherwise
    done = git.read(*_FETCH, *depth, "--end-of-options", branch.remote, f"refs/heads/{name}", timeout=TIMEOUT)
    if not done.ok or git.commit(commit) is None:
        raise UserError(
            f"{name!r} of {branch.shown!r} cannot be fetched: {why(done)}",
            where=str(git.directory),
            fix=f"check the network: `git fetch {branch.shown} {name}`",
        )


def _deepen(git: Git, name: str, depth: str, commits: tuple[str, ...]) -> None:
    remote = base_branch(git).remote
    say(f"This clone is shallow; fetching more of its history ({depth}).")
    done = git.read(*_FETCH, depth, "--end-of-options", remote, *commits, timeout=TIMEOUT)
    if not done.ok:
        raise UserError(
            f"this clone is shallow and cannot be deepened: the commits between HEAD and {name} "
            f"are not in it ({why(done)})",
            where=str(git.directory),
            fix="clone with the whole history (GitHub's actions/checkout: `fetch-depth: 0`), "
            "or run `git fetch --unshallow`",
        )


def _unknown(git: Git, reference: str) -> UserError:
    # A clone of a single branch fetches no other one unless it is told to.
    remote = next((name for name in git.remotes if reference.startswith(f"{name}/")), "origin")
    everything = f"{remote} '+refs/heads/*:refs/remotes/{remote}/*'"
    if git.shallow:
        return UserError(
            f"this clone is shallow, and {reference!r} names no commit of it",
            where=str(git.directory),
            fix=f"fetch the rest: `git fetch --unshallow {everything}`",
        )
    return UserError(
        f"{reference!r} names no commit of this repository",
        where=str(git.directory),
        fix=f"check its spelling, or fetch it: `git fetch {everything}`",
    )
