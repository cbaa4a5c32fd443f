"""A time limit is one clock, which begins once and stands still while others are waited for."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rustvmm_sessions.deadline import Deadline


def test_the_time_begins_when_it_is_made() -> None:
    deadline = Deadline(minutes=1)
    assert 59 < deadline.left < 60
    deadline.prolong(-61)
    assert -2 < deadline.left < 0


def test_without_limit_time_never_ends() -> None:
    deadline = Deadline()
    assert deadline.left == math.inf
    deadline.prolong(5)
    assert deadline.left == math.inf


def test_time_waited_for_others_is_given_back() -> None:
    deadline = Deadline(minutes=1)
    deadline.prolong(30)
    deadline.prolong(10)
    assert 99 < deadline.left < 100


@pytest.mark.parametrize(("minutes", "left"), [(2, 75), (1, 15), (None, math.inf)])
def test_another_limit_keeps_the_beginning_and_what_was_given_back(
    minutes: float | None, left: float
) -> None:
    deadline = Deadline(minutes=5)
    deadline.prolong(-50)
    deadline.prolong(5)
    other = replace(deadline, minutes=minutes)
    assert other.left == pytest.approx(left, abs=1)
    other.prolong(100)
    assert deadline.left == pytest.approx(255, abs=1)


def test_a_limit_is_named_by_its_setting() -> None:
    assert Deadline(minutes=0.5).limit == "the time limit timeout_minutes=0.5"
    assert Deadline(minutes=5, setting="--max-minutes").limit == "the time limit --max-minutes=5"
