"""The versions of the record, from git: nothing is fetched, built or measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say, terminal_columns
from rustvmm_sessions.coverage import history
from rustvmm_sessions.coverage.explain import command
from rustvmm_sessions.coverage.ratchet import RECORD
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git import upstream
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.rust.cargo import machine
from rustvmm_sessions.rust.choice import choose

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from rustvmm_sessions.coverage.request import CoverageRequest
    from rustvmm_sessions.rust.choice import Choice

_FILES = (RECORD, "coverage_config_*.json")
_LOG = ("--first-parent", "-m", "--patch", "--unified=1000000", "--no-renames", "--no-color", "--no-ext-diff")


def read_history(directory: Path, package: str = "") -> history.History:
    """Return the versions of a crate's record that its first-parent line has.

    A file that was moved begins where it came to its place: what it held elsewhere may be another crate's.

    Raises:
        UserError: There is no repository, no commit, or git fails.
    """
    git = Git(directory=directory)
    top = git.work_tree()
    log = git.output("log", *_LOG, "--no-textconv", "--format=%x00%H %ct %s", "--", *_FILES)
    fields = ("refname:strip=2", "objectname", "committerdate:unix", "*objectname", "*committerdate:unix")
    names = "%00".join(f"%({name})" for name in fields)
    tags = git.output("for-each-ref", "--merged=HEAD", f"--format={names}", "refs/tags")
    return history.History(
        path=(directory.resolve() / RECORD).relative_to(top.resolve()).as_posix(),
        versions=history.read_log(log),
        releases=history.read_tags(tags, package),
        shallow=git.shallow,
        address=address_of_commits(git),
        package=package,
    )


def address_of_commits(git: Git) -> str:
    """Return what a commit's hash makes a web address of, by upstream's remote; else nothing."""
    remote = upstream.base_branch(git).remote
    return history.address_of_commits(git.line("remote", "get-url", "--", remote) or remote)


def show_history(request: CoverageRequest, choice: Choice) -> None:
    """Print the course of a crate's record, or of each member's, and write what is asked for.

    Raises:
        UserError: There is no repository or no record in it, git fails, or a file cannot be written.
    """
    files.check_reports({"--json": request.json, "--badge": request.badge})
    whole = read_history(request.directory)
    members: list[history.History] = []
    if choice.members or choice.packages or choice.without or choice.changed is not None:
        names = choose(request.cargo, choice)
        chosen = [m for m in request.cargo.workspace.members if names is None or m.name in names]
        found = [read_history(m.directory, m.name) for m in chosen if m != request.cargo.workspace.current]
        members = [each for each in found if each.versions]
    shown = [each for each in (whole, *members) if each.versions]
    if not shown:
        raise UserError(
            f"git has no version of {RECORD}, and of no coverage_score",
            where=str(request.directory),
            fix=f"record coverage with `{command('--profile devel')}`, then commit it",
        )
    for each in shown:
        if members:
            say(f"{each.package or 'the workspace'}:")
        for line in history.table(each, terminal_columns()):
            say(line)
    if request.json is not None:
        document = {**history.as_json(whole), "members": [history.as_json(each) for each in members]}
        files.write_report(request.json, json.dumps(document, indent=1) + "\n")
    if request.badge is not None:
        if len(shown) > 1:
            raise UserError(
                "a badge is of one record", where="--badge", fix="name the member: --package NAME"
            )
        files.write_report(request.badge, history.badge(_latest(shown[0])))


def _latest(course: history.History) -> Fraction:
    """Return what the last version says for this architecture, else for the one it names first."""
    values = course.versions[-1].values
    if not values:
        raise UserError("nothing is recorded now", where=course.path, fix="record coverage, and commit it")
    return values.get(machine(), next(iter(values.values())))[0]
