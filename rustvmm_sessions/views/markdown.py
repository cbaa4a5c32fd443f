"""A session's result in Markdown, for job summaries of GitHub and annotations of Buildkite.

Both render GitHub's flavor. All that comes from elsewhere is escaped, or stands in a code block.
"""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from rustvmm_sessions.errors import printable
from rustvmm_sessions.results import ESCAPES
from rustvmm_sessions.wording import counted, escaped, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rustvmm_sessions.results import Finding, Result, Table

MOST_BYTES = 1 << 20
"""What both take at most."""
_ENDING = "\n{} left out: this would be more than 1 MiB. The log has them.\n"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A piece of the document that can be cut at a whole line.

    Attributes:
        head: What it begins with, if there is any of it.
        lines: What it consists of.
        foot: What it ends with.
    """

    head: str = ""
    lines: tuple[str, ...] = ()
    foot: str = ""


def markdown(result: Result, source: str = "", most: int = MOST_BYTES) -> str:
    """Return a result in Markdown of at most `most` bytes, what matters most first.

    Args:
        result: The result.
        source: The address of the repository's files at this commit, for links; empty for none.
        most: Lines that find no room are counted in its last line. It is at least 1000.
    """
    return _fitted(tuple(_blocks(result, source)), most)


def _blocks(result: Result, source: str) -> Iterator[Block]:
    said = result.message.strip("\n").splitlines()
    first = result.verdict or "".join(said[:1])
    end = f": {prose(first)}" if first else ""
    yield Block(head=f"### {prose(one_line(result.session))} {result.result}{end}\n")
    if len(said) > 1:
        yield _code_block(textwrap.dedent("\n".join(said[0 if result.verdict else 1 :])).splitlines())
    if result.result == "failed" and result.repeat:
        yield Block(head=f"\nRun it again: {code(result.repeat)}\n")
    figures = [f"{prose(name)}: {prose(value)}" for name, value in result.figures]
    if result.tests:
        figures.append("tests: " + ", ".join(f"{n} {how}" for how, n in result.tests.items() if n))
    yield _list("", figures)
    changed = [each for each in result.findings if _is_place(each)]
    in_table = "bench" if result.tables else ""  # which has each benchmark
    others = [each for each in result.findings if not _is_place(each) and each.kind != in_table]
    for finding in sorted(others, key=lambda each: ("error", "warning", "notice").index(each.level)):
        yield _finding(finding, source)
    yield _list("Not covered:", [f"{_place(each, source)} {prose(one_line(each.title))}" for each in changed])
    yield _list("", [prose(note) for note in result.notes])
    for why, command in result.steps:
        shown = _code_block([escaped(command)])  # not indented: after a list that would be part of it
        yield replace(shown, head=f"\n{prose(why)}\n{shown.head}")
    for table in result.tables:
        yield _table(table)
    if result.result == "failed" and result.output and not result.findings:
        yield _details("The end of the output", ESCAPES.sub("", result.output).splitlines())


def _is_place(finding: Finding) -> bool:
    """Whether a finding says all that it does by its place."""
    return finding.kind == "coverage" and not finding.message and finding.line is not None


def _finding(finding: Finding, source: str) -> Block:
    place = _place(finding, source)
    title = f"{entities(one_line(finding.title))}{f' {place}' if place else ''}"
    lines = finding.message.strip("\n").splitlines()
    if not lines or lines == [finding.title]:
        return Block(head=f"\n- {title}\n")
    return _details(title, lines, opened=finding.kind == "test")


def _details(title: str, lines: Sequence[str], *, opened: bool = False) -> Block:
    """Return lines that are folded under a title, which is HTML."""
    inner = _code_block(lines)
    return Block(
        head=f"\n<details{' open' if opened else ''}><summary>{title}</summary>\n{inner.head}",
        lines=inner.lines,
        foot=f"{inner.foot}\n</details>\n",
    )


def _place(finding: Finding, source: str) -> str:
    """Return where a finding is, in HTML: it is a link where there is an address."""
    if finding.file is None:
        return ""
    last = finding.end_line if finding.end_line and finding.end_line != finding.line else None
    named = f"{finding.file}{f':{finding.line}' if finding.line else ''}{f'-{last}' if last else ''}"
    shown = f"<code>{entities(one_line(named))}</code>"
    if not source:
        return shown
    lines = f"#L{finding.line}{f'-L{last}' if last else ''}" if finding.line else ""
    address = f"{source}/{quote(finding.file, errors='replace')}{lines}"
    return f'<a href="{html.escape(address)}">{shown}</a>'


def _list(title: str, items: Sequence[str]) -> Block:
    if not items:
        return Block()
    return Block(head=f"\n{title}\n\n" if title else "\n", lines=tuple(f"- {item}\n" for item in items))


def _table(table: Table) -> Block:
    if not table.rows:
        return Block()
    marks = ("--:" if number in table.right else ":--" for number in range(len(table.head)))
    head = f"| {' | '.join(map(prose, table.head))} |\n|{'|'.join(marks)}|\n"
    lines = tuple(f"| {' | '.join((code(name), *map(prose, cells)))} |\n" for name, *cells in table.rows)
    title = prose(table.title)
    if table.folded:
        opening = f"\n<details><summary>{title}</summary>\n\n"
        return Block(head=opening + head, lines=lines, foot="\n</details>\n")
    return Block(head=f"\n{title}\n\n{head}" if title else f"\n{head}", lines=lines)


def _code_block(lines: Sequence[str]) -> Block:
    """Return a fenced block, whose fence is longer than any in it."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return Block(
        head=f"\n{fence}text\n", lines=tuple(f"{printable(line)}\n" for line in lines), foot=f"{fence}\n"
    )


def code(text: str) -> str:
    """Write a code span, in which nothing has a meaning.

    A backtick would end it, and renderers differ on bars in code inside a table: a name that has
    one is written in HTML, with every character that could have a meaning by its number.
    """
    line = one_line(text)
    return f"<code>{entities(line)}</code>" if re.search(r"[`|]", line) or not line.strip() else f"`{line}`"


def prose(text: str) -> str:
    """Write foreign text so that no character of it has a meaning."""
    return entities(escaped(text))


def entities(text: str) -> str:
    """Write every character that could have a meaning in Markdown or HTML by its number."""
    written = re.sub(
        r"[^\w ,;()-]|_|^\W|^\d+\)",  # what may begin a list or a line only there
        lambda match: "".join(f"&#{ord(char)};" for char in match[0]),
        text,
    )
    return written.replace("&#64;", "&#64;<!-- -->")  # after an at sign alone renderers look for addresses


def _fitted(blocks: Iterable[Block], most: int) -> str:
    """Return as much as finds room; in a block that does not as a whole, as many of its lines."""
    room = most - len(_ENDING.encode()) - len("1000000000 lines")
    parts: list[str] = []
    left_out = 0
    for block in blocks:
        around = len(block.head.encode()) + len(block.foot.encode())
        if around == 0 and not block.lines:
            continue
        if left_out or around > room:
            left_out += max(1, len(block.lines))
            continue
        room -= around
        fitting = []
        for line in block.lines:
            size = len(line.encode())
            if size > room:
                break
            room -= size
            fitting.append(line)
        left_out += len(block.lines) - len(fitting)
        parts += [block.head, *fitting, block.foot]
    if left_out:
        parts.append(_ENDING.format(counted(left_out, "line")))
    return "".join(parts)
