"""What is said of a run, in words: the same in the terminal, in Markdown and on the page."""

from __future__ import annotations

import math
import re
import shlex
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustvmm_sessions.bench.model import BenchVerdict, percent, with_option
from rustvmm_sessions.bench.statistics import NOTES, detectable
from rustvmm_sessions.wording import counted, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rustvmm_sessions.bench.model import BenchReport, Comparison, Host, Judgement, Revision

VERDICTS = {
    BenchVerdict.OK: "ok",
    BenchVerdict.REGRESSION: "slower",
    BenchVerdict.IMPROVEMENT: "faster",
    BenchVerdict.INCONCLUSIVE: "undecided",
    BenchVerdict.IDENTICAL: "identical",
    BenchVerdict.NOTHING: "nothing to compare",
}
"""How verdicts are called where people read them."""

MOST_LISTED = 10
"""Names listed at most; the rest is counted."""

_METACHARACTER = re.compile(r"[][\\.^$*+?(){}|]")
_UNITS = ((1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s"))


@dataclass(frozen=True, kw_only=True)
class Markup:
    """How foreign text is written in what is made.

    Attributes:
        code: Writes a name or a command: an id, a reference.
        text: Writes prose: a note, a reason.
    """

    code: Callable[[str], str]
    text: Callable[[str], str]


# Figures


def lasting(seconds: float) -> str:
    """Write how long something takes that is waited for."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def duration(nanoseconds: float) -> str:
    """Write a time with four significant digits, in the unit that suits it."""
    rounded = float(f"{nanoseconds:.4g}")
    factor, name = unit(rounded)
    value = rounded / factor
    decimals = 3 - math.floor(math.log10(value)) if value else 0
    return f"{value:.{min(max(decimals, 0), 4)}f} {name}"


def unit(nanoseconds: float) -> tuple[float, str]:
    """Return the unit that suits a time: how many nanoseconds it has, and its name."""
    return next((unit for unit in reversed(_UNITS) if nanoseconds >= unit[0]), _UNITS[0])


def signed(change: float) -> str:
    """Write a change in percent with its sign, a manifold as ``x12.5``."""
    if change >= 1000:
        return f"x{change / 100 + 1:.3g}"
    text = f"{change:+.{2 if abs(change) < 10 else 1}f}"
    return f"{text if float(text) else text[1:]} %"


def change(judgement: Judgement) -> str:
    """Write the change of a benchmark."""
    return signed(percent(judgement.change))


def interval(judgement: Judgement) -> str:
    """Write what the change lies between."""
    if math.isinf(judgement.low) or math.isinf(judgement.high):
        return "too few pairs"
    low, high = signed(percent(judgement.low)), signed(percent(judgement.high))
    return f"{low.removesuffix(' %') if high.endswith('%') else low} to {high}"


def limit(threshold: float) -> str:
    """Write the threshold."""
    return f"{threshold:g} %"


def rounded_up(slow_down: float) -> str:
    """Write the size of a slow-down so that it is not made smaller."""
    scale = 10 if slow_down < 100 else 1
    return f"{math.ceil(round(slow_down * scale, 6)) / scale:g} %"


# What was compared


def revision(what: Revision, markup: Markup) -> str:
    """Write one of the two things compared."""
    commit = markup.code(what.commit[:12])
    name = f"{markup.code(what.ref)} ({commit})" if what.ref else commit
    return f"{name} with uncommitted changes" if what.dirty else name


def machine(host: Host, markup: Markup) -> str:
    """Write what measured, in one sentence."""
    pinned = "not pinned to one" if host.processor is None else f"pinned to number {host.processor}"
    count = counted(host.processors, "processor")
    model = f"{markup.text(host.model)}, " if host.model else ""
    return (
        f"Measured on {model}{markup.text(host.machine)}, Linux {markup.text(host.kernel)}, "
        f"{count}, {pinned}, load {host.load:.2f} at the start."
    )


def listed(names: Sequence[str], markup: Markup) -> str:
    """Write names in one line; what is beyond `MOST_LISTED` is counted."""
    shown = ", ".join(markup.code(name) for name in names[:MOST_LISTED])
    return f"{shown} and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else shown


# What follows


def having(report: BenchReport, verdict: BenchVerdict) -> list[Comparison]:
    """Return the benchmarks of a verdict."""
    return [comparison for comparison in report.benchmarks if comparison.judgement.verdict is verdict]


_ORDER = (
    BenchVerdict.REGRESSION,
    BenchVerdict.INCONCLUSIVE,
    BenchVerdict.IMPROVEMENT,
    BenchVerdict.OK,
)


def ranked(report: BenchReport) -> list[Comparison]:
    """Return the benchmarks, those that matter most first."""
    return sorted(report.benchmarks, key=lambda comparison: _ORDER.index(comparison.judgement.verdict))


def headline(report: BenchReport) -> str:
    """Return what the run comes to, in one line without foreign text."""
    by = f"by more than {limit(report.threshold)}"
    total = counted(len(report.benchmarks) + len(report.unmeasured), "benchmark")
    slower, faster, undecided = (
        len(having(report, verdict))
        for verdict in (BenchVerdict.REGRESSION, BenchVerdict.IMPROVEMENT, BenchVerdict.INCONCLUSIVE)
    )
    undecided += len(report.unmeasured)
    if report.verdict is BenchVerdict.INCONCLUSIVE and not report.benchmarks:
        return "Nothing was measured"
    rest = [f"{faster} got faster"] * bool(faster) + [f"{undecided} could not be decided"] * bool(undecided)
    match report.verdict:
        case BenchVerdict.IDENTICAL | BenchVerdict.NOTHING:
            identical = report.verdict is BenchVerdict.IDENTICAL
            return f"There is nothing to {'measure' if identical else 'compare'}"
        case BenchVerdict.REGRESSION:
            return "; ".join((f"{slower} of {total} got slower {by}", *rest))
        case BenchVerdict.INCONCLUSIVE:
            return "; ".join(
                (f"{undecided} of {total} could not be decided, none is proven slower", *rest[:-1])
            )
        case BenchVerdict.IMPROVEMENT:
            return f"{faster} of {total} got faster {by}, none is proven slower"
        case BenchVerdict.OK:
            return f"No slow-down found in {total}"


def conclusion(report: BenchReport, markup: Markup) -> str:
    """Return the headline as a sentence, with the reason where there is one."""
    return (
        f"{headline(report)}: {_clause(report.reason, markup)}." if report.reason else f"{headline(report)}."
    )


def _clause(text: str, markup: Markup) -> str:
    """Write foreign prose that is part of a sentence."""
    return markup.text(text.removesuffix("."))


def findings(report: BenchReport, markup: Markup) -> list[str]:
    """Return the sentences under the table: the mean, what could be found, how often that is wrong."""
    if report.geomean_change is None:
        return []
    mean = f"Geometric mean of all changes: {signed(report.geomean_change)}."
    return [
        *([mean] if len(report.benchmarks) > 1 else []),
        _findable(report, markup),
        f"At most {_error(report):.2g} % of such runs report a slow-down although no benchmark "
        f"got slower by more than {limit(report.threshold)}.",
    ]


def _error(report: BenchReport) -> float:
    """Return the chance of a false alarm in percent: that of all looks of all benchmarks together."""
    return 100 * math.fsum(c.looks.alpha * len(c.looks.pairs) for c in report.benchmarks)


def _findable(report: BenchReport, markup: Markup) -> str:
    """Say how large a slow-down had to be to be found: for most benchmarks, and for the noisy ones."""
    found = [(detectable(c.judgement, report.threshold), c.id) for c in report.benchmarks]
    usual = statistics.median_low(size for size, _ in found)
    if math.isinf(usual):
        return "There were too few pairs to find a slow-down, whatever its size."
    bound = max(2 * usual, usual + 1)
    noisy = sorted((pair for pair in found if pair[0] > bound), reverse=True)
    most = rounded_up(max(size for size, _ in found if size <= bound))
    sentence = f"Slow-downs of {most} and more would have been found in every benchmark"
    if not noisy:
        return f"{sentence}."
    parts = [
        f"in {markup.code(name)} "
        + ("none, there were too few pairs" if math.isinf(size) else f"only from {rounded_up(size)}")
        for size, name in noisy[:MOST_LISTED]
    ]
    if len(noisy) > MOST_LISTED:
        parts.append(f"and {len(noisy) - MOST_LISTED} more")
    return f"{sentence} but {len(noisy)}: {', '.join(parts)}."


def sides(report: BenchReport, markup: Markup) -> list[str]:
    """Return the sentences on benchmarks that were not compared."""
    kinds = (
        ("No time was left for", report.unmeasured),
        ("Only in the base", report.only_in_base),
        ("New, compared with nothing", report.only_in_head),
    )
    return [f"{what}: {listed(names, markup)}." for what, names in kinds if names]


def remarks(report: BenchReport, markup: Markup) -> list[str]:
    """Return what must be known about verdicts and about the machine."""
    notes = [f"{markup.code(c.id)}: {_clause(c.note, markup)}." for c in report.benchmarks if c.note]
    if len(notes) > MOST_LISTED:
        others = counted(len(notes) - MOST_LISTED, "more benchmark")
        notes[MOST_LISTED:] = [f"Notes on {others} are left out."]
    doubts = [] if report.host is None else report.host.doubts[:MOST_LISTED]
    return [*notes, *(f"This machine could measure better: {_clause(doubt, markup)}." for doubt in doubts)]


_AGAIN = "See whether it is there again:"


def next_steps(report: BenchReport) -> list[tuple[str, str]]:
    """Return what to do next: what for, and the command."""
    match report.verdict:
        case BenchVerdict.REGRESSION:
            slower = [c.id for c in having(report, BenchVerdict.REGRESSION)]
            return [
                (_AGAIN, _again(report, _only(slower))),
                ("Where it is meant, let the job pass:", _again(report, "--report-only")),
            ]
        case BenchVerdict.INCONCLUSIVE if not report.benchmarks:
            return [("Go on, with the builds that are kept:", _again(report))]
        case BenchVerdict.INCONCLUSIVE:
            undecided = having(report, BenchVerdict.INCONCLUSIVE)
            ids = [*(c.id for c in undecided), *report.unmeasured]
            if not report.unmeasured and all(c.note.endswith(NOTES) for c in undecided):
                why = _AGAIN
            elif not report.unmeasured and all(len(c.pairs) >= c.looks.wanted for c in undecided):
                why = "Measure on a machine that does less beside:"
            elif len(ids) == len(report.benchmarks) + len(report.unmeasured):
                return [("Give it more time, or fewer benchmarks:", _again(report, "--max-minutes=MINUTES"))]
            else:
                why = "Give these alone the time of all:"
            return [(why, _again(report, _only(ids)))]
        case _:
            return []


def _again(report: BenchReport, option: str = "") -> str:
    """Return the command that asks for the same comparison with one option more, or another value of it."""
    options = with_option(report.options, option) if option else report.options
    return " ".join((report.command, *map(_quoted, options))).removesuffix(" --")


def _quoted(option: str) -> str:
    """Write an option for a shell, a placeholder for a value that cannot be read and copied."""
    name, equals, value = option.partition("=")
    if not equals:
        return name
    quoted = f"{name}{'=' if value.startswith('-') else ' '}{shlex.quote(value)}"
    return quoted if quoted == one_line(quoted) else f"{name} REGEX"


def _only(ids: Sequence[str]) -> str:
    """Return the option that measures these alone."""
    these = "|".join(_METACHARACTER.sub(r"\\\g<0>", id_) for id_ in ids)
    return f"--filter=^({these})$"
