"""A run as one HTML page that needs nothing beside itself: no network, no script."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions.bench import words
from rustvmm_sessions.bench.model import BenchVerdict, percent
from rustvmm_sessions.bench.statistics import detectable
from rustvmm_sessions.page import Range, badge, document, facts
from rustvmm_sessions.wording import counted, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rustvmm_sessions.bench.model import BenchReport, Comparison, Host

_METHOD = (
    "Each pair is one short process of either build, run one after the other in random order; the change is "
    "the median of all pairs' own changes, which need not be the quotient of the two median times, and the "
    "bar around it is the interval of the sign test, which asks nothing of the noise but that pairs are "
    "independent. When to judge was fixed before the first pair, and the chance of error is shared among all "
    "those looks at all benchmarks."
)

_CLASSES = {
    BenchVerdict.OK: "ok",
    BenchVerdict.REGRESSION: "bad",
    BenchVerdict.IMPROVEMENT: "good",
    BenchVerdict.INCONCLUSIVE: "undecided",
    BenchVerdict.IDENTICAL: "ok",
    BenchVerdict.NOTHING: "undecided",
}

# Shapes around (0, 0): they tell verdicts apart where colours do not.
_MARKS = {
    "ok": '<circle r="4.5"/>',
    "bad": '<path d="M-4.5-6 7 0-4.5 6z"/>',
    "good": '<path d="M4.5-6-7 0 4.5 6z"/>',
    "undecided": '<path d="M0-6 6 0 0 6-6 0z"/>',
}


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: str) -> str:
    return html.escape(one_line(text))


ESCAPED = words.Markup(code=_code, text=_text)


def page(report: BenchReport) -> str:
    """Return the page of a run."""
    kind = _CLASSES[report.verdict]
    about = (*words.findings(report, ESCAPED), *words.sides(report, ESCAPED), *words.remarks(report, ESCAPED))
    body = (
        f'<header class="{kind}">\n<p class="what">{_badge(report.verdict)} benchmark comparison</p>\n',
        f"<h1>{words.conclusion(report, ESCAPED)}</h1>\n",
        f'<p>{words.revision(report.base, ESCAPED)} <span aria-label="to">→</span> ',
        f"{words.revision(report.head, ESCAPED)}</p>\n</header>\n<main>\n",
        _forest(report) if report.benchmarks else "",
        _sentences(about),
        _steps(report),
        f"<h2>Method</h2>\n<p>{_METHOD}</p>\n" if report.benchmarks else "",
        _machine(report.host) if report.host else "",
        "</main>\n",
    )
    return document(title=words.headline(report), body="".join(body), style=_STYLE)


def _badge(verdict: BenchVerdict) -> str:
    kind = _CLASSES[verdict]
    return badge(kind, _MARKS[kind], words.VERDICTS[verdict])


def _sentences(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{sentence}</li>\n" for sentence in sentences)
    return f"<h2>What it means</h2>\n<ul>\n{items}</ul>\n" if items else ""


def _steps(report: BenchReport) -> str:
    steps = words.next_steps(report)
    items = "".join(f"<p>{why}</p>\n<pre>{html.escape(command)}</pre>\n" for why, command in steps)
    return f"<h2>What to do next</h2>\n{items}" if steps else ""


def _machine(host: Host) -> str:
    pinned = "none: it was refused" if host.processor is None else f"number {host.processor}"
    rows = (
        ("Processor", host.model or "not known"),
        ("Architecture", host.machine),
        ("Kernel", host.kernel),
        ("Processors", str(host.processors)),
        ("Pinned to", pinned),
        ("Load at the start", f"{host.load:.2f}"),
    )
    return f"<h2>Machine</h2>\n{facts((name, _text(value)) for name, value in rows)}"


# The forest plot


@dataclass(frozen=True)
class Scale:
    """Places of changes on an axis that is linear around no change and logarithmic further out.

    So one benchmark that became ten times slower leaves room to see the others' per cents, and
    twice as slow lies as far from the middle as twice as fast.

    Attributes:
        low: ln(head / base) at the left end.
        high: ln(head / base) at the right end.
        unit: Where linear becomes logarithmic.
    """

    low: float
    high: float
    unit: float

    def place(self, log_ratio: float) -> float:
        """Return where a change lies, in percent of the width; what is outside lies at an end."""
        left, right, at = (
            math.copysign(math.log1p(abs(value) / self.unit), value)
            for value in (self.low, self.high, min(max(log_ratio, self.low), self.high))
        )
        return 100 * (at - left) / (right - left)


def scale(report: BenchReport) -> Scale:
    """Return the axis on which every change and every finite end of an interval has its place."""
    limit = math.log1p(report.threshold / 100)
    unit = max(limit, 0.005)
    values = [
        value
        for comparison in report.benchmarks
        for value in (comparison.judgement.low, comparison.judgement.change, comparison.judgement.high)
        if math.isfinite(value)
    ]
    low, high = min(-2 * unit, *values), max(2 * unit, *values)
    return Scale(low=low * 1.15, high=high * 1.15, unit=unit)


_TICKS = (0, 1, -1, 10, -10, 100, -50, 1000, -90, 5, -5, 2, -2, 20, -20, 50, -30, 500, 200, 0.5, -0.5)
"""Changes in percent that an axis may name, those first that say most."""


def ticks(axis: Scale) -> list[tuple[float, str]]:
    """Return the places that the axis names and their labels; no two are so near as to overlap."""
    named: list[tuple[float, str]] = []
    for change in _TICKS:
        log_ratio = math.log1p(change / 100)
        place = axis.place(log_ratio)
        if (
            axis.low < log_ratio < axis.high
            and 3 < place < 97
            and all(abs(place - p) >= 11 for p, _ in named)
        ):
            named.append((place, f"{change:+g}".replace("-", "\N{MINUS SIGN}") if change else "0"))
    return sorted(named)


def _forest(report: BenchReport) -> str:
    axis = scale(report)
    named = ticks(axis)
    labels = "".join(f'<span style="left:{place:.2f}%">{label}</span>' for place, label in named)
    rows = "".join(_row(comparison, axis, report) for comparison in words.ranked(report))
    return (
        f"<style>.plot{{background:{_lines(axis, named, report.threshold)}}}</style>\n"
        '<section class="forest">\n<div class="row head"><span>benchmark</span>\n'
        '<div class="axis"><span class="sense"><span>← faster</span> change in % <span>slower →</span></span>'
        f'<div class="ticks">{labels}</div></div>\n'
        '<span class="change">change <small>between</small></span><span>verdict</span></div>\n'
        f"{rows}"
        f'</section>\n<p class="key">{_key(report.threshold)}</p>\n'
    )


def _key(threshold: float) -> str:
    marks = " ".join(
        _badge(verdict)
        for verdict in (
            BenchVerdict.REGRESSION,
            BenchVerdict.IMPROVEMENT,
            BenchVerdict.OK,
            BenchVerdict.INCONCLUSIVE,
        )
    )
    lines = f"Dashed lines: {words.limit(threshold)} slower and as much faster. " if threshold else ""
    return (
        f"{marks} {lines}A benchmark counts as slower or faster where its whole bar lies beyond "
        f"{'its line' if threshold else 'no change'}. Open a benchmark to see its pairs."
    )


def _lines(axis: Scale, named: Sequence[tuple[float, str]], threshold: float) -> str:
    """Return the vertical lines behind all rows as one CSS background."""
    limit = math.log1p(threshold / 100)
    dashes = "repeating-linear-gradient(var(--limit) 0 4px,transparent 4px 8px)"
    layers = [f"{dashes} {axis.place(end):.2f}% 0/1px 100% no-repeat" for end in (-limit, limit) if end]
    layers.append(f"linear-gradient(var(--zero),var(--zero)) {axis.place(0):.2f}% 0/1px 100% no-repeat")
    layers += [
        f"linear-gradient(var(--line),var(--line)) {place:.2f}% 0/1px 100% no-repeat" for place, _ in named
    ]
    return ",".join(layers)


def _row(comparison: Comparison, axis: Scale, report: BenchReport) -> str:
    judgement = comparison.judgement
    kind = _CLASSES[judgement.verdict]
    low, at, high = (axis.place(end) for end in (judgement.low, judgement.change, judgement.high))
    known = math.isfinite(judgement.low)
    ends = "".join(f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="7" y2="19"/>' for x in (low, high) if known)
    note = f'<small class="note">{_text(comparison.note)}</small>' if comparison.note else ""
    return (
        f"<details{' open' if len(report.benchmarks) == 1 else ''}>\n"
        f'<summary class="row {kind}"><span class="id"><bdi>{_text(comparison.id)}</bdi>{note}</span>\n'
        f'<div class="plot"><svg aria-hidden="true"><g class="bar{"" if known else " open"}">'
        f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="13" y2="13"/>{ends}</g>'
        f'<svg x="{at:.2f}%" y="13" class="mark" overflow="visible">{_MARKS[kind]}</svg></svg></div>\n'
        f'<span class="change">{_minus(words.change(judgement))} '
        f"<small>{_minus(words.interval(judgement))}</small></span>\n"
        f"<span>{_badge(judgement.verdict)}</span></summary>\n"
        f"{_pairs(comparison, report.threshold)}</details>\n"
    )


def _minus(figure: str) -> str:
    return figure.replace("-", "\N{MINUS SIGN}")


# The pairs of a benchmark


def _pairs(comparison: Comparison, threshold: float) -> str:
    base, head = comparison.medians
    judgement = comparison.judgement
    found = detectable(judgement, threshold)
    instructions = comparison.instructions_change
    facts = [
        counted(len(comparison.pairs), "pair"),
        f"base {words.duration(base)}, now {words.duration(head)} (medians)",
        f"slow-downs of {words.rounded_up(found)} and more would have been found"
        if math.isfinite(found)
        else "too few pairs to find a slow-down",
    ]
    if comparison.time_only:
        facts.append("its time is spent where instructions are not counted")
    elif instructions is not None:
        facts.append(f"instructions executed: {_minus(words.signed(instructions))}")
    return (
        f'<div class="pairs"><p>{"; ".join(facts)}.</p>\n<div class="charts">\n'
        f"{_times_chart(comparison)}{_changes_chart(comparison, threshold)}</div></div>\n"
    )


def _range(values: Sequence[float], *always: float) -> Range:
    """Return the range of values less those further out than three times the middle half is wide."""
    ordered = sorted(values)
    lower, upper = ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]
    fence = 3 * (upper - lower)
    inside = [value for value in ordered if lower - fence <= value <= upper + fence]
    low, high = min(*inside, *always, inside[0]), max(*inside, *always, inside[0])
    margin = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
    return Range(low - margin, high + margin)


def _dots(values: Sequence[float], shown: Range, kind: str) -> str:
    """Draw a series as two paths of dots: what the range holds, and at its edges what it does not."""
    parts: dict[str, list[str]] = {kind: [], f"{kind} out": []}
    for number, value in enumerate(values):
        where = kind if shown.holds(value) else f"{kind} out"
        parts[where].append(f"M{number + 0.5:g} {shown.place(value):.1f}h0")
    return "".join(f'<path class="dots {name}" d="{"".join(path)}"/>' for name, path in parts.items() if path)


@dataclass(frozen=True, kw_only=True)
class _Chart:
    """A chart over the pairs in the order of measuring.

    Attributes:
        title: What it shows.
        key: HTML that explains its marks.
        shown: The range of its vertical axis.
        unit: Writes a value of that axis.
        values: All values that have a dot.
        drawn: SVG of what is in it, a unit wide for each pair and 100 units high.
        count: The number of pairs.
    """

    title: str
    key: str
    shown: Range
    unit: Callable[[float], str]
    values: Sequence[float]
    drawn: str
    count: int

    def svg(self) -> str:
        steps = self.shown.steps()
        axis = "".join(
            f'<span style="top:{self.shown.place(at):.1f}%">{self.unit(at)}</span>' for at in steps
        )
        grid = "".join(f"M0 {self.shown.place(at):.1f}H{self.count}" for at in steps)
        out = sum(not self.shown.holds(value) for value in self.values)
        outside = f", {out} off the scale" if out else ""
        return (
            f"<figure><figcaption>{self.title} {self.key}</figcaption>\n"
            f'<div class="chart"><div class="y">{axis}</div><svg viewBox="0 0 {self.count} 100" '
            f'preserveAspectRatio="none" role="img" aria-label="{self.title}">'
            f'<path class="grid" d="{grid}"/>{self.drawn}</svg></div>\n<p class="x"><span>first</span>'
            f"<span>{counted(self.count, 'pair')}{outside}</span><span>last</span></p></figure>\n"
        )


def _times_chart(comparison: Comparison) -> str:
    base, head = zip(*comparison.pairs, strict=True)
    shown = _range((*base, *head))
    factor, name = words.unit(shown.high)
    joined = "".join(
        f"M{number + 0.5:g} {shown.place(one):.1f}V{shown.place(two):.1f}"
        for number, (one, two) in enumerate(comparison.pairs)
    )
    return _Chart(
        title="Time per iteration",
        key='<span class="series base">base</span> <span class="series now">now</span>',
        shown=shown,
        unit=lambda at: f"{at / factor:.6g} {name}",
        values=(*base, *head),
        drawn=f'<path class="joined" d="{joined}"/>{_dots(base, shown, "base")}{_dots(head, shown, "now")}',
        count=len(base),
    ).svg()


def _changes_chart(comparison: Comparison, threshold: float) -> str:
    judgement = comparison.judgement
    changes = [percent(math.log(head / base)) for base, head in comparison.pairs]
    middle = percent(judgement.change)
    ends = [percent(end) for end in (judgement.low, judgement.high) if math.isfinite(end)]
    shown = _range(changes, 0.0, threshold, middle, *ends)
    count = len(changes)
    band = ""
    if ends:
        bottom, top = (shown.place(end) for end in ends)
        band = f'<rect class="band" width="{count}" y="{top:.1f}" height="{max(bottom - top, 0.5):.1f}"/>'
    levels = "".join(
        f'<path class="{kind}" d="M0 {shown.place(at):.1f}H{count}"/>'
        for kind, at in (("zero", 0.0), ("limit", threshold), ("middle", middle))
    )
    return _Chart(
        title="Change of each pair",
        key='<span class="series middle">median and its interval</span>',
        shown=shown,
        unit=lambda at: _minus(f"{at:+.6g} %") if round(at, 9) else "0 %",
        values=changes,
        drawn=f"{band}{levels}{_dots(changes, shown, 'now')}",
        count=count,
    ).svg()


_STYLE = """
:root{--limit:#b34700;--base:#8c959f;--now:#1b1f24;--band:#0060a81c}
@media (prefers-color-scheme:dark){:root{--limit:#ff9d57;--base:#7d8590;--now:#e6edf3;--band:#6cb6ff26}}
.id{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere;padding:.2rem 0;line-height:1.3}
.forest{margin-top:1.5rem;border-bottom:1px solid var(--line)}
.row{display:grid;grid-template-columns:minmax(10rem,2fr) minmax(8rem,3fr) 8.5rem 7rem;gap:0 1rem;
align-items:center;padding:0 .25rem 0 1.2rem;position:relative}
.head{position:sticky;top:0;z-index:1;align-items:end;padding-top:.4rem;padding-bottom:.3rem;
background:var(--bg);border-bottom:1px solid var(--line);color:var(--soft);font-size:.86em}
.change{text-align:right;line-height:1.2}.change small{display:block;white-space:nowrap}
.axis .sense{display:flex;justify-content:space-between}
.ticks{position:relative;height:1.5em;font-size:.92em}
.ticks span{position:absolute;transform:translateX(-50%)}
summary{cursor:pointer;list-style:none}summary::-webkit-details-marker{display:none}
summary::before{content:"";position:absolute;left:.3rem;top:50%;width:.42rem;height:.42rem;
border:solid var(--soft);border-width:0 1.5px 1.5px 0;transform:translateY(-50%) rotate(-45deg)}
details[open]>summary::before{transform:translateY(-70%) rotate(45deg)}
summary:hover,details[open]>summary{background:var(--panel)}
summary:focus-visible{outline-offset:-2px}
.note{display:block;font-family:system-ui,sans-serif;line-height:1.25;padding-bottom:.2rem}
.plot{align-self:stretch;display:flex;align-items:center;min-height:2.4rem}
.plot svg{width:100%;height:26px;overflow:visible}
.bar line{stroke:var(--ok);stroke-width:2}.bad .bar line{stroke:var(--bad)}
.good .bar line{stroke:var(--good)}.undecided .bar line{stroke:var(--undecided);stroke-width:1.5}
.bar.open line{stroke-dasharray:3 5}
.key{color:var(--soft);font-size:.86em}.key .badge{margin-right:.8em}
.pairs{padding:.4rem .25rem 1rem 1.2rem;background:var(--panel)}
.pairs p{margin:.2rem 0 .6rem;color:var(--soft);font-size:.92em}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(19rem,100%),1fr));gap:.8rem 1.5rem}
.pairs .x{margin:.35rem 0 0;font-size:.8em}
.chart path{fill:none;vector-effect:non-scaling-stroke}
.zero{stroke:var(--zero)}.limit{stroke:var(--limit);stroke-dasharray:4 4}
.middle{stroke:var(--good);stroke-width:1.5}.band{fill:var(--band)}.joined{stroke:var(--line)}
.dots{stroke-width:5;stroke-linecap:round}.dots.base{stroke:var(--base);stroke-width:6}
.dots.now{stroke:var(--now);stroke-linecap:square;stroke-width:4}.dots.out{opacity:.45}
.series{margin-left:.8em;color:var(--soft);white-space:nowrap}
.series::before{content:"";display:inline-block;width:.5em;height:.5em;margin-right:.35em;
background:var(--now)}
.series.base::before{background:var(--base);border-radius:50%}
.series.middle::before{width:1.2em;height:.55em;border-top:2px solid var(--good);background:var(--band)}
@media (max-width:60rem){.row{grid-template-columns:1fr auto;gap:0 .8rem;padding-top:.4rem}
.row>.id,.row>span:first-child{grid-column:1/-1}.row>.plot,.row>.axis{grid-column:1/-1;order:3}.plot{min-height:2rem}
.change{text-align:left}.change small{display:inline}
.head>span{display:none}summary::before{top:1.05rem}}
"""
