"""How often bench errs, on few of the runs that `nox -s speed -- bench-simulation` makes thousands of."""

from __future__ import annotations

import pytest

from rustvmm_sessions.bench.statistics import FAMILY_ALPHA
from tests.perf.bench_simulation import NOISES, normal, rates

LOUD = "normal, MAD 6 %"  # above all that was measured


@pytest.mark.parametrize("noise", NOISES)
def test_runs_without_a_slow_down_do_not_fail(noise: str) -> None:
    found = rates(NOISES[noise], slower=0, benchmarks=10, runs=20)
    assert found.runs_failed == 0
    assert found.failed == 0
    assert found.inconclusive <= 0.01


@pytest.mark.parametrize("noise", NOISES)
def test_slow_downs_of_five_and_of_ten_percent_are_found(noise: str) -> None:
    five, ten = (rates(NOISES[noise], slower, benchmarks=10, runs=10) for slower in (5, 10))
    assert five.failed >= (0.8 if noise == LOUD else 0.97)
    assert ten.failed >= 0.99


def test_on_a_quiet_machine_two_percent_are_found_and_few_pairs_needed() -> None:
    found = rates(NOISES["normal, MAD 1.4 %"], slower=2, benchmarks=1, runs=100)
    assert found.failed >= 0.75
    none = rates(NOISES["normal, MAD 1.4 %"], slower=0, benchmarks=1, runs=100)
    assert none.pairs <= 45
    assert none.error <= 1


def test_at_the_threshold_itself_runs_fail_as_seldom_as_promised() -> None:
    """The worst case of what may pass: a change of exactly the threshold."""
    found = rates(normal(3), slower=1, benchmarks=1, runs=1000)
    assert 0 < found.failed <= 1.5 * FAMILY_ALPHA
