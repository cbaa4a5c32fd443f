"""Figures: counts and exact percentages."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.coverage.measurement import Backend, Lines, Profile, Scope, Verdict

if TYPE_CHECKING:
    from enum import StrEnum


def test_lines_say_counts_and_percent() -> None:
    lines = Lines(covered=902, count=939)
    assert lines.uncovered == 37
    assert lines.percent == Fraction(90200, 939)
    assert str(lines) == "902/939 lines, 96.06 %"
    assert str(Lines(covered=0, count=1)) == "0/1 line, 0.00 %"


def test_nothing_to_cover_is_no_coverage() -> None:
    assert Lines(covered=0, count=0).percent == 0


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (Profile, ["ci", "devel"]),
        (Scope, ["workspace", "crate"]),
        (Backend, ["auto", "cargo-llvm-cov", "cargo"]),
        (Verdict, ["equal", "higher", "lower", "none"]),
    ],
)
def test_options_and_reports_have_the_contracts_words(words: type[StrEnum], values: list[str]) -> None:
    assert [str(word) for word in words] == values
