"""Numbers in messages, rounding half up, and the name that was meant."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustvmm_sessions.coverage.measurement import Profile
from rustvmm_sessions.wording import columns, counted, did_you_mean, nearest, rounded, width


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        ("0.5", 0, "1"),
        ("1.5", 0, "2"),
        ("2.5", 0, "3"),  # half to even would give 2
        ("80.05", 1, "80.1"),  # the nearest float lies below
        ("2.675", 2, "2.68"),
        ("2.6749999999999999999999", 2, "2.67"),
        ("80.04999", 1, "80.0"),
        ("99.995", 2, "100.00"),
        ("-0.5", 0, "-1"),
        ("-0.4", 0, "0"),
        ("90", 2, "90.00"),
        ("0", 1, "0.0"),
    ],
)
def test_rounding_is_half_up(value: str, decimals: int, text: str) -> None:
    assert str(rounded(Fraction(value), decimals)) == text


@settings(deadline=None)
@given(st.fractions(), st.integers(0, 40))
def test_rounding_is_exact(value: Fraction, decimals: int) -> None:
    result = rounded(value, decimals)
    magnitude = Fraction(math.floor(abs(value) * 10**decimals + Fraction(1, 2)), 10**decimals)
    assert Fraction(result) == (magnitude if value >= 0 else -magnitude)
    assert result.as_tuple().exponent == -decimals


@settings(deadline=None)
@given(st.integers(), st.integers(0, 20))
def test_ties_go_away_from_zero(whole: int, decimals: int) -> None:
    half = Fraction(2 * whole + 1, 2) / 10**decimals
    up = whole + 1 if half > 0 else whole
    assert Fraction(rounded(half, decimals)) == Fraction(up, 10**decimals)


def test_rounding_ignores_the_precision_that_a_noxfile_sets() -> None:
    with decimal.localcontext(prec=3):
        assert str(rounded(Fraction("96.0596"), 3)) == "96.060"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 points"), (1, "1 point"), (21, "21 points"), ("1", "1 point"), ("0.1", "0.1 points")],
)
def test_one_thing_is_not_several(number: int | str, text: str) -> None:
    assert counted(number, "point") == text


def test_the_nearest_name_is_one_that_resembles() -> None:
    assert nearest("unit-test", ["unit-tests", "unit-tests-musl"]) == "unit-tests"
    assert nearest("abc", ["xyz"]) == ""
    assert did_you_mean("abc", ["xyz", "uvw"]) == "there are: uvw, xyz"
    assert did_you_mean("devle", Profile) == "did you mean 'devel'?"


@pytest.mark.parametrize(("text", "size"), [("ab", 2), ("日本", 4), ("e\u0301", 1), ("🦀", 2), ("", 0)])
def test_wide_and_combining_characters_take_the_columns_they_take(text: str, size: int) -> None:
    assert width(text) == size


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("name", "ns", "what"), ("日本", "1234", ""), ("e\u0301", "5", "a\nb"), ("short row",), ()]
    assert columns(rows, right=(1,)) == [
        "name         ns  what",
        "日本       1234",
        "e\u0301             5  a b",
        "short row",
        "",
    ]
    assert columns([]) == []


def test_columns_fit_a_terminal_by_wrapping_the_widest_cells() -> None:
    rows = [("step", "from", "x86_64"), ("event-manager: performance", "a standard session", "yes"), ()]
    assert columns(rows, most=40) == [
        "step             from             x86_64",
        "event-manager:   a standard       yes",
        "performance      session",
        "",
    ]
    assert columns(rows, most=200) == columns(rows)
    assert columns([("a" * 20, "b")], most=5) == ["a" * 12 + "  b", "a" * 8]


@settings(deadline=None)
@given(st.lists(st.lists(st.text("ab -/", max_size=60), min_size=3, max_size=3)), st.integers(40, 100))
def test_columns_that_fit_lose_no_letter(rows: list[list[str]], most: int) -> None:
    lines = columns(rows, most=most)
    assert all(len(line) <= most for line in lines)
    letters = [sorted("".join(text).replace(" ", "")) for text in (lines, (c for row in rows for c in row))]
    assert letters[0] == letters[1]
