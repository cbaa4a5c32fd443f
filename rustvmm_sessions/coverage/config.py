"""``coverage_config_ARCH.json``, in which a crate says what of its coverage counts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rustvmm_sessions.coverage.exclusions import PatternError, python_pattern, split_patterns
from rustvmm_sessions.documents import read_json
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

SCORE_TOLERANCE = Fraction(1, 2)
"""Points by which rust-vmm-ci lets coverage differ from ``coverage_score``."""


_KEYS = ("coverage_score", "exclude_path", "crate_features")


@dataclass(frozen=True, kw_only=True)
class CoverageConfig:
    """The content of ``coverage_config_ARCH.json``; all of it may be missing.

    Attributes:
        path: Where the file is, or would be.
        score: ``coverage_score`` in percent.
        exclude: llvm-cov's regular expressions on absolute paths, of files that do not count.
        features: None for all features, else those beside the default ones.
        warnings: What is odd about the file but does not stop anything.
    """

    path: Path
    score: Fraction | None = None
    exclude: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


def parse_coverage_config(text: str, path: Path) -> CoverageConfig:
    """Read ``coverage_config_ARCH.json``.

    ``exclude_path`` separates its patterns by ``|``, or by commas as the oldest crates do.

    Raises:
        UserError: Invalid JSON, a value of the wrong type, a score outside 0 to 100, a pattern
            that is no regular expression; file and line are named.
    """
    document = read_json(text, str(path), number=_decimal, allow_twice=True)
    data = document.data
    warnings = [
        f"{document.at(*keys)}: the key {keys[-1]!r} is given twice; the last one counts"
        for keys in document.twice
    ]
    if not isinstance(data, dict):
        raise UserError(
            "an object is expected",
            where=document.at(),
            fix='write {"coverage_score": 80.1, "exclude_path": ""}',
        )
    warnings += [
        f"{document.at(key)}: the key {key!r} is unknown and ignored; {did_you_mean(key, _KEYS)}"
        for key in data
        if key not in _KEYS
    ]

    def string(key: str) -> str | None:
        value = data.get(key)
        if value is not None and not isinstance(value, str):
            raise UserError(
                f"{key} is a string, not {type(value).__name__}",
                where=document.at(key),
                fix=f'write "{key}": "..."',
            )
        return value

    features = string("crate_features")
    return CoverageConfig(
        path=path,
        score=_score(data.get("coverage_score"), document.at("coverage_score")),
        exclude=_patterns(string("exclude_path") or "", document.at("exclude_path")),
        features=None if features is None else tuple(f for f in re.split(r"[,\s]+", features) if f),
        warnings=tuple(warnings),
    )


def _score(value: Any, where: str) -> Fraction | None:
    if value is None:
        return None
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not number or not 0 <= value <= 100:
        raise UserError(
            f"coverage_score is a number from 0 to 100, not {value if number else repr(value)}",
            where=where,
            fix='write "coverage_score": 80.1',
        )
    return Fraction(value)


def _decimal(text: str) -> Decimal:
    """Read a number exactly, unless its exponent is one that no float has: that would take for ever."""
    number = float(text)
    return Decimal(text if 0 < abs(number) < math.inf else number)


def _patterns(value: str, where: str) -> tuple[str, ...]:
    patterns = split_patterns(value)
    for pattern in patterns:
        try:
            python_pattern(pattern)
        except PatternError as error:
            raise UserError(
                f"exclude_path: `{pattern}` is not a POSIX extended regular expression, as llvm-cov"
                f" takes them: {error}",
                where=where,
                fix="correct the pattern",
            ) from error
    return patterns
