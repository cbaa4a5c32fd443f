"""The Markdown of a benchmark run, as GitHub's own parser renders it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest
from cmarkgfm import github_flavored_markdown_to_html
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.bench.model import BenchReport, BenchVerdict
from rustvmm_sessions.views.markdown import MOST_BYTES
from rustvmm_sessions.wording import counted, one_line
from tests.bench_reports import SAID_OF_EIGHT, compared, eight, in_markdown, report


@dataclass
class Rendered(HTMLParser):
    """What a reader sees: the elements there are, and the cells of the table's rows."""

    tags: set[str] = field(default_factory=set)
    rows: list[list[str]] = field(default_factory=list)
    text: str = ""
    in_cell: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name in ("align", "lang") for name, _ in attrs)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data


def rendered(run: BenchReport, most_bytes: int = MOST_BYTES) -> Rendered:
    """Return the report as a page shows it; HTML in the Markdown counts, as it does on GitHub."""
    page = Rendered()
    page.feed(github_flavored_markdown_to_html(in_markdown(run, most_bytes), Options.CMARK_OPT_UNSAFE))
    return page


OURS = {"h3", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "pre"}
"""The elements that a report consists of."""


def test_a_report_says_all_that_the_terminal_does() -> None:
    page = rendered(eight())
    assert page.tags == OURS
    assert page.rows[0] == ["benchmark", "base", "now", "change", "between", "verdict"]
    assert sorted(row[0] for row in page.rows[1:]) == sorted(c.id for c in eight().benchmarks)
    for part in (
        *SAID_OF_EIGHT,
        "layout/unlucky: both builds execute the same instructions: suspected",
        "Measured on Intel(R) Xeon(R) Processor @ 2.60GHz, x86_64, Linux 6.12.0-1-amd64",
    ):
        assert part in page.text


def test_what_matters_most_comes_first() -> None:
    verdicts = [row[-1] for row in rendered(eight()).rows[1:]]
    assert verdicts == ["slower", "slower", "undecided", "faster", "ok", "ok", "ok", "ok"]


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "</code></td></tr></table><h1>",
        "[text](javascript:alert(1))",
        "![image](http://example.org/x.png)",
        "http://example.org www.example.org a@example.org",
        "*bold* _it_ ~~gone~~ **b**",
        "a|b",
        r"a\|b",
        r"a\b",
        "a\\",
        r"a\\|b\\",
        "`",
        "a`b``c",
        "``` \\` |",
        "`<script>`",
        "|`<b>`|",
        "# heading",
        "&lt;&#60;&amp;",
        "<!-- comment",
        "日本語/🦀",
        "a  b",
    ],
)
def test_an_id_is_shown_as_it_is_and_does_nothing(name: str) -> None:
    page = rendered(report(compared(name, 5.0), only_in_base=(name,), only_in_head=(name,)))
    assert page.tags <= OURS
    (row,) = page.rows[1:]
    assert len(row) == 6
    assert row[0] == name
    assert row[-1] == "slower"
    assert f"Only in the base: {name}." in page.text


def test_prose_from_elsewhere_does_nothing() -> None:
    text = "<b>*x*</b> [a](b) http://example.org `c` | _d_ $e$ ![f](g)"
    run = report(compared("walk", note=text))
    assert rendered(run).tags <= OURS
    assert f"walk: {text}." in rendered(run).text
    nothing = rendered(report(reason=text))
    assert nothing.tags == {"h3", "ul", "li"}
    assert nothing.text.startswith(f"bench passed: There is nothing to compare: {text}.")


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40).filter(str.strip), st.text(max_size=40))
def test_no_text_breaks_the_table(name: str, note: str) -> None:
    page = rendered(report(compared(name, 5.0, count=12, note=note), only_in_head=(note or "new",)))
    assert page.tags <= OURS
    (row,) = page.rows[1:]
    assert len(row) == 6
    assert row[0].split() == one_line(name).split()


# Its size


def test_what_finds_no_room_is_counted() -> None:
    run = report(*(compared(f"bench {n}", 9.0 if n == 99 else 0.0, count=20, noise=0.1) for n in range(100)))
    whole = in_markdown(run)
    assert "left out" not in whole
    for size in (3000, 5000, len(whole.encode()) - 1):
        short = in_markdown(run, size)
        assert len(short.encode()) <= size
        page = rendered(run, size)
        shown = len(page.rows) - 1
        assert f"{counted(100 - shown, 'line')} left out: this would be more than 1 MiB." in page.text
        assert page.rows[1][0] == "bench 99"
        assert "At most 1 % of such runs" in page.text
    assert in_markdown(run, len(whole.encode()) + 200) == whole


def test_ids_without_end_leave_room_for_what_matters() -> None:
    names = tuple("日" * 3000 + str(n) for n in range(60))
    run = report(*(compared(name, 5.0, count=20, noise=0.1, note=name) for name in names), only_in_base=names)
    text = in_markdown(run, 40_000)
    assert len(text.encode()) <= 40_000
    assert "60 of 60 benchmarks got slower" in text
    assert "lines left out" in text


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (BenchVerdict.IDENTICAL, "There is nothing to measure."),
        (BenchVerdict.NOTHING, "There is nothing to compare."),
    ],
)
def test_a_run_that_measured_nothing_has_no_table(verdict: BenchVerdict, line: str) -> None:
    page = rendered(report(verdict=verdict, only_in_head=("walk",)))
    assert page.text.startswith(f"bench passed: {line}")
    assert page.tags == {"h3", "p", "ul", "li"}
