"""The pages of a coverage run: every line as the tracefile has it, and harmless whatever the sources are."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from rustvmm_sessions.coverage import page, sources
from rustvmm_sessions.coverage.measurement import (
    Backend,
    ChangedLines,
    Decision,
    FileCoverage,
    Lines,
    Measurement,
    UnstableLine,
    Verdict,
)
from rustvmm_sessions.coverage.sources import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

VOID = {"meta", "input", "col", "br", "path", "line", "circle", "wbr"}
OPTIONAL = {"tr", "th", "td"}
"""End tags that HTML lets one leave out."""

LIB = "fn a() {\n    b();\n}\n\nfn b() {\n    // <script>alert(1)</script>\n    panic!();\n}\n"
LCOV = "SF:/w/src/lib.rs\nDA:1,3\nDA:2,3\nDA:3,3\nDA:5,0\nDA:7,0\nDA:8,0\nLF:6\nLH:3\nend_of_record\n"
FILE = FileCoverage(
    path="src/lib.rs",
    lines=Lines(covered=3, count=7),
    reached=((1, 3),),
    uncovered=((5, 5), (7, 8)),
)


def measured(*files: FileCoverage, **more: Any) -> Measurement:
    lines = Lines(covered=sum(f.lines.covered for f in files), count=sum(f.lines.count for f in files))
    return Measurement(
        arch="x86_64", toolchain="1.95.0", backend=Backend.CARGO, lines=lines, files=files, **more
    )


REVISION = sources.Revision(
    commit="c" * 40, dirty=True, address="https://github.com/o/r/commit/", time=1_795_874_400
)
SITE = Site(
    crate="sample",
    revision=REVISION,
    machine="x86_64, Linux 6.12, 2 processors",
    measurement=measured(FILE),
    recorded=None,
    decision=Decision(verdict=Verdict.NONE, passed=False, write=False),
    passed=False,
    record="",
    commands=("Make one:", "  nox"),
    changed=None,
    required=None,
    counts={"src/lib.rs": sources.read_lcov(LCOV)["/w/src/lib.rs"]},
)
CHANGED = ChangedLines(
    base="b" * 40,
    name="origin/main",
    top="/w",
    files=(FileCoverage(path="src/lib.rs", lines=Lines(covered=1, count=2), uncovered=((7, 7),)),),
    unknown=("tests/x.rs",),
    touched={"src/lib.rs": ((2, 2), (6, 7))},
)


@dataclass
class Parsed(HTMLParser):
    """A page's elements, text and tables; an end tag that matches no start tag is an error."""

    source: str
    stack: list[str] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    rows: list[tuple[dict[str, str | None], list[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append((dict(attrs), []))
        elif tag in ("td", "th"):
            self.rows[-1][1].append("")
        if tag not in VOID | OPTIONAL:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in OPTIONAL:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack[-1:] not in (["style"], ["script"], ["title"]):
            self.text += data
            if self.stack[-1:] == ["tbody"] or ({"a", "abbr"} & set(self.stack) and "table" in self.stack):
                self.rows[-1][1][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def first(site: Site, source: str | None = LIB) -> Parsed:
    return Parsed(page.crate_page(site, lambda _: source))


def listed(document: Parsed) -> dict[int, tuple[str, str, str]]:
    """Return signs, runs and source by number, as the page of a source shows them."""
    return {
        int(cells[0]): (cells[1], cells[2], cells[3].removesuffix("\n"))
        for attributes, cells in document.rows
        if "id" in attributes
    }


# Sources


def test_each_line_has_what_the_tracefile_says() -> None:
    document = Parsed(sources.source_page(SITE, FILE, LIB))
    assert listed(document) == {
        1: ("", "3", "fn a() {"),
        2: ("", "3", "    b();"),
        3: ("", "3", "}"),
        4: ("", "", ""),
        5: ("", "0", "fn b() {"),
        6: ("", "", "    // <script>alert(1)</script>"),
        7: ("", "0", "    panic!();"),
        8: ("", "0", "}"),
    }
    classes = {
        attributes["id"]: attributes.get("class") for attributes, _ in document.rows if "id" in attributes
    }
    assert [classes[f"L{number}"] for number in range(1, 9)] == ["h", "h", "h", None, "u", None, "u", "u"]
    assert (
        "4 not covered: 5, 7-8, and 1 in closures and functions on lines reached otherwise." in document.text
    )
    assert {"#L5", "#L7"} < {attributes.get("href") for attributes in document.named("a")}


def test_changed_and_unstable_lines_have_signs_of_their_own() -> None:
    varying = (UnstableLine(path="src/lib.rs", line=2),)
    site = replace(SITE, changed=CHANGED, measurement=measured(FILE, unstable=varying))
    document = Parsed(sources.source_page(site, FILE, LIB))
    signs = {number: cells[0] for number, cells in listed(document).items() if cells[0]}
    assert signs == {2: "+~", 6: "+", 7: "+"}
    assert "Changed and not covered: 7." in document.text
    assert "Not reached by every run: 2." in document.text


def test_a_source_that_cannot_be_read_has_its_counts() -> None:
    document = Parsed(sources.source_page(SITE, FILE, None))
    assert listed(document)[8] == ("", "0", "")
    assert "cannot be read" in document.text


def test_counts_of_one_file_in_several_parts_are_added() -> None:
    assert sources.read_lcov(LCOV + "SF:/w/src/lib.rs\nDA:5,2\nDA:9,1,abc\n")["/w/src/lib.rs"] == {
        1: 3,
        2: 3,
        3: 3,
        5: 2,
        7: 0,
        8: 0,
        9: 1,
    }


# The first page


def test_it_says_where_the_crate_stands() -> None:
    text = first(SITE).text.replace("\N{NO-BREAK SPACE}", " ")
    for part in (
        "sample: 42.86 % of lines covered",
        "nothing recorded line coverage, check failed",
        "commit cccccccccccc with uncommitted changes, 2026-11-28 14:00 UTC",
        "3/7 lines, 42.86 %",
        "x86_64, Linux 6.12, 2 processors",
        "rustc 1.95.0, counted by cargo",
        "Make one:\n  nox",
    ):
        assert part in text


def test_changed_lines_come_first_and_in_their_context() -> None:
    document = first(replace(SITE, changed=CHANGED, required=Fraction(80)))
    assert document.text.index("Changed lines") < document.text.index("Files")
    assert "1 of 2 covered, 50.00" in document.text
    assert "1 of 2 changed lines covered, 50.00 %; 80 % required" in document.text
    assert "Changed, and not measured: tests/x.rs." in document.text
    context = [cells[0] for attributes, cells in document.rows if attributes.get("class") in ("u", None)]
    assert [number for number in context if number.isdecimal()] == ["4", "5", "6", "7", "8"]
    assert {"files/src/lib.rs.html#L7"} < {attributes.get("href") for attributes in document.named("a")}


def test_of_many_changed_lines_the_rest_is_counted() -> None:
    lines = range(1, 1001)
    file = replace(FILE, lines=Lines(covered=0, count=1000), reached=(), uncovered=((1, 1000),))
    changed = replace(CHANGED, touched={"src/lib.rs": ((1, 1000),)})
    site = replace(
        SITE, measurement=measured(file), changed=changed, counts={"src/lib.rs": dict.fromkeys(lines, 0)}
    )
    assert "and 600 more lines" in first(site, "x\n" * 1000).text


def test_lines_that_not_every_run_reaches_are_named() -> None:
    varying = tuple(UnstableLine(path="src/lib.rs", line=line) for line in (1, 2, 7))
    assert "src/lib.rs: 1-2, 7" in first(replace(SITE, measurement=measured(FILE, unstable=varying))).text


def test_folders_are_summed_where_they_say_more_than_others() -> None:
    def file(path: str, covered: int, count: int) -> FileCoverage:
        return FileCoverage(path=path, lines=Lines(covered=covered, count=count))

    files = [
        file("a/src/x.rs", 1, 2),
        file("a/src/y/z.rs", 2, 4),
        file("b/src/x.rs", 4, 8),
        file("c.rs", 1, 1),
    ]
    assert page.folders(files) == {
        "a/src/": Lines(covered=3, count=6),
        "a/src/y/": Lines(covered=2, count=4),
        "b/src/": Lines(covered=4, count=8),
    }


# What holds for all of them


def all_pages(site: Site) -> dict[str, str]:
    return dict(page.pages(site, lambda _: LIB))


def test_links_lead_to_pages_that_are_there() -> None:
    odd = replace(FILE, path="src/ü #?&\"'<.rs")
    outside = replace(FILE, path="/opt/gen.rs")
    counts = {file.path: SITE.counts["src/lib.rs"] for file in (FILE, odd, outside)}
    changed = replace(CHANGED, touched={odd.path: ((7, 7),)})
    site = replace(SITE, measurement=measured(FILE, odd, outside), counts=counts, changed=changed)
    written = all_pages(site)
    assert set(written) == {
        "index.html",
        *(f"files/{n}.html" for n in ("src/lib.rs", odd.path, "opt/gen.rs")),
    }
    for name, content in written.items():
        ids = {attributes["id"] for _, attributes in Parsed(content).elements if "id" in attributes}
        for attributes in Parsed(content).named("a"):
            path, _, anchor = (attributes["href"] or "").partition("#")
            if path.startswith("https:"):
                continue
            parts: list[str] = []
            for part in (PurePath(name).parent / unquote(path)).parts if path else PurePath(name).parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            target = Parsed(written["/".join(parts)])
            assert not anchor or anchor in {a["id"] for _, a in target.elements if "id" in a}, (name, ids)


@pytest.mark.parametrize(
    "word", ["<b>&", "</script><script>x", '" onload="x', "a\x1b[2J\u202eb", "日本語/🦀"]
)
def test_what_comes_from_elsewhere_is_text(word: str) -> None:
    changed = replace(CHANGED, name=word, unknown=(word,))
    site = replace(SITE, crate=word, machine=word, commands=(word,), changed=changed)
    for content in dict(page.pages(site, lambda _: f"// {word}\n" + LIB)).values():
        document = Parsed(content)
        assert {tag for tag, _ in document.elements} & {"b", "img"} == set()
        assert not any(name.startswith("on") for _, attributes in document.elements for name in attributes)
        assert "\x1b" not in content
        assert "\u202e" not in content


def test_nothing_is_loaded_and_only_our_script_runs() -> None:
    for content in all_pages(replace(SITE, changed=CHANGED)).values():
        scripts = re.findall(r"<script>(.*?)</script>", content, re.DOTALL)
        for script in scripts:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"script-src 'sha256-{digest}'" in content
        assert "default-src 'none'" in content
        assert ("script-src" in content) is bool(scripts)
        for _, attributes in Parsed(content).elements:
            assert not set(attributes) & {"src", "srcset", "action", "data", "poster"}


def test_tables_are_tables_for_everyone() -> None:
    for content in (*all_pages(replace(SITE, changed=CHANGED)).values(), members()):
        document = Parsed(content)
        assert all(head.get("scope") in ("col", "row") for head in document.named("th"))
        assert len(document.named("table")) == content.count("<thead>")
        assert document.named("html")[0]["lang"] == "en"
        assert content.count("<h1>") == content.count("<main>") == 1
        assert all(svg.get("aria-hidden") or svg.get("aria-label") for svg in document.named("svg"))


def two_thousand_files() -> Iterator[tuple[str, str]]:
    """Yield the pages of 200,000 lines."""
    text = "    let value = compute(&mut state, 42)?; // some words\n" * 100
    lines = dict.fromkeys(range(1, 101), 7) | dict.fromkeys(range(40, 60), 0)
    files = [
        FileCoverage(
            path=f"crates/part{n // 50}/src/module_{n}.rs",
            lines=Lines(covered=80, count=100),
            reached=((1, 39), (60, 100)),
            uncovered=((40, 59),),
        )
        for n in range(2000)
    ]
    site = replace(SITE, measurement=measured(*files), counts={file.path: lines for file in files})
    return page.pages(site, lambda _: text)


def test_two_thousand_files_fit() -> None:
    sizes = [len(content.encode()) for _, content in two_thousand_files()]
    assert len(sizes) == 2001
    assert sum(sizes) < 60 << 20


# All members


def member(name: str, **more: Any) -> page.Row:
    return page.Row(name=name, recorded="75.0 %", **more)


def members() -> str:
    lines = Lines(covered=3, count=4)
    return page.overview(
        "top",
        REVISION,
        [
            member("a&b", page="members/a&b/index.html", lines=lines, verdict=Verdict.EQUAL, passed=True),
            member("broken", page="", lines=None, verdict=None, passed=False, why="tests failed"),
        ],
        ["Changed: 1 of 2"],
    )


def test_the_page_of_members_leads_to_those_that_were_measured() -> None:
    document = Parsed(members())
    assert [attributes["href"] for attributes in document.named("a")][1:] == ["members/a%26b/index.html"]
    assert "top: 1 of 2 members failed" in document.text
    assert "not measuredtests failed" in document.text
    assert "Changed: 1 of 2" in document.text
