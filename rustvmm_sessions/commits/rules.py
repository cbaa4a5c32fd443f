"""What a commit message must look like, and how git's log of a range is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rustvmm_sessions.settings import CommitRules

LOG_FORMAT = "%h%x00%P%x00%ae%x00%B%x00%(trailers:only,unfold)%x00"
"""For ``git log --format=``: what `parse_log` reads."""

_FIELDS = 5
_SQUASHED = re.compile(r"(fixup|squash|amend)! ")
_REVERT = re.compile(r'(?:Revert|Reapply) "(.+)"')
_REFERENCE = r"[0-9a-f]{4,64}(?: \(.+, \d{4}-\d\d-\d\d\))?"  # the second form: revert --reference
_BY_GIT = re.compile(
    rf"This reverts commit {_REFERENCE}(?:\.|, reversing)|changes made to {_REFERENCE}\."
    r"|\(cherry picked from commit [0-9a-f]{4,64}\)"
)
"""Lines that git itself writes; object names have 40 or 64 characters, and titles may follow them."""
_URL = re.compile(r"<?[A-Za-z][A-Za-z0-9+.-]*://\S+")
_PERSON = re.compile(r"[^<>\s][^<>]*<[^<>@\s]+@[^<>@\s]+>")
_COMMENT_CHARACTERS = "#;@!$%^&|:"
_SCISSORS = re.compile(r"\S+ -{8,} >8 -{8,}")


@dataclass(frozen=True, kw_only=True)
class Message:
    """A commit message.

    Attributes:
        text: All of it.
        trailers: Key and value of each trailer that git finds in it.
    """

    text: str
    trailers: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """The first line, without the carriage return that some programs leave at its end."""
        return self.text.partition("\n")[0].rstrip()


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit of a range.

    Attributes:
        short: Its abbreviated name.
        parents: The full names of its parents; none for a root, and for the edge of a shallow clone.
        author: The author's address.
        message: What it says.
    """

    short: str
    parents: tuple[str, ...]
    author: str
    message: Message


class Remedy(StrEnum):
    """What is to be done about a fault."""

    REWORD = "reword"
    SIGN = "sign"
    SQUASH = "squash"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with a message.

    Attributes:
        rule: ``title``, ``blank-line``, ``body``, ``sign-off`` or ``fixup``.
        what: What is wrong, in one sentence.
        remedy: What is to be done about it.
    """

    rule: str
    what: str
    remedy: Remedy = Remedy.REWORD


def parse_log(output: str) -> tuple[Commit, ...]:
    """Read what ``git log --format=LOG_FORMAT`` prints."""
    parts = output.split("\0")
    return tuple(
        Commit(
            short=short.lstrip("\n"),
            parents=tuple(parents.split()),
            author=author,
            message=Message(text=text.rstrip(), trailers=parse_trailers(trailers)),
        )
        for short, parents, author, text, trailers in zip(
            *(parts[n : len(parts) - 1 : _FIELDS] for n in range(_FIELDS)), strict=True
        )
    )


def parse_trailers(lines: str) -> tuple[tuple[str, str], ...]:
    """Read trailers as git prints them: ``Key: value``, one a line."""
    pairs = (line.partition(":") for line in lines.split("\n"))  # no other character ends a line for git
    return tuple((key.strip(), value.strip()) for key, separator, value in pairs if separator)


def cleaned(text: str, comment: str, *, strips: bool) -> str:
    """Return the message that git will make of the file that it gives to a commit-msg hook.

    Args:
        text: The file's content.
        comment: What starts a comment, ``core.commentChar``; ``auto`` for what git has chosen, which
            stands alone in a line of what it writes into the editor.
        strips: Whether git takes comments out, see `strips_comments`.
    """
    given = text.split("\n")
    if comment == "auto":
        comment = next((char for char in _COMMENT_CHARACTERS if char in given), "#")
    lines = []
    for line in given:
        if line.startswith(comment):
            if _SCISSORS.fullmatch(line):
                break
            if strips:
                continue
        lines.append(line.rstrip())
    return "\n".join(lines).strip("\n")


def strips_comments(cleanup: str, *, edited: bool) -> bool:
    """Whether git takes comments out of a message.

    Args:
        cleanup: ``commit.cleanup``; empty where it is not set.
        edited: Whether an editor showed the message.
    """
    return cleanup == "strip" or (cleanup in ("", "default") and edited)


def exempt(commit: Commit, rules: CommitRules) -> str:
    """Return why a commit is not checked, or an empty string."""
    if len(commit.parents) > 1:
        return "merge"
    return f"by {commit.author}" if commit.author in rules.exempt else ""


def faults(message: Message, rules: CommitRules) -> tuple[Fault, ...]:
    """Return everything that is wrong with a message."""
    if not message.text.strip():
        return (Fault(rule="title", what="the message is empty"),)
    return (*_of_title(message, rules), *_of_body(message, rules), *_of_sign_off(message, rules))


def _of_title(message: Message, rules: CommitRules) -> list[Fault]:
    found = []
    title = message.title
    while squashed := _SQUASHED.match(title):
        what = f"{squashed[1]}! commits are to be squashed into those they fix"
        found = [Fault(rule="fixup", what=what, remedy=Remedy.SQUASH)]
        title = title[squashed.end() :]
    while reverted := _REVERT.fullmatch(title):
        title = reverted[1]
    if len(title) > rules.title:
        what = f"the title has {len(title)} characters, {rules.title} are allowed"
        found.append(Fault(rule="title", what=what))
    second = message.text.split("\n")[1:2]
    if second and second[0].strip():
        found.append(Fault(rule="blank-line", what="the line below the title is not blank"))
    return found


def _of_body(message: Message, rules: CommitRules) -> list[Fault]:
    lines = [line.rstrip() for line in message.text.split("\n")]
    last_blank = max((number for number, line in enumerate(lines) if not line), default=len(lines))
    keys = tuple(f"{key}:".lower() for key, _ in message.trailers)
    found = []
    for number, line in enumerate(lines[1:], 1):
        if len(line) <= rules.body or line.startswith((" ", "\t", ">")) or _BY_GIT.fullmatch(line):
            continue
        if number > last_blank and re.sub(r"[ \t]+:", ":", line.lower(), count=1).startswith(keys):
            continue
        if len(_URL.sub("", line).rstrip()) > rules.body:
            what = f"line {number + 1} has {len(line)} characters, {rules.body} are allowed: {line[:40]}..."
            found.append(Fault(rule="body", what=what))
    return found


def _of_sign_off(message: Message, rules: CommitRules) -> list[Fault]:
    if not rules.signed_off:
        return []
    signed = [value for key, value in message.trailers if key.lower() == "signed-off-by"]
    if any(_PERSON.fullmatch(value) for value in signed):
        return []
    remedy = Remedy.REWORD
    if signed:
        what = f"the sign-off {signed[0]!r} is not a name and an address: Signed-off-by: Name <address>"
    elif re.search(r"(?im)^\s*signed-off-by\s*:", message.text):
        what = "the Signed-off-by line is no trailer: it belongs into the last paragraph, below a blank line"
    else:
        what = "there is no trailer Signed-off-by: Name <address>"
        remedy = Remedy.SIGN
    return [Fault(rule="sign-off", what=what, remedy=remedy)]


def command(fault: Fault, commit: Commit, *, head: bool, base: str) -> str:
    """Return the command that fixes a fault of a commit.

    Args:
        fault: The fault.
        commit: The commit.
        head: Whether it is the last commit of the branch.
        base: The commit that the branch starts from.
    """
    if fault.remedy is Remedy.SQUASH:
        return f"git rebase --interactive --autosquash {base}"
    if fault.remedy is Remedy.SIGN:
        return "git commit --amend --no-edit --signoff" if head else f"git rebase --signoff {base}"
    if head:
        return "git commit --amend"
    return f"git rebase --interactive {commit.short}^  # and mark {commit.short} as reword"
