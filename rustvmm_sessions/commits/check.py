"""The commit check: every message between upstream and HEAD, or one message, by the crate's rules."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from rustvmm_sessions import files
from rustvmm_sessions.commits import rules as commits
from rustvmm_sessions.commits.rules import Message
from rustvmm_sessions.console import say
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git import upstream
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.settings import CommitRules
from rustvmm_sessions.wording import counted

_PLAIN = (
    *("-c", "log.showSignature=false"),
    *("-c", "core.commentChar=#", "-c", "trailer.separators=:"),  # both decide what a trailer is
)
"""Settings that make a verdict the same on every machine."""

_HOOK_MARK = "# Installed by rustvmm-sessions."
_HOOK = """\
#!/bin/sh
{mark} It checks the message of each commit; `git commit --no-verify` passes it by.
case $(head -n 1 "$1") in
"fixup! "* | "squash! "* | "amend! "*) exit 0 ;; # to be squashed before they are pushed
esac
message=$(realpath "$1") && cd {place} && {command} "$message"
"""


@dataclass(frozen=True, kw_only=True)
class CommitFormatRequest:
    """What a commit check is asked to do.

    Attributes:
        directory: A directory of the repository.
        rules: What is asked of messages.
    """

    directory: Path
    rules: CommitRules = field(default_factory=CommitRules)

    @property
    def git(self) -> Git:
        """Git of the repository."""
        return Git(directory=self.directory)


def check_commits(request: CommitFormatRequest) -> None:
    """Check the commits between upstream and HEAD, all of them, and say all that is wrong.

    Raises:
        CheckFailed: A message breaks a rule.
        UserError: It cannot be said which commits these are.
    """
    git = request.git
    base = upstream.find_base(git, fetch=True)
    found = commits.parse_log(
        git.output(
            *(*_PLAIN, "log", "--reverse", "--no-color", "--encoding=UTF-8"),
            *(f"--format={commits.LOG_FORMAT}", "--end-of-options", f"{base.tip}..HEAD", "--"),
        )
    )
    if not found:
        say(f"There are no commits between {base.name} ({base.tip[:12]}) and HEAD: nothing to check.")
        return
    reasons = [commits.exempt(commit, request.rules) for commit in found]
    say(f"{counted(len(found), 'commit')} since {base.name} ({base.commit[:12]}).")
    for commit, reason in zip(found, reasons, strict=True):
        if reason:
            say(f"  not checked: {commit.short} {commit.message.title} ({reason})")
    checked = [commit for commit, reason in zip(found, reasons, strict=True) if not reason]
    wrong = 0
    total = 0
    for commit in checked:
        faults = commits.faults(commit.message, request.rules)
        wrong += bool(faults)
        total += len(faults)
        if faults:
            say(f"{commit.short} {commit.message.title}")
        for fault in faults:
            mend = commits.command(fault, commit, head=commit is found[-1], base=base.commit[:12])
            say(f"  {fault.rule}: {fault.what}\n    to do: {mend}")
    if total:
        raise CheckFailed(
            f"{counted(total, 'fault')} in {wrong} of {counted(len(checked), 'commit message')}; see above"
        )
    say(f"{counted(len(checked), 'commit message')} as {'it' if len(checked) == 1 else 'they'} should be.")


def check_message(request: CommitFormatRequest, path: Path) -> None:
    """Check the message in a file, as git gives it to a commit-msg hook.

    Raises:
        CheckFailed: It breaks a rule.
        UserError: The file cannot be read.
    """
    git = request.git
    text = files.read_text(path, encoding=git.line("config", "i18n.commitEncoding") or "utf-8")
    if text is None:
        raise UserError("there is no such file", where=str(path), fix="name the file with the message")
    if git.commit("MERGE_HEAD") or _amends_merge(git):
        say("A merge is not checked.")
        return
    comment = git.line("config", "core.commentString") or git.line("config", "core.commentChar") or "#"
    edited = os.environ.get("GIT_EDITOR") != ":"  # so git tells its hooks that there is no editor
    strips = commits.strips_comments(git.line("config", "commit.cleanup") or "", edited=edited)
    cleaned = commits.cleaned(text, comment, strips=strips)
    faults = commits.faults(Message(text=cleaned, trailers=_trailers(git, cleaned)), request.rules)
    for fault in faults:
        say(f"{fault.rule}: {fault.what}")
    if faults:
        raise CheckFailed(f"{counted(len(faults), 'fault')} in the commit message; its text is in {path}")


def _amends_merge(git: Git) -> bool:
    """Whether git calls us as its hook to amend a merge.

    It does not say so, but names the author's date, which an amended commit keeps.
    """
    date = git.line(*_PLAIN, "log", "--max-count=1", "--format=@%ad", "--date=raw", "HEAD")
    return date == os.environ.get("GIT_AUTHOR_DATE") and git.commit("HEAD^2") is not None


def _trailers(git: Git, text: str) -> tuple[tuple[str, str], ...]:
    with tempfile.NamedTemporaryFile("w", prefix="rustvmm-message-") as file:
        file.write(text + "\n")
        file.flush()
        found = git.output(*_PLAIN, "interpret-trailers", "--parse", "--no-divider", file.name)
    return commits.parse_trailers(found)


def install_hook(request: CommitFormatRequest, command: tuple[str, ...]) -> None:
    """Install a commit-msg hook that runs a command in the directory, the message's file as last argument.

    Raises:
        UserError: There is no repository, a hook of somebody else's, or the hooks of this
            repository are those of others as well.
    """
    git = request.git
    git.require_repository()
    if git.line("config", "core.hooksPath") == "":
        raise UserError(
            "core.hooksPath is empty: git runs no hooks here",
            where=str(request.directory),
            fix="take it out: `git config --unset core.hooksPath`",
        )
    folder = git.output("rev-parse", "--git-path", "hooks").rstrip("\n")
    common = git.output("rev-parse", "--path-format=absolute", "--git-common-dir").rstrip("\n")
    hook = (request.directory / folder / "commit-msg").resolve()
    top = git.top or Path(common)
    place = os.path.relpath(request.directory.resolve(), top.resolve())  # git starts hooks at the top
    text = _HOOK.format(mark=_HOOK_MARK, place=shlex.quote(place), command=shlex.join(command))
    if not any(hook.is_relative_to(Path(place).resolve()) for place in (common, top)):
        raise UserError(
            "core.hooksPath leads out of this repository: the hook would run in others, too",
            where=str(hook.parent),
            fix=f'call this in its commit-msg: {shlex.join(command)} "$1"',
        )
    before = files.read_text(hook)
    if before is not None and _HOOK_MARK not in before:
        raise UserError(
            "there is a commit-msg hook already; it is left as it is",
            where=str(hook),
            fix=f'add this line to it: {shlex.join(command)} "$1" || exit 1',
        )
    if before == text and os.access(hook, os.X_OK):
        say(f"The hook is installed already: {hook}")
        return
    files.write_atomic(hook, text)
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    say(f"Installed {hook}")
