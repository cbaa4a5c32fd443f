"""The page of a coverage run, and that of all members."""

from __future__ import annotations

import datetime as dt
import html
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from rustvmm_sessions.coverage import explain, history
from rustvmm_sessions.coverage.measurement import Lines, Ranges, Verdict, numbers, spans
from rustvmm_sessions.coverage.sources import (
    LISTING_STYLE,
    broken,
    lines_of,
    link,
    listing,
    percent,
    place,
    source_page,
)
from rustvmm_sessions.page import badge, document, facts, text
from rustvmm_sessions.wording import counted, rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rustvmm_sessions.coverage.history import History
    from rustvmm_sessions.coverage.measurement import FileCoverage
    from rustvmm_sessions.coverage.sources import Revision, Site

CONTEXT = 3
"""Lines shown around changed lines that are not covered."""
MOST_CHANGED = 400
"""Such lines shown on the first page; the rest is counted, and on the pages of the sources."""

_KINDS = {Verdict.EQUAL: "ok", Verdict.HIGHER: "good", Verdict.LOWER: "bad", Verdict.NONE: "undecided"}
_MARKS = {
    "ok": '<circle r="4.5"/>',
    "good": '<path d="M-6 4.5 0-7 6 4.5z"/>',
    "bad": '<path d="M-6-4.5 0 7 6-4.5z"/>',
    "undecided": '<path d="M0-6 6 0 0 6-6 0z"/>',
}
_WORDS = {
    Verdict.EQUAL: "equal to the record",
    Verdict.HIGHER: "higher than recorded",
    Verdict.LOWER: "lower than recorded",
    Verdict.NONE: "nothing recorded",
}


def pages(site: Site, source: Callable[[str], str | None]) -> Iterator[tuple[str, str]]:
    """Yield the pages of a crate, each with its path.

    Args:
        site: What they show.
        source: Returns the text of a measured file, None where it cannot be read.
    """
    for file in site.measurement.files:
        yield place(file.path), source_page(site, file, source(file.path))
    yield "index.html", crate_page(site, source)


# The crate's page


def crate_page(site: Site, source: Callable[[str], str | None]) -> str:
    """Return the first page."""
    lines = site.measurement.lines
    name = text(site.crate)
    said = explain.difference(site.decision, site.measurement, site.recorded)
    body = (
        f'<nav><a href="{site.top}">all members</a></nav>\n' if site.top else "",
        f'<header class="{_kind(site)}">\n<p>{_badges(site)}</p>\n',
        f"<h1>{name}: {percent(lines)} of lines covered</h1>\n",
        f"<p>{_commit(site.revision)}</p>\n</header>\n<main>\n",
        facts(_facts(site)),
        *(f"<p>{text(sentence)}</p>\n" for sentence in said),
        _pre(site.commands),
        _changed(site, source),
        _unstable(site),
        _files(site),
        _history(site.history, site.revision.time) if site.history else "",
        "</main>\n",
    )
    title = f"{name}: coverage {percent(lines)}"
    return document(title=title, body="".join(body), style=LISTING_STYLE + _STYLE, script=_SCRIPT)


def _pre(lines: Sequence[str]) -> str:
    return f"<pre>{text(chr(10).join(lines))}</pre>\n" if lines else ""


def _kind(site: Site) -> str:
    return "bad" if not site.passed and site.decision.passed else _KINDS[site.decision.verdict]


def _badges(site: Site) -> str:
    kind = _KINDS[site.decision.verdict]
    said = badge(kind, _MARKS[kind], _WORDS[site.decision.verdict])
    if short := explain.short(site.changed, site.required):
        said += " " + badge("bad", _MARKS["bad"], text(short))
    return f"{said} line coverage, check {'passed' if site.passed else 'failed'}"


def _commit(revision: Revision) -> str:
    time = f"{dt.datetime.fromtimestamp(revision.time, dt.UTC):%Y-%m-%d %H:%M} UTC"
    if not revision.commit:
        return time
    shown = _hash(revision.commit, revision.address)
    return f"commit {shown}{' with uncommitted changes' if revision.dirty else ''}, {time}"


def _hash(commit: str, address: str) -> str:
    shown = f"<code>{commit[:12]}</code>"
    return f'<a href="{html.escape(address + commit)}">{shown}</a>' if address else shown


def _facts(site: Site) -> Iterator[tuple[str, str]]:
    measurement = site.measurement
    yield "Measured", str(measurement.lines)
    yield "Recorded", text(explain.recorded(site.recorded, site.record).removeprefix("recorded: "))
    if site.changed:
        yield "Changed lines", _share(site.changed.lines, "none that can be covered")
    spread = measurement.spread
    if spread and spread.least != spread.most:
        yield f"In {spread.runs} runs", f"{spread.least.covered} to {spread.most.covered} lines covered"
    yield "Machine", text(site.machine)
    yield "Toolchain", text(f"rustc {measurement.toolchain}, counted by {measurement.backend}")


def _share(lines: Lines, nothing: str) -> str:
    return f"{lines.covered} of {lines.count} covered, {percent(lines)}" if lines.count else nothing


def _changed(site: Site, source: Callable[[str], str | None]) -> str:
    """Return the changed lines that are not covered, in their context."""
    changed = site.changed
    if changed is None:
        return ""
    since = f"since <code>{changed.base[:12]}</code>, the merge base with {text(changed.name)}"
    share = _share(changed.lines, "No line that can be covered was changed")
    parts = [f"<h2>Changed lines</h2>\n<p>{share} {since}.</p>\n"]
    left = MOST_CHANGED
    for file in site.measurement.files:
        if not (missed := site.missed(file)):
            continue
        lines = list(numbers(missed))
        shown, left = lines[: max(left, 0)], left - len(lines)
        name = f'<a href="{link(file.path, lines[0])}">{broken(file.path)}</a>'
        parts.append(f"<h3>{name} <small>{explain.ranges(missed)}</small></h3>\n")
        if shown:
            rows = lines_of(source(file.path))
            parts.append(listing(site, file.path, rows, _around(shown, len(rows)), link(file.path)))
    if left < 0:
        parts.append(f"<p>and {counted(-left, 'more line')}; the pages of the files have them.</p>\n")
    if changed.unknown:
        parts.append(f"<p>Changed, and not measured: {text(', '.join(changed.unknown))}.</p>\n")
    return "".join(parts)


def _around(lines: Sequence[int], last: int) -> Ranges:
    shown = {near for line in lines for near in range(line - CONTEXT, line + CONTEXT + 1)}
    return spans(sorted(line for line in shown if 1 <= line <= last))


def _unstable(site: Site) -> str:
    rows = []
    for path, lines in sorted(site.unstable.items()):
        where = spans(sorted(lines))
        shown = explain.ranges(where, len(where))
        rows.append(f'<li><a href="{link(path, min(lines))}">{text(path)}</a>: {shown}</li>\n')
    return f"<h2>Lines that not every run reaches</h2>\n<ul>\n{''.join(rows)}</ul>\n" if rows else ""


def _files(site: Site) -> str:
    files = sorted(site.measurement.files, key=lambda file: (-file.lines.uncovered, file.path))
    missed = {file.path: len(list(numbers(site.missed(file)))) for file in files}
    rows = []
    for file in files:
        number = missed[file.path]
        more = f'<td class="n" data-v="{number}">{number or ""}</td>' if any(missed.values()) else ""
        rows.append(_row(f'<a href="{link(file.path)}">{broken(file.path)}</a>', file.lines, more))
    heads = ("file", *_COLUMNS, *(["changed"] if any(missed.values()) else []))
    return (
        f'{_folder_table(site.measurement.files)}<h2 id="files">Files</h2>\n'
        '<p class="filter" hidden><label>Filter <input type="search" id="filter" '
        'placeholder="part of a path" autocomplete="off"></label> '
        '<output for="filter" id="sum"></output></p>\n'
        f"<div class=wide>{_sortable(heads, rows, 'list')}</div>\n"
    )


_COLUMNS = ("covered", "lines", "not covered")


def _sortable(heads: Sequence[str], rows: Sequence[str], name: str) -> str:
    """Return a table of which a click on a head sorts the rows, where scripts run."""
    cells = []
    for number, head in enumerate(heads):
        more = " data-up" if number < 2 else ""  # names from A, and what is covered least, first
        more += ' class="n"' if 0 < number <= len(_COLUMNS) or head == "changed" else ""
        more += ' aria-sort="descending"' if (name, head) == ("list", "not covered") else ""
        cells.append(f'<th scope="col"{more}>{head}</th>')
    return (
        f'<table class="sortable" id="{name}">\n<thead><tr>{"".join(cells)}</tr></thead>\n'
        f"<tbody>\n{''.join(rows)}</tbody>\n</table>\n"
    )


def _row(name: str, lines: Lines | None, more: str = "") -> str:
    if lines is None:
        return f'<tr><th scope="row">{name}</th><td></td><td></td><td></td>{more}</tr>\n'
    share = rounded(lines.percent, 2) if lines.count else 100
    return (
        f'<tr><th scope="row">{name}</th><td class="n" data-v="{share}"><span class="bar" aria-hidden="true">'
        f'<i style="width:{share}%"></i></span><span class="p">{percent(lines)}</span></td>'
        f'<td class="n" data-v="{lines.count}">{lines.count}</td>'
        f'<td class="n" data-v="{lines.uncovered}">{lines.uncovered}</td>{more}</tr>\n'
    )


def folders(files: Iterable[FileCoverage]) -> dict[str, Lines]:
    """Sum the files of each folder and those below; of folders with the same files only the last counts."""
    sums: dict[str, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for file in files:
        for depth, char in enumerate(file.path, 1):
            if char == "/":
                number, covered, count = sums[file.path[:depth]]
                sums[file.path[:depth]] = (number + 1, covered + file.lines.covered, count + file.lines.count)
    names = sorted(sums)
    return {
        name: Lines(covered=sums[name][1], count=sums[name][2])
        for name, following in zip(names, [*names[1:], ""], strict=True)
        if not (following.startswith(name) and sums[following][0] == sums[name][0])
    }


def _folder_table(files: Iterable[FileCoverage]) -> str:
    rows = [
        _row(f'<a href="#files" data-filter="{text(name)}">{broken(name)}</a>', lines)
        for name, lines in folders(files).items()
    ]
    return f"<h2>Folders</h2>\n{_sortable(('folder', *_COLUMNS), rows, 'folders')}" if len(rows) > 1 else ""


def _history(course: History, now: int) -> str:
    series = course.series
    remarks = "".join(f"<p>{text(remark)}</p>\n" for remark in course.remarks)
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in ("date", "commit", *series, "title"))
    rows = []
    for version, points in reversed(course.rows):
        cells = []
        for name in series:
            point = points.get(name)
            lowered = " " + badge("bad", history.LOWERED, "lowered") if point and point.lowered else ""
            cells.append(f"<td>{text(point.shown) if point else ''}{lowered}</td>")
        rows.append(
            f'<tr><th scope="row">{version.date}</th><td>{_hash(version.commit, course.address)}</td>'
            f"{''.join(cells)}<td>{text(version.title)}</td></tr>\n"
        )
    if not rows:
        return ""
    return (
        f"<h2>History of the record</h2>\n{history.chart(course, now)}{remarks}"
        f"<details><summary>{counted(len(rows), 'version')}</summary>\n"
        '<div class="wide versions" tabindex="0" role="group" aria-label="versions">'
        f"<table><thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{''.join(rows)}</tbody></table></div>\n</details>\n"
    )


# The page of all members


@dataclass(frozen=True, kw_only=True)
class Row:
    """A member on the page of all.

    Attributes:
        name: Its name.
        page: Its first page; empty where nothing was measured.
        lines: What was measured.
        recorded: What is recorded.
        verdict: What follows; None where that is not known.
        passed: Whether its check passed.
        why: Why not.
    """

    name: str
    page: str
    lines: Lines | None
    recorded: str
    verdict: Verdict | None
    passed: bool
    why: str = ""


def overview(title: str, revision: Revision, rows: Sequence[Row], said: Sequence[str]) -> str:
    """Return the page that leads to those of the members; `said` is said of all of them."""
    shown = []
    for row in rows:
        name = text(row.name)
        name = f'<a href="{html.escape(quote(row.page))}">{name}</a>' if row.page else name
        kind = _KINDS[row.verdict] if row.verdict else "undecided"
        words = badge(kind, _MARKS[kind], _WORDS[row.verdict] if row.verdict else "not measured")
        why = f"<br><small>{text(row.why)}</small>" if row.why else ""
        shown.append(_row(name, row.lines, f"<td>{text(row.recorded)}</td><td>{words}{why}</td>"))
    failed = sum(not row.passed for row in rows)
    kind = "bad" if failed else "ok"
    head = f"{failed} of {len(rows)} members failed" if failed else f"{counted(len(rows), 'member')} passed"
    body = (
        f'<header class="{kind}">\n<p>{badge(kind, _MARKS[kind], "failed" if failed else "passed")} ',
        f"line coverage of members</p>\n<h1>{text(title)}: {head}</h1>\n",
        f"<p>{_commit(revision)}</p>\n</header>\n<main>\n",
        _pre(said),
        '<div class="wide">',
        _sortable(("member", *_COLUMNS, "recorded", "verdict"), shown, "members"),
        "</div>\n</main>\n",
    )
    title = f"{text(title)}: coverage of members"
    return document(title=title, body="".join(body), style=LISTING_STYLE + _STYLE, script=_SCRIPT)


_STYLE = """
h3{margin:1.2rem 0 .3rem;font-size:.95rem;overflow-wrap:anywhere}
header{margin-bottom:1rem}header .badge{margin-right:.8em;white-space:normal}
th,td{padding:.22rem .6rem .22rem 0;overflow-wrap:break-word}
table:not(.code) :is(th,td){border-bottom:1px solid var(--line);vertical-align:baseline}
.n{text-align:right;width:7rem}.n:nth-child(2){width:15rem}
.n+td:not(.n),.n+th:not(.n){padding-left:1.2rem}td.n,.versions :is(th,td){white-space:nowrap}
table:not(.code) tbody tr:hover{background:var(--panel)}
button{all:unset;cursor:pointer}button:focus-visible{outline:2px solid var(--good)}
th[aria-sort] button::after{content:"\\a0▼"}th[aria-sort=ascending] button::after{content:"\\a0▲"}
.bar{display:inline-block;width:7rem;height:.55rem;background:var(--bad);border-radius:2px;overflow:hidden}
.bar i{display:block;height:100%;background:var(--hit);border-right:1px solid var(--bg)}
.p{display:inline-block;min-width:5.2em}
input{font:inherit;width:min(18rem,60vw);padding:.2rem .5rem;color:inherit;background:var(--bg);
border:1px solid var(--zero);border-radius:6px}
output{color:var(--soft);margin-left:.6em}
.wide{overflow-x:auto}details{margin:.6rem 0}summary{cursor:pointer}
.course{margin:.6rem 0}.course .chart svg line{stroke-width:2}.course .grid line{stroke-width:1}
.course .chart svg svg{width:auto;height:auto}
.series{margin-right:1.2em;white-space:nowrap}
.series .mark{width:14px;height:14px;vertical-align:-2px;margin-right:.35em}
.s0 line{stroke:var(--good)}.mark.s0{fill:var(--good)}
.s1 line{stroke:var(--ok);stroke-dasharray:6 3}.mark.s1{fill:var(--ok)}
.s2 line{stroke:var(--ink);stroke-dasharray:2 3}.mark.s2{fill:var(--ink)}
.course .releases line{stroke:var(--zero);stroke-dasharray:2 4;stroke-width:1;opacity:.6}
.tags{position:relative;height:1.3em;margin-left:4.6rem;font-size:.8em;color:var(--soft)}
.tags span{position:absolute;white-space:nowrap}
.course .x{font-size:.8em;color:var(--soft);margin:.35rem 0 0}
@media (max-width:40rem){.tags span:not(:first-child){display:none}}
@media (max-width:40rem){.bar{display:none}.p{min-width:0}.n,.n:nth-child(2){width:auto}
th,td{padding-right:.4rem}}
@media print{.filter{display:none}}
"""

_SCRIPT = """
for(const table of document.querySelectorAll("table.sortable")){
const heads=[...table.tHead.rows[0].cells],body=table.tBodies[0];
heads.forEach((head,i)=>{
const button=document.createElement("button");
button.type="button";button.append(...head.childNodes);head.append(button);
button.onclick=()=>{
const was=head.getAttribute("aria-sort"),up=was?was==="descending":"up" in head.dataset;
heads.forEach(h=>h.removeAttribute("aria-sort"));
head.setAttribute("aria-sort",up?"ascending":"descending");
const key=r=>{const c=r.cells[i];return c.dataset.v===undefined?c.textContent:+c.dataset.v};
const order=(r,s)=>{const x=key(r),y=key(s);return(x<y?-1:x>y?1:0)*(up?1:-1)};
body.append(...[...body.rows].sort(order))}})}
const box=document.querySelector("#filter");
if(box){
const rows=[...document.querySelector("#list").tBodies[0].rows],sum=document.querySelector("#sum");
box.closest("p").hidden=false;
box.oninput=()=>{
const words=box.value.toLowerCase().split(" ");let n=0,all=0,missed=0;
for(const r of rows){
r.hidden=!words.every(w=>r.cells[0].textContent.toLowerCase().includes(w));
if(!r.hidden){n++;all+=+r.cells[2].dataset.v;missed+=+r.cells[3].dataset.v}}
const part=all?`, ${(100*(all-missed)/all).toFixed(2)} %`:"";
sum.value=box.value?`${n} of ${rows.length} files: ${all-missed} of ${all} lines covered${part}`:""};
for(const a of document.querySelectorAll("[data-filter]"))
a.onclick=()=>{box.value=a.dataset.filter;box.oninput()}}
"""
