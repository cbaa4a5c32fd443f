"""The one kind of error that is the user's to fix, and how foreign text is printed."""

from __future__ import annotations

import unicodedata

MOST_CHARACTERS = 1000
"""What a line of a message may have; some 12 lines of a terminal."""
_END = 400


class UserError(Exception):
    """A problem of the user's: configuration, a missing tool, a bad option, a wrong file.

    It is caught in one place and printed as cargo prints its errors, without a traceback.

    Args:
        what: What is wrong, in one sentence.
        where: The file and line, the key, the option or the variable; empty if `what` says it.
        fix: What to do about it, preferably a command; empty if there is nothing to add.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f" --> {self.where}")
        if self.fix:
            lines.append(f"help: {self.fix}")
        return printable(shortened("\n".join(lines)))


class CheckFailed(Exception):  # noqa: N818 - a verdict, not a fault of the program or its user
    """A check ran and did not pass; the message is its last word on why.

    Args:
        what: Why, and what to do about it.
        fix: What to do about it in one line, for the summary of a run of several sessions; empty
            where the first line of `what` says it.
        output: What the failing program printed, for the same summary.
        status: The exit status to end with, where nothing else is run; that of the program whose
            status is passed on.
    """

    def __init__(self, what: str, *, fix: str = "", output: str = "", status: int = 1) -> None:
        self.fix = fix
        self.output = output
        self.status = status
        super().__init__(what)

    def __str__(self) -> str:
        return printable(super().__str__())


class Skipped(Exception):  # noqa: N818 - neither a fault nor a verdict
    """A session has nothing to do here; the message is the reason."""


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return `text` with the middle taken out of lines of more than `most` characters.

    A message repeats what is wrong, which may be a value of any length. What is to be copied is shorter.
    """
    return "\n".join(
        line if len(line) <= most else f"{line[:_END]}[...]{line[-_END:]}" for line in text.split("\n")
    )


def printable(text: str) -> str:
    r"""Return `text` with control and direction-changing characters escaped.

    Newlines and tabs stay: the text may be a message of several lines. Everything else of
    Unicode's categories Cc, Cf and Cs is written as ``\x1b`` or ``\u202e``, so that a file name
    or a branch cannot move the cursor or reorder what is read.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
        else char.encode("unicode_escape" if char < "\ud800" else "ascii", "backslashreplace").decode()
        for char in text
    )
