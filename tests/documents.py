"""The pages that users read, their code blocks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.crates import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PAGES = tuple(sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]))
_BLOCK = re.compile(
    r"(?:^<!-- in: (?P<place>\S+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced code block of a page.

    Attributes:
        page: The file.
        language: The word after the fence.
        text: What is in it.
        place: The sample that its commands run in; empty where the page names none.
    """

    page: Path
    language: str
    text: str
    place: str


def blocks(page: Path) -> list[Block]:
    return [
        Block(page=page, language=found["language"], text=found["text"], place=found["place"] or "")
        for found in _BLOCK.finditer(page.read_text())
    ]


def commands(page: Path) -> list[list[str]]:
    """Return the words of each command in a page: of blocks, of indented lines, and in the text."""
    text = page.read_text()
    inline = re.findall(r"(?<!`)`((?:nox|rustvmm-sessions) [^`]+)`", _BLOCK.sub("", text))
    shell = [line for block in blocks(page) if block.language == "sh" for line in block.text.splitlines()]
    shown = [line[2:] for b in blocks(page) for line in b.text.splitlines() if line.startswith("$ ")]
    indented = re.findall(r"^    (python3 -m venv .*)$", text, re.MULTILINE)
    return [words for line in (*inline, *shell, *shown, *indented) for words in _simple(line)]


def _simple(line: str) -> list[list[str]]:
    """Split a line at ``|`` and ``&&`` into commands; a Markdown table escapes the first."""
    lexer = shlex.shlex(line.replace("\\|", "|"), posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;"):
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in found if words]
