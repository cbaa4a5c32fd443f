"""A session's result in Markdown, as GitHub's own parser renders it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest
from cmarkgfm import github_flavored_markdown_to_html
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.results import Finding, Result, Table
from rustvmm_sessions.views.markdown import MOST_BYTES, markdown

SOURCE = "https://github.com/rust-vmm/vm-memory/blob/0123abcd"
OURS = {"h3", "p", "ul", "li", "pre", "code", "details", "summary", "a"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td"}


@dataclass
class Page(HTMLParser):
    """What a reader sees."""

    tags: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    opened: list[bool] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    text: str = ""
    in_block: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        if tag == "a":
            self.links.append(given["href"] or "")
        elif tag == "details":
            self.opened.append("open" in given)
        elif tag == "pre":
            self.blocks.append("")
            self.in_block = True

    def handle_endtag(self, tag: str) -> None:
        self.in_block = self.in_block and tag != "pre"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_block:
            self.blocks[-1] += data


def rendered(text: str) -> Page:
    page = Page()
    page.feed(github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE))
    return page


def failed(*findings: Finding, **more: object) -> Result:
    return Result(session="coverage", result="failed", seconds=1, findings=findings, **more)  # type: ignore[arg-type]


def test_the_verdict_comes_first_and_the_command_that_repeats_it() -> None:
    result = failed(message="coverage is lower\n  nox -s x", repeat="nox -s coverage -- --package 'a b'")
    page = rendered(markdown(result))
    assert page.text.startswith("coverage failed: coverage is lower\n")
    assert page.blocks[0] == "nox -s x\n"
    assert "Run it again: nox -s coverage -- --package 'a b'" in page.text


def test_figures_and_tests_are_listed() -> None:
    result = Result(
        session="coverage",
        result="passed",
        seconds=1,
        figures=(("line coverage", "949/984 lines, 96.44 %"),),
        tests={"passed": 3, "failed": 0, "ignored": 1, "cached": 0, "quarantined": 0},
    )
    page = rendered(markdown(result))
    assert page.text.startswith("coverage passed\n")
    assert "line coverage: 949/984 lines, 96.44 %" in page.text
    assert "tests: 3 passed, 1 ignored" in page.text


def test_failing_tests_are_unfolded_and_other_findings_folded() -> None:
    test = Finding(
        kind="test", title="test a::b failed", message="left: 1\nright: 2", file="src/a.rs", line=3
    )
    lint = Finding(kind="lint", title="unused variable: `x`", message="all of it", file="src/b c.rs", line=4)
    page = rendered(markdown(failed(test, lint), SOURCE))
    assert page.opened == [True, False]
    assert page.blocks == ["left: 1\nright: 2\n", "all of it\n"]
    assert page.links == [f"{SOURCE}/src/a.rs#L3", f"{SOURCE}/src/b%20c.rs#L4"]
    assert "test a::b failed src/a.rs:3" in page.text


def test_errors_come_before_what_is_only_noted() -> None:
    notice = Finding(kind="coverage", title="a.rs: 3 more lines", level="notice", message="uncovered: 1-3")
    error = Finding(kind="coverage", title="coverage is lower", message="by 1 point")
    page = rendered(markdown(failed(notice, error)))
    assert page.text.index("coverage is lower") < page.text.index("a.rs: 3 more lines")


def test_uncovered_changed_lines_are_links() -> None:
    line = Finding(kind="coverage", title="lines 3-5 are not covered", file="src/a.rs", line=3, end_line=5)
    page = rendered(markdown(failed(line), SOURCE))
    assert page.links == [f"{SOURCE}/src/a.rs#L3-L5"]
    assert "src/a.rs:3-5 lines 3-5 are not covered" in page.text


def test_a_failure_that_found_nothing_shows_the_end_of_its_output() -> None:
    page = rendered(markdown(failed(output="\x1b[1mgone\x1b[0m wrong\n")))
    assert page.blocks == ["gone wrong\n"]
    assert page.opened == [False]


MARKS = (
    *("<b>", "</details>", "<!--", "`", "```", "~~~", "|", "[a](b)", "![a](b)", "*a*", "_", "#", "\n", "- "),
    *("http://a.b", "www.a.b", "a@b.c", "&lt;", "\\", "1. ", "    ", "\r", "\x1b[2J"),
)
FOREIGN = st.lists(st.sampled_from(MARKS) | st.text(max_size=5), max_size=8).map("".join)


@settings(deadline=None)
@given(FOREIGN, FOREIGN, FOREIGN)
def test_nothing_foreign_has_a_meaning(title: str, message: str, name: str) -> None:
    findings = (
        Finding(kind="test", title=title, message=message, file=name or None, line=1),
        Finding(kind="lint", title=title),
        Finding(kind="coverage", title=title, file=name or None, line=2),
    )
    table = Table(title=title, head=("name", title), rows=((name, message),))
    result = failed(
        *findings,
        message=message,
        repeat=name,
        output=message,
        figures=((name, title),),
        tables=(table,),
        notes=(message,),
        steps=((title, name),),
    )
    page = rendered(markdown(result, SOURCE))
    assert page.tags <= OURS | TABLE
    assert all(link.startswith(f"{SOURCE}/") for link in page.links)


@pytest.mark.parametrize("most", [1000, 5000, 100_000, MOST_BYTES])
def test_it_is_cut_at_whole_lines_and_says_so(most: int) -> None:
    lines = "\n".join(f"line {number} 日本語" for number in range(100_000))
    many = [Finding(kind="test", title=f"test {number}", message=lines) for number in range(3)]
    table = Table(title="files", head=("file", "lines"), rows=tuple((f"{n}.rs", "1") for n in range(1000)))
    text = markdown(failed(*many, message="why", tables=(table,)), most=most)
    assert most * 0.6 < len(text.encode()) <= most
    page = rendered(text)
    assert page.text.startswith("coverage failed: why")
    assert page.text.rstrip().endswith("left out: this would be more than 1 MiB. The log has them.")
    (shown,) = page.blocks[:1]
    count = len(shown.splitlines())
    assert shown == "".join(f"{line}\n" for line in lines.splitlines()[:count])
    assert page.tags <= OURS


def test_what_has_room_is_whole() -> None:
    assert "left out" not in markdown(failed(Finding(kind="test", title="t", message="x\n" * 1000)))
