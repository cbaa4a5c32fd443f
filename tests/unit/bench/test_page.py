"""The page of a benchmark run: whole without anything else, harmless whatever ids are, and drawn to scale."""

from __future__ import annotations

import html
import itertools
import math
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.bench import words
from rustvmm_sessions.bench.model import BenchReport, BenchVerdict
from rustvmm_sessions.bench.page import Scale, page, scale, ticks
from rustvmm_sessions.wording import one_line
from tests.bench_reports import HOST, SAID_OF_EIGHT, compared, eight, pairs, report

VOID = {"meta", "circle", "line", "path", "rect"}
"""Elements without an end tag: HTML's own, and SVG's written with a slash."""

ELEMENTS = VOID | {
    *("html", "head", "title", "style", "body", "header", "main", "section", "div", "span", "p", "h1", "h2"),
    *("ul", "li", "pre", "code", "small", "bdi", "details", "summary", "figure", "figcaption", "svg", "g"),
    *("dl", "dt", "dd"),
}


@dataclass
class Parsed(HTMLParser):
    """A page's elements and text; an end tag that does not match its start tag is an error."""

    stack: list[str] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] not in ("style", "title"):
            self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def parsed(run: BenchReport) -> Parsed:
    document = Parsed()
    document.feed(page(run))
    document.close()
    assert document.stack == []
    assert document.text.count("\x1b") == 0
    return document


def named(document: Parsed, tag: str) -> list[dict[str, str | None]]:
    return [attributes for name, attributes in document.elements if name == tag]


# What is on it


def test_all_that_the_terminal_says_is_on_the_page() -> None:
    text = parsed(eight()).text
    for part in (
        *SAID_OF_EIGHT,
        "sign test",
        "Intel(R) Xeon(R) Processor @ 2.60GHz",
        "6.12.0-1-amd64",
    ):
        assert part in text


def test_every_benchmark_has_a_row_with_its_figures_and_its_pairs_below() -> None:
    run = eight()
    document = parsed(run)
    assert len(named(document, "details")) == len(named(document, "summary")) == 8
    for comparison in run.benchmarks:
        base, head = (words.duration(time) for time in comparison.medians)
        assert comparison.id in document.text
        assert words.change(comparison.judgement).replace("-", "\N{MINUS SIGN}") in document.text
        assert f"30 pairs; base {base}, now {head} (medians)" in document.text
    assert "instructions executed: +2.40 %" in document.text
    assert "its time is spent where instructions are not counted" in document.text


def test_a_single_benchmark_is_shown_open_and_of_many_none() -> None:
    assert ["open" in details for details in named(parsed(report(compared("walk"))), "details")] == [True]
    assert not any("open" in details for details in named(parsed(eight()), "details"))


def test_what_matters_most_comes_first() -> None:
    kinds = [str(row["class"]).removeprefix("row ") for row in named(parsed(eight()), "summary")]
    assert kinds == ["bad", "bad", "undecided", "good", "ok", "ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (BenchVerdict.IDENTICAL, "There is nothing to measure: why."),
        (BenchVerdict.NOTHING, "There is nothing to compare: why."),
    ],
)
def test_a_run_that_measured_nothing_says_so(verdict: BenchVerdict, line: str) -> None:
    document = parsed(report(verdict=verdict, reason="why", only_in_base=("gone",)))
    assert line in document.text
    assert "Only in the base: gone." in document.text
    assert not named(document, "svg")[1:]  # the badge has one


# What is not


def test_nothing_is_loaded_and_nothing_runs() -> None:
    source = page(eight())
    assert "default-src 'none'" in source
    assert not re.search(r"https?:|//|url\(|@import|javascript|\bon\w+=", source.replace("'none'", ""))
    for _, attributes in parsed(eight()).elements:
        assert not set(attributes) & {"src", "href", "srcset", "action", "data", "poster"}


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "</title><script>alert(1)</script>",
        "</style></svg></details>",
        '" onload="alert(1)',
        "' style='x",
        "<!-- gone",
        "]]>",
        "&lt;b&gt;&amp;&#60;",
        "{name} %s $name",
        "a\nb\x1b[2J\u202eeman",
        "bad\udcff",
        "x" * 5000,
        "日本語/🦀",
    ],
)
def test_an_id_is_text_wherever_it_stands(name: str) -> None:
    run = report(
        compared(name, 5.0, note=name),
        only_in_base=(name,),
        only_in_head=(name,),
        host=replace(HOST, model=name, kernel=name, machine=name, doubts=(name,)),
    )
    run = replace(run, base=replace(run.base, ref=name, commit=name), reason=name)
    document = parsed(run)
    assert document.text.count(one_line(name)) >= 10
    page(run).encode()


@settings(deadline=None, max_examples=50)
@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_no_text_breaks_the_page(name: str, note: str) -> None:
    document = parsed(report(compared(name, 5.0, count=9, note=note), reason=note))
    assert one_line(name) in document.text
    assert html.escape(one_line(name)) in page(report(compared(name, count=9)))


# The plot


def test_the_axis_has_room_for_every_bar_and_for_the_threshold() -> None:
    for run in (eight(), report(compared("still", noise=0.01)), report(compared("fast", -60.0, noise=0.1))):
        axis = scale(run)
        ends = [end for c in run.benchmarks for end in (c.judgement.low, c.judgement.high)]
        for value in (*ends, 0.0, math.log1p(0.01), -math.log1p(0.01)):
            assert 0 < axis.place(value) < 100


def test_places_on_the_axis_ascend_and_twice_as_fast_is_as_far_out_as_twice_as_slow() -> None:
    axis = Scale(low=-2.0, high=2.0, unit=0.01)
    places = [axis.place(value / 100) for value in range(-200, 201)]
    assert places == sorted(set(places))
    assert axis.place(0.0) == pytest.approx(50)
    assert axis.place(math.log(2)) - 50 == pytest.approx(50 - axis.place(math.log(0.5)))
    assert (axis.place(-math.inf), axis.place(math.inf)) == pytest.approx((0, 100))


def test_one_outlier_does_not_flatten_the_rest() -> None:
    axis = scale(report(compared("a", 2.0, noise=0.1), compared("b", 0.0, noise=0.1), compared("c", 3000.0)))
    assert axis.place(math.log1p(0.02)) - axis.place(0.0) > 10


@settings(deadline=None)
@given(st.floats(min_value=-0.9, max_value=8), st.floats(min_value=-0.9, max_value=8), st.floats(0.005, 0.5))
def test_labels_of_the_axis_do_not_overlap(one: float, other: float, unit: float) -> None:
    axis = Scale(low=min(one, other, -2 * unit), high=max(one, other, 2 * unit), unit=unit)
    places = ticks(axis)
    assert "0" in [label for _, label in places]
    assert 2 <= len(places) <= 10
    assert all(after - before >= 11 for (before, _), (after, _) in itertools.pairwise(places))


def test_a_mark_stands_where_its_change_is_and_its_bar_reaches_from_end_to_end() -> None:
    run = report(compared("walk", 5.0))
    (judgement,) = (comparison.judgement for comparison in run.benchmarks)
    axis = scale(run)
    low, at, high = (f"{axis.place(x):.2f}%" for x in (judgement.low, judgement.change, judgement.high))
    document = parsed(run)
    assert {"x1": low, "x2": high, "y1": "13", "y2": "13"} in named(document, "line")
    assert at in [svg.get("x") for svg in named(document, "svg")]


def test_a_bar_without_ends_is_open() -> None:
    document = parsed(report(compared("hasty", count=3)))
    assert {"x1": "0.00%", "x2": "100.00%", "y1": "13", "y2": "13"} in named(document, "line")
    assert "bar open" in [group.get("class") for group in named(document, "g")]
    assert "too few pairs to find a slow-down" in document.text


# The pairs


def dots(document: Parsed) -> dict[str, list[tuple[float, float]]]:
    """Return the dots of each series, as (pair, height): the base's, the head's, then the changes."""
    found: dict[str, list[tuple[float, float]]] = {}
    for path in named(document, "path"):
        kind = str(path.get("class"))
        if kind.startswith("dots"):
            kind = f"{kind} (change)" if kind in found and "now" in kind else kind
            places = re.findall(r"M([\d.]+) ([\d.]+)h0", str(path["d"]))
            found[kind] = [(float(x), float(y)) for x, y in places]
    return found


def test_pairs_are_drawn_in_the_order_of_measuring() -> None:
    run = report(compared("walk", 5.0, noise=0.1))
    run = replace(
        run,
        benchmarks=tuple(
            replace(c, pairs=tuple((100.0 + n, 103.0 + n) for n in range(30))) for c in run.benchmarks
        ),
    )
    series = dots(parsed(run))
    for kind in ("dots base", "dots now", "dots now (change)"):
        assert [x for x, _ in series[kind]] == [n + 0.5 for n in range(30)]
    base, now = ([y for _, y in series[kind]] for kind in ("dots base", "dots now"))
    assert base == sorted(base, reverse=True)  # the later, the slower, the higher up
    assert all(slower < faster for faster, slower in zip(base, now, strict=True))
    changes = [y for _, y in series["dots now (change)"]]
    assert changes == sorted(changes)  # of ever longer times, 3 ns are ever less


def test_what_is_far_out_stands_at_the_edge_and_is_counted() -> None:
    plain = pairs(0.0, noise=0.2, seed=2)
    run = report(compared("walk"))
    (comparison,) = run.benchmarks
    run = replace(run, benchmarks=(replace(comparison, pairs=(*plain[:-1], (125.0, 12500.0))),))
    document = parsed(run)
    (out,) = [path for path in named(document, "path") if path.get("class") == "dots now out"][:1]
    assert str(out["d"]).endswith("M29.5 0.0h0")
    assert re.search(r"30 pairs, \d off the scale", document.text)
    base = [y for _, y in dots(document)["dots base"]]
    assert max(base) - min(base) > 30  # the others still use the height


@pytest.mark.parametrize("count", [1, 2, 3, 120])
@pytest.mark.parametrize("level", [1e-3, 1.0, 1e9, 1e13])
def test_any_number_of_pairs_of_any_length_can_be_drawn(count: int, level: float) -> None:
    parsed(report(compared("walk", count=count, base=level)))
    same = replace(compared("same"), pairs=((level, level),) * count)
    parsed(report(same))


def test_a_hundred_benchmarks_make_a_page_that_can_be_sent() -> None:
    run = report(*(compared(f"walk/{n}", count=120) for n in range(100)))
    assert len(page(run).encode()) < 1 << 20
