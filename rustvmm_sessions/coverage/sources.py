"""The pages of sources, and what all pages of a coverage run show."""

from __future__ import annotations

import html
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from rustvmm_sessions.coverage import explain
from rustvmm_sessions.coverage.measurement import numbers, spans
from rustvmm_sessions.page import document, text
from rustvmm_sessions.wording import counted, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from rustvmm_sessions.coverage.history import History
    from rustvmm_sessions.coverage.measurement import (
        ChangedLines,
        Decision,
        FileCoverage,
        Lines,
        Measurement,
        Ranges,
        Recorded,
    )


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What was measured, and when.

    Attributes:
        commit: HEAD's; empty outside of git.
        dirty: Whether files differ from it.
        address: What a commit's hash makes a web address of; empty where the forge is not known.
        time: In seconds since 1970.
    """

    commit: str
    dirty: bool
    address: str
    time: int


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the pages of a crate show.

    Attributes:
        crate: Its name.
        revision: What was measured, and when.
        machine: Where.
        measurement: What was measured.
        recorded: What is recorded.
        decision: What follows.
        passed: Whether the check passes, changed lines included.
        record: The file that says what is recorded.
        commands: What to do next.
        changed: The coverage of changed lines, where they are known.
        required: The percentage of them that must be covered.
        counts: How often each line ran, by measured path and number, as the LCOV tracefile of the run has it.
        history: The record's course, where there is one.
        top: Where the page of all members is, from this site's first page; empty where there is none.
    """

    crate: str
    revision: Revision
    machine: str
    measurement: Measurement
    recorded: Recorded | None
    decision: Decision
    passed: bool
    record: str
    commands: Sequence[str]
    changed: ChangedLines | None
    required: Fraction | None
    counts: Mapping[str, Mapping[int, int]]
    history: History | None = None
    top: str = ""
    unstable: Mapping[str, frozenset[int]] = field(init=False)

    def __post_init__(self) -> None:
        varying: dict[str, set[int]] = defaultdict(set)
        for line in self.measurement.unstable:
            varying[line.path].add(line.line)
        object.__setattr__(self, "unstable", {path: frozenset(lines) for path, lines in varying.items()})

    def touched(self, path: str) -> frozenset[int]:
        """Return the changed lines of a file."""
        return frozenset(numbers(self.changed.touched.get(path, ()) if self.changed else ()))

    def missed(self, file: FileCoverage) -> Ranges:
        """Return the changed lines of a file that were not reached."""
        return self.changed.missed(file) if self.changed else ()


def read_lcov(lcov: str) -> dict[str, dict[int, int]]:
    """Return how often each line ran, by path, as an LCOV tracefile has it."""
    found: dict[str, dict[int, int]] = {}
    lines: dict[int, int] = {}
    for record in lcov.splitlines():
        if record.startswith("DA:"):
            number, count, *_ = record[3:].split(",")
            lines[int(number)] = lines.get(int(number), 0) + int(count)
        elif record.startswith("SF:"):
            lines = found.setdefault(record[3:], {})
    return found


def place(path: str) -> str:
    """Return the page of a measured file, from the crate's page."""
    return f"files/{path.lstrip('/')}.html"


def link(path: str, line: int | None = None) -> str:
    """Return the link to the page of a measured file, from the crate's page."""
    return html.escape(quote(place(path)) + (f"#L{line}" if line else ""))


def lines_of(source: str | None) -> list[str]:
    """Return the lines of a source, as rustc counts them."""
    return source.removesuffix("\n").split("\n") if source else []


def broken(path: str) -> str:
    """Return a path as HTML that may go to the next line behind each slash."""
    return text(path).replace("/", "/<wbr>")


def percent(lines: Lines) -> str:
    """Write a percentage; of no line all are covered."""
    return f"{rounded(lines.percent, 2) if lines.count else 100}\N{NO-BREAK SPACE}%"


def source_page(site: Site, file: FileCoverage, source: str | None) -> str:
    """Return the page of a source; its lines are those of the tracefile."""
    counts = site.counts.get(file.path, {})
    rows = lines_of(source)
    last = max([len(rows), *counts])
    where = ", and ".join(filter(None, (_links(file.uncovered), explain.hidden(file))))
    said = [f"{file.lines.uncovered} not covered: {where}" if where else "All of them are covered"]
    if missed := site.missed(file):
        said.append(f"Changed and not covered: {_links(missed)}")
    if varying := site.unstable.get(file.path):
        said.append(f"Not reached by every run: {_links(spans(sorted(varying)))}")
    if source is None:
        said.append("The source cannot be read; these are the counts alone")
    name = text(file.path)
    body = (
        f'<nav><a href="{"../" * place(file.path).count("/")}index.html">{text(site.crate)}</a></nav>\n',
        f"<header>\n<h1>{name}: {percent(file.lines)}</h1>\n",
        f"<p>{counted(file.lines.count, 'line')} that can be covered, {file.lines.covered} covered</p>\n",
        "</header>\n<main>\n",
        *(f"<p>{sentence}.</p>\n" for sentence in said),
        listing(site, file.path, rows, ((1, last),) if last else ()),
        "</main>\n",
    )
    title = f"{name}: coverage of {text(site.crate)}"
    return document(title=title, body="".join(body), style=LISTING_STYLE)


def _links(ranges: Ranges) -> str:
    return ", ".join(
        f'<a href="#L{first}">{first}{f"-{last}" if last > first else ""}</a>' for first, last in ranges
    )


def listing(site: Site, path: str, rows: Sequence[str], shown: Ranges, page: str = "") -> str:
    """Return lines of a source as a table.

    Args:
        site: What is known of them.
        path: The measured file.
        rows: Its lines.
        shown: The numbers of those to show.
        page: Where their anchors are, as HTML; empty for here.
    """
    counts, touched = site.counts.get(path, {}), site.touched(path)
    varying = site.unstable.get(path, frozenset())
    parts = [_LISTING_HEAD]
    for first, last in shown:
        parts.append("<tbody>\n")
        for number in range(first, last + 1):
            count = counts.get(number)
            state = "" if count is None else " class=h" if count else " class=u"
            signs = ("+" if number in touched else "") + ("~" if number in varying else "")
            line = text(rows[number - 1].rstrip("\r")) if number <= len(rows) else ""
            anchor = "" if page else f" id=L{number}"
            parts.append(
                f'<tr{anchor}{state}><th scope=row><a href="{page}#L{number}">{number}</a><td>{signs}<td>'
                f"{'' if count is None else count}<td>{line}\n"
            )
        parts.append("</tbody>\n")
    return "".join(parts) + "</table>\n"


_LISTING_HEAD = (
    '<table class="code"><colgroup><col class="l"><col class="s"><col class="r"><col></colgroup>\n<thead><tr>'
    '<th scope="col">line</th><th scope="col"><abbr title="+ changed, ~ not reached by every run">±</abbr>'
    '</th><th scope="col">runs</th><th scope="col">source</th></tr></thead>\n'
)
LISTING_STYLE = """
:root{--miss:#fdece2;--hit:#8fbf9f;--touch:#0060a8}
@media (prefers-color-scheme:dark){:root{--miss:#3a2012;--hit:#3f7d55;--touch:#6cb6ff}}
a{color:var(--good)}nav{font-size:.92em;margin-bottom:.6rem}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-weight:400}thead th{color:var(--soft);font-size:.86em;vertical-align:bottom}
.code{font:13px/1.45 ui-monospace,monospace;table-layout:fixed;margin:.5rem 0}
.l{width:3.6rem}.s{width:1.7rem}.r{width:4.6rem}
.code th,.code td{padding:0 .5rem 0 0;vertical-align:top}
.code th,.code td:nth-child(3){text-align:right;color:var(--soft);overflow-wrap:anywhere}
.code thead th{font:12px system-ui,sans-serif;padding-bottom:.2rem}
.code thead th:last-child{text-align:left;padding-left:.8rem}
.code td:nth-child(2){color:var(--touch);font-weight:700}
.code td:last-child{white-space:pre-wrap;overflow-wrap:anywhere;tab-size:4;padding-left:.6rem;
border-left:3px solid transparent}
.code a{color:inherit;text-decoration:none}.code a:hover{text-decoration:underline}
.code .h td:last-child{border-left-color:var(--hit)}
.code .u td{background:var(--miss)}.code .u td:nth-child(3){color:var(--bad);font-weight:700}
.code .u td:last-child{border-left:3px double var(--bad)}
.code tbody+tbody::before{content:"⋯";color:var(--soft);padding-left:.5rem}
.code tr:target{outline:2px solid var(--good);scroll-margin-top:8rem}
abbr{text-decoration:none}
@media (max-width:40rem){.code{font-size:12px}.l{width:2.7rem}.s{width:1.4rem}.r{width:3rem}
.code th,.code td{padding-right:.3rem}.code td:last-child{padding-left:.3rem}}
@media print{body{max-width:none}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
