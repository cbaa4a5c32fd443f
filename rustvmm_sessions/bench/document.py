"""A run as JSON, and back: what ``bench --json`` writes and ``bench --analyse`` reads.

The document holds every pair that was measured, so it can be judged anew, by another threshold too.
What it says about verdicts, changes and intervals is for other programs; we never believe it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from rustvmm_sessions.bench.model import (
    OPTIONS,
    BenchReport,
    BenchVerdict,
    Comparison,
    Host,
    Judgement,
    Looks,
    Revision,
    percent,
)
from rustvmm_sessions.bench.statistics import (
    FAMILY_ALPHA,
    NOTES,
    hear_witness,
    judge,
    overall,
)
from rustvmm_sessions.errors import UserError

SCHEMA = 1
MOST_PAIRS = 1000
"""More pairs than a benchmark is ever judged by."""

_SHORTEST, _LONGEST = 1e-6, 1e18
"""Nanoseconds that may be a time: a millionth of one, and thirty years."""

_UNMEASURED = (BenchVerdict.IDENTICAL, BenchVerdict.NOTHING, BenchVerdict.INCONCLUSIVE)


def to_json(report: BenchReport) -> dict[str, Any]:
    """Return the document of a run, without infinities: the end of an interval may be None."""
    host = report.host
    return {
        "schema": SCHEMA,
        "base": {"ref": report.base.ref, "commit": report.base.commit},
        "head": {"commit": report.head.commit, "dirty": report.head.dirty},
        "host": host
        and {
            "machine": host.machine,
            "model": host.model,
            "kernel": host.kernel,
            "processors": host.processors,
            "processor": host.processor,
            "load": host.load,
            "doubts": list(host.doubts),
        },
        "verdict": str(report.verdict),
        "benchmarks": [_benchmark(comparison) for comparison in report.benchmarks],
        "only_in_base": list(report.only_in_base),
        "only_in_head": list(report.only_in_head),
        "unmeasured": list(report.unmeasured),
        "geomean_change_percent": report.geomean_change,
        "threshold_percent": report.threshold,
        "options": list(report.options),
        "reason": report.reason,
    }


def _benchmark(comparison: Comparison) -> dict[str, Any]:
    judgement = comparison.judgement
    base, head = comparison.medians
    ends = (percent(end) if math.isfinite(end) else None for end in (judgement.low, judgement.high))
    return {
        "id": comparison.id,
        "verdict": str(judgement.verdict),
        "change_percent": percent(judgement.change),
        "interval_percent": list(ends),
        "pairs": len(comparison.pairs),
        "base_ns": base,
        "head_ns": head,
        "instructions_change_percent": comparison.instructions_change,
        "raw": [list(pair) for pair in comparison.pairs],
        "looks": {
            "pairs": list(comparison.looks.pairs),
            "alpha": comparison.looks.alpha,
            "wanted": comparison.looks.wanted,
        },
        "time_only": comparison.time_only,
        "note": comparison.note,
    }


def analyse(report: BenchReport, threshold: float | None = None) -> BenchReport:
    """Judge the pairs of a run anew.

    Args:
        report: The run; its verdicts are of no account, unless nothing was measured.
        threshold: The slow-down in percent that passes; None for the one of the run.
    """
    limit = report.threshold if threshold is None else threshold
    benchmarks = tuple(_judged(comparison, limit) for comparison in report.benchmarks)
    verdicts = [comparison.judgement.verdict for comparison in benchmarks]
    verdict = overall(verdicts, complete=not report.unmeasured) if verdicts else report.verdict
    return replace(report, threshold=limit, benchmarks=benchmarks, verdict=verdict)


def _judged(comparison: Comparison, threshold: float) -> Comparison:
    times = judge(comparison.pairs, alpha=comparison.looks.alpha, threshold=threshold)
    heard = (times, "") if comparison.time_only else hear_witness(times, comparison.instructions_change)
    own = [note for note in comparison.note.split("; ") if note and note not in NOTES]
    return replace(comparison, judgement=heard[0], note="; ".join(filter(None, (*own, heard[1]))))


def from_json(text: str, where: str) -> BenchReport:
    """Read the document of a run and judge its pairs anew.

    Args:
        text: The document.
        where: The file, for messages.

    Raises:
        UserError: It is no such document; the key is named.
    """

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    try:
        data = json.loads(text, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise UserError(
            f"invalid JSON: {getattr(error, 'msg', error)}",
            where=f"{where}:{line}" if line else where,
            fix=_FIX,
        ) from error
    return analyse(_report(_Value(data, where)))


_FIX = "name a file that `nox -s bench -- --json FILE` wrote"


@dataclass(frozen=True)
class _Value:
    """A value of the document, and where it stands there."""

    value: Any
    where: str
    key: str = ""

    def wrong(self, expected: str) -> UserError:
        shown = json.dumps(self.value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        what = f"{shown} is not {expected}" if self.key else f"the document is not {expected}"
        return UserError(what, where=f"{self.where}: {self.key}" if self.key else self.where, fix=_FIX)

    def __getitem__(self, key: str) -> _Value:
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        path = f"{self.key}.{key}" if self.key else key
        if key not in self.value:
            raise UserError(f"there is no {key!r}", where=f"{self.where}: {path}", fix=_FIX)
        return _Value(self.value[key], self.where, path)

    def items(self) -> list[_Value]:
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [_Value(item, self.where, f"{self.key}[{n}]") for n, item in enumerate(self.value)]

    def string(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("a string")
        return self.value

    def name(self) -> str:
        if not self.string():
            raise self.wrong("a name")
        return self.string()

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def number(self, least: float, most: float) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        if not least <= self.value <= most:
            raise self.wrong(f"from {least:g} to {most:g}")
        return float(self.value)

    def count(self, least: int) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or self.value < least:
            raise self.wrong(f"a whole number from {least}")
        return self.value

    def strings(self) -> tuple[str, ...]:
        return tuple(item.string() for item in self.items())


def _report(data: _Value) -> BenchReport:
    if data["schema"].value != SCHEMA or isinstance(data["schema"].value, bool):
        raise data["schema"].wrong(f"the schema of this version, {SCHEMA}")
    benchmarks = tuple(_comparison(item) for item in data["benchmarks"].items())
    seen: set[str] = set()
    for item, comparison in zip(data["benchmarks"].items(), benchmarks, strict=True):
        if comparison.id in seen:
            raise item["id"].wrong("an id of its own: another benchmark has it, too")
        seen.add(comparison.id)
    verdict = data["verdict"]
    if verdict.value not in (_UNMEASURED if not benchmarks else tuple(BenchVerdict)):
        raise verdict.wrong("a verdict" if benchmarks else "the verdict of a run that measured nothing")
    host = data["host"]
    return BenchReport(
        base=Revision(ref=data["base"]["ref"].string(), commit=data["base"]["commit"].string()),
        head=Revision(commit=data["head"]["commit"].string(), dirty=data["head"]["dirty"].flag()),
        threshold=data["threshold_percent"].number(0, 1e6),
        verdict=BenchVerdict(verdict.value),
        options=tuple(_option(item) for item in data["options"].items()),
        host=None if host.value is None else _host(host),
        benchmarks=benchmarks,
        only_in_base=data["only_in_base"].strings(),
        only_in_head=data["only_in_head"].strings(),
        unmeasured=data["unmeasured"].strings(),
        reason=data["reason"].string(),
    )


def _option(data: _Value) -> str:
    """Return an option that is printed as a part of a command to copy: it must not do anything else."""
    name, equals, _ = data.string().partition("=")
    if name not in OPTIONS or not equals:
        raise data.wrong("an option that says what is compared, with its value")
    return data.string()


def _host(data: _Value) -> Host:
    processor = data["processor"]
    return Host(
        machine=data["machine"].string(),
        model=data["model"].string(),
        kernel=data["kernel"].string(),
        processors=data["processors"].count(1),
        processor=None if processor.value is None else processor.count(0),
        load=data["load"].number(0, 1e9),
        doubts=data["doubts"].strings(),
    )


def _comparison(data: _Value) -> Comparison:
    raw = data["raw"]
    if not 1 <= len(raw.items()) <= MOST_PAIRS:
        raise raw.wrong(f"a list of 1 to {MOST_PAIRS} pairs")
    change = data["instructions_change_percent"]
    return Comparison(
        id=data["id"].name(),
        pairs=tuple(_pair(item) for item in raw.items()),
        looks=_looks(data["looks"]),
        judgement=_UNJUDGED,
        instructions_change=None if change.value is None else change.number(-100, 1e9),
        time_only=data["time_only"].flag(),
        note=data["note"].string(),
    )


_UNJUDGED = Judgement(
    verdict=BenchVerdict.INCONCLUSIVE, change=0.0, low=-math.inf, high=math.inf, settled=False
)


def _pair(data: _Value) -> tuple[float, float]:
    times = data.items()
    if len(times) != 2:
        raise data.wrong("a pair of nanoseconds, [base, head]")
    base, head = (time.number(_SHORTEST, _LONGEST) for time in times)
    return base, head


def _looks(data: _Value) -> Looks:
    pairs = tuple(item.count(1) for item in data["pairs"].items())
    if not pairs or list(pairs) != sorted(set(pairs)):
        raise data["pairs"].wrong("a list of ascending numbers of pairs")
    alpha = data["alpha"].number(0, FAMILY_ALPHA)
    if not alpha:
        raise data["alpha"].wrong("a chance above 0")
    return Looks(pairs=pairs, alpha=alpha, wanted=data["wanted"].count(1))
