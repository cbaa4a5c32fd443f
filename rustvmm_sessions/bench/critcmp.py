"""A run as two of criterion's baselines, for critcmp: ``critcmp --target-dir DIR base head``."""

from __future__ import annotations

import json
import math
import re
import statistics
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.bench.statistics import bound_rank
from rustvmm_sessions.wording import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.bench.model import BenchReport

CONFIDENCE = 0.95
"""The confidence level of criterion's own intervals."""

_NORMAL = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_MAD_SCALE = 1.4826
"""Makes the median absolute deviation of normal values their standard deviation, as criterion does."""

_LONGEST_NAME = 64


def baselines(report: BenchReport) -> dict[str, str]:
    """Return the files of the baselines ``base`` and ``head``: relative paths and their JSON text.

    The figures are those of all processes of a side, each of which gives one time per iteration.
    critcmp shows their mean and standard deviation, and divides means; it does not know of pairs.
    """
    files = {}
    names: set[str] = set()
    for comparison in report.benchmarks:
        name = _directory(comparison.id, names)
        names.add(name.casefold())
        shown = escaped(comparison.id)
        about = {
            "group_id": shown,
            "function_id": None,
            "value_str": None,
            "throughput": None,
            "full_id": shown,
            "directory_name": name,
            "title": shown,
        }
        for baseline, times in zip(("base", "head"), zip(*comparison.pairs, strict=True), strict=True):
            folder = f"criterion/{name}/{baseline}"
            files[f"{folder}/benchmark.json"] = json.dumps(about)
            files[f"{folder}/estimates.json"] = json.dumps(_estimates(times))
    return files


def _directory(name: str, taken: set[str]) -> str:
    """Return a directory's name for an id, which no other has, on whatever file system."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_LONGEST_NAME]
    found, number = plain, 1
    while found.casefold() in taken:
        number += 1
        found = f"{plain}-{number}"
    return found


def _estimates(times: Sequence[float]) -> dict[str, Any]:
    """Return the statistics of a side in criterion's form, with intervals that need no resampling."""
    count = len(times)
    mean, median = statistics.fmean(times), statistics.median(times)
    deviation = statistics.stdev(times) if count > 1 else 0.0
    distances = [_MAD_SCALE * abs(time - median) for time in times]
    return {
        "mean": _normal(mean, deviation / math.sqrt(count)),
        "median": _ranked(times),
        "median_abs_dev": _ranked(distances),
        "slope": None,
        "std_dev": _normal(deviation, deviation / math.sqrt(2 * max(count - 1, 1))),
    }


def _normal(value: float, error: float) -> dict[str, Any]:
    return _estimate(value, error, value - _NORMAL * error, value + _NORMAL * error)


def _ranked(values: Sequence[float]) -> dict[str, Any]:
    """Return the median with the interval of the sign test; of few values the whole range."""
    ordered = sorted(values)
    rank = max(bound_rank(len(ordered), (1 - CONFIDENCE) / 2), 1)
    low, high = ordered[rank - 1], ordered[-rank]
    return _estimate(statistics.median(ordered), (high - low) / (2 * _NORMAL), low, high)


def _estimate(value: float, error: float, low: float, high: float) -> dict[str, Any]:
    return {
        "confidence_interval": {"confidence_level": CONFIDENCE, "lower_bound": low, "upper_bound": high},
        "point_estimate": value,
        "standard_error": error,
    }
