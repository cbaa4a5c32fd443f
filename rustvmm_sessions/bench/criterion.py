"""Criterion's harness from outside: its command line, its list of benchmarks, and its files.

Read off criterion 0.3.6 to 0.8.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.bench.statistics import process_estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

BASELINE = "rustvmm"
"""The baseline that a process saves its samples under."""

_TITLE_BYTES = 100
_METACHARACTERS = re.compile(r"[\\.+*?()|\[\]{}^$]")
"""What a filter must escape; Rust's regular expressions refuse a needless backslash."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long one process measures a benchmark.

    Attributes:
        arguments: For the harness; settings of a benchmark group are stronger than most of them.
        limit: Seconds after which a process with them shows that the next effort is better; None
            for the last one.
    """

    arguments: tuple[str, ...]
    limit: float | None


_TIMES = ("--warm-up-time=0.01", "--measurement-time=0.04", "--nresamples=100")
_SHORT = Effort(arguments=(*_TIMES, "--sample-size=10"), limit=0.5)
# Iterations that take longer, and groups with settings of their own: two or three samples, or one
# iteration alone where that is as long as the measurement was to be. How much the samples may
# differ is ours to judge.
_QUICK = Effort(arguments=(*_TIMES, "--quick", "--significance-level=0.9"), limit=None)
# Before 0.4 times were whole seconds.
_WHOLE_SECONDS = Effort(
    arguments=("--warm-up-time=1", "--measurement-time=1", "--nresamples=100", "--sample-size=10"), limit=None
)


def efforts(version: tuple[int, int]) -> tuple[Effort, ...]:
    """Return the efforts that criterion of a version knows, the least first."""
    return (_WHOLE_SECONDS,) if version < (0, 4) else (_SHORT, _QUICK)


def arguments(effort: Effort, pattern: str) -> tuple[str, ...]:
    """Return the words that let the harness measure what matches `pattern` and keep the samples."""
    return ("--bench", "--noplot", f"--save-baseline={BASELINE}", *effort.arguments, pattern)


LIST = ("--bench", "--list")


def parse_list(text: str) -> tuple[str, ...]:
    """Return the titles of all benchmarks in what ``--list`` prints."""
    return tuple(m[1] for m in re.finditer(r"^(.*): bench(?:mark)?$", text, re.MULTILINE))


def patterns(titles: Sequence[str]) -> tuple[str, ...]:
    """Return filters that together select the benchmarks of these titles, each as few as can be.

    A title is the benchmark's id, but one of over 100 bytes is cut off, and where two are the same
    the later ones get a number; those have one filter in common.
    """
    known = set(titles)
    return tuple(dict.fromkeys(_pattern(title, known) for title in titles))


def is_cut(title: str) -> bool:
    """Whether a title is only the beginning of the benchmark's id."""
    start = title.removesuffix("...")
    return start != title and len(start.encode()) > _TITLE_BYTES - 4  # cut at a character's boundary


def _pattern(title: str, known: set[str]) -> str:
    numbered = re.fullmatch(r"(.*) #\d+", title, re.DOTALL)
    if numbered and numbered[1] in known:
        title = numbered[1]
    return f"^{escape(title.removesuffix('...'))}" if is_cut(title) else f"^{escape(title)}$"


def escape(text: str) -> str:
    """Return a regular expression of Rust's that matches `text` alone."""
    return _METACHARACTERS.sub(r"\\\g<0>", text)


def parse_result(benchmark: str, sample: str) -> tuple[str, float]:
    """Return a benchmark's id and its nanoseconds per iteration.

    Args:
        benchmark: The content of ``benchmark.json``.
        sample: The content of ``sample.json``.

    Raises:
        ValueError: These are no such files.
    """
    try:
        names, data = json.loads(benchmark), json.loads(sample)
        return _id(names), process_estimate(data["iters"], data["times"])
    except (KeyError, TypeError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"not as criterion writes it: {error!r}") from error


def _id(names: dict[str, Any]) -> str:
    """Return the title, which is unique, unless it is cut off."""
    full: str = names["full_id"]
    title: str = names.get("title", full)
    return full if len(full.encode()) > _TITLE_BYTES else title


def parse_version(package_id: str) -> tuple[int, int] | None:
    """Return major and minor version in cargo's id of the package criterion, None for others.

    CodSpeed's fork of criterion 0.5 has a number of its own, the same command line, and writes the same.
    """
    names = "(?:criterion|codspeed-criterion-compat-walltime)"
    match = re.search(rf"(?:^|[/#]){names}[@# ](?:.*#)?(\d+)\.(\d+)\.", package_id)
    return (int(match[1]), int(match[2])) if match else None
