"""The commands of a shell script, as far as its text alone tells them."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNS = "();<>|&\n"
_SHELL_OPTION = re.compile(r"-\w*c")


def commands_of(script: str) -> Iterator[list[str]]:
    """Yield the words of each command, after the sign before it: ``|``, ``<`` for an input, or another."""
    lexer = shlex.shlex(script.replace("\\\n", " ").replace("`", "\n"), posix=True, punctuation_chars=_SIGNS)
    lexer.whitespace, lexer.whitespace_split = " \t\r", True
    try:
        tokens = list(lexer)
    except ValueError:  # a quote without its end
        tokens = script.split()
    words = ["\n"]
    for token in tokens:
        if not token or not set(token) <= set(_SIGNS):
            if words[-1] == "eval" or _SHELL_OPTION.fullmatch(words[-1]):
                yield from commands_of(token)
            words.append(token)
        elif token[0] == "<":
            words[0] = "<"  # the file's name follows
        else:
            yield words
            words = ["|" if token in ("|", "|&") else "\n"]
    yield words
