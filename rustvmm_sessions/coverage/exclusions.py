r"""The patterns of ``exclude_path``, in the dialect that counts: llvm-cov's, which is POSIX's extended.

llvm-cov takes ``\b`` for the letter b, and a pattern that it cannot read for none at all. What has no
meaning there is refused, and what has another one in Python is translated.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    \\.                                             # an escaped character
    | \[\^?\]?(?:\[:.*?:\]|\[\..*?\.\]|\[=.*?=\]|[^\]])*\]   # a set in brackets
    | \{[0-9]+(?:,[0-9]*)?\}                        # a number of repetitions
    | .
    """,
    re.DOTALL | re.VERBOSE,
)
_IN_SET = re.compile(r"\[:.*?:\]|.", re.DOTALL)
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r"\t\x20",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\t-\r\x20",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_WORD_EDGES = {"[[:<:]]": r"\b(?=\w)", "[[:>:]]": r"\b(?<=\w)"}
_INSTEAD = {
    "d": "[0-9]",
    "w": "[[:alnum:]_]",
    "s": "[[:space:]]",
    "b": "[[:<:]] before a word and [[:>:]] behind it",
    "D": "[^0-9]",
    "W": "[^[:alnum:]_]",
    "S": "[^[:space:]]",
    "A": "^",
    "Z": "$",
}


class PatternError(ValueError):
    """A pattern that means nothing to llvm-cov, or nothing that it seems to."""


def split_patterns(value: str) -> tuple[str, ...]:
    """Split ``exclude_path`` at each ``|`` and comma that stands outside all brackets."""
    patterns = [""]
    depth = 0
    for piece in _TOKEN.findall(value):
        if piece in ("|", ",") and depth == 0:
            patterns.append("")
            continue
        patterns[-1] += piece
        depth += (piece == "(") - (piece == ")")
    return tuple(stripped for pattern in patterns if (stripped := pattern.strip()))


def python_pattern(pattern: str) -> str:
    """Return what matches in Python what `pattern` matches in llvm-cov.

    Raises:
        PatternError: It is no extended regular expression of POSIX.
    """
    translated = ""
    before = "("  # what may not be repeated
    for piece in _TOKEN.findall(pattern):
        repeats = piece in ("*", "+", "?") or (len(piece) > 1 and piece[0] == "{")
        if repeats and before == "(" and piece == "?" and translated.endswith("("):
            raise PatternError("`(?` has no meaning in it, such as that of a look-ahead")
        if repeats and before in ("(", "|", "*"):
            raise PatternError(f"`{piece}` repeats nothing, or a repetition")
        if before in ("(", "|") and piece in ("|", ")"):
            raise PatternError("an alternative is empty")
        translated += _translated(piece)
        before = "*" if repeats else piece
    if before == "|":
        raise PatternError("an alternative is empty")
    try:
        re.compile(translated)
    except re.error as error:
        raise PatternError(str(error)) from error
    return translated


def _translated(piece: str) -> str:
    if piece[0] == "\\":
        if len(piece) == 1:
            raise PatternError("a backslash stands at its end")
        if piece[1].isalnum() and piece[1] not in "123456789":
            instead = f"; write {_INSTEAD[piece[1]]}" if piece[1] in _INSTEAD else ""
            raise PatternError(f"`{piece}` has no meaning in it but the character itself{instead}")
        return piece if piece[1].isdigit() else re.escape(piece[1])
    if piece[0] == "[":
        return _WORD_EDGES.get(piece) or _set(piece)
    return r"\{" if piece == "{" else piece


def _set(piece: str) -> str:
    if len(piece) == 1:
        raise PatternError("a `[` is not closed")
    negated = "^" if piece[1] == "^" else ""
    translated = ""
    for part in _IN_SET.findall(piece[1 + len(negated) : -1]):
        if len(part) > 1:
            if part[2:-2] not in _CLASSES:
                raise PatternError(f"there is no class `{part}`")
            translated += _CLASSES[part[2:-2]]
        elif translated.endswith(r"\\") and part.isalnum():
            raise PatternError(f"in brackets a backslash stands for itself, before `{part}` too")
        else:
            translated += part if part == "-" or part.isalnum() else re.escape(part)
    if "[." in piece or "[=" in piece:
        raise PatternError("`[.` and `[=` are not known here")
    return f"[{negated}{translated}]"
