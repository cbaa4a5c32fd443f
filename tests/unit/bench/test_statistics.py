"""The statistics of bench: what each function says of small examples, and what always holds."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rustvmm_sessions.bench.model import BenchVerdict, Judgement
from rustvmm_sessions.bench.statistics import (
    DISAGREEMENT,
    FAMILY_ALPHA,
    LOOKS,
    SUSPICION,
    UNCOUNTED,
    bound_rank,
    detectable,
    fewest_pairs,
    hear_witness,
    instructions_change,
    judge,
    overall,
    plan_looks,
    process_estimate,
    wanted_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, INCONCLUSIVE = BenchVerdict.OK, BenchVerdict.INCONCLUSIVE
REGRESSION, IMPROVEMENT = BenchVerdict.REGRESSION, BenchVerdict.IMPROVEMENT
ALPHA = 0.01
MIRRORED = {REGRESSION: IMPROVEMENT, IMPROVEMENT: REGRESSION}

PAIRS = st.lists(st.tuples(st.floats(1e-1, 1e6), st.floats(1e-1, 1e6)), min_size=1, max_size=25)
CLOSE_PAIRS = st.lists(
    st.floats(-0.03, 0.03).map(lambda d: (100.0, 100 * math.exp(d))), min_size=8, max_size=25
)


def noisy(percent: float, pairs: int, *, sigma: float = 0.01, seed: int = 1) -> list[tuple[float, float]]:
    """Return pairs of a change in percent, seen through normal noise."""
    draw = random.Random(seed)
    return [(100.0, (100 + percent) * math.exp(draw.gauss(0, sigma))) for _ in range(pairs)]


def verdict(
    pairs: Sequence[tuple[float, float]], *, alpha: float = ALPHA, threshold: float = 1
) -> BenchVerdict:
    return judge(pairs, alpha=alpha, threshold=threshold).verdict


# One process


def test_a_process_is_as_fast_as_the_fastest_quarter_of_its_samples() -> None:
    assert process_estimate([10, 10, 10, 10, 10], [100, 110, 120, 500, 9000]) == 11


def test_the_quartile_lies_between_two_samples() -> None:
    assert process_estimate([1, 1, 1], [10, 20, 90]) == 15


def test_samples_of_growing_numbers_of_iterations_are_compared_by_time_per_iteration() -> None:
    assert process_estimate([1, 2, 3, 4, 5], [7, 14, 21, 28, 35]) == 7


def test_one_sample_is_its_own_quartile() -> None:
    assert process_estimate([4], [10]) == 2.5


def test_samples_without_times_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        process_estimate([1, 2], [1])


@given(st.lists(st.floats(0.1, 1e9), min_size=1, max_size=30))
def test_the_quartile_is_numpys(times: list[float]) -> None:
    ours = process_estimate([1] * len(times), times)
    assert ours == pytest.approx(stats.scoreatpercentile(times, 25))


# Which value bounds the median


def test_the_bound_of_ten_values() -> None:
    """Of ten values, fewer than 2 lie on one side with 11 of 1024 chances, fewer than 3 with 56."""
    assert bound_rank(10, 11 / 1024) == 2
    assert bound_rank(10, 10.9 / 1024) == 1
    assert bound_rank(10, 56 / 1024) == 3


@pytest.mark.parametrize("alpha", [0.25, 0.05, 0.01, 0.001, 0.01 / 400])
@pytest.mark.parametrize("pairs", range(1, 16))
def test_the_bound_errs_as_seldom_as_asked_and_the_next_one_would_not(pairs: int, alpha: float) -> None:
    """Each value is below the median or not, every pattern as likely; the k-th errs if fewer than k are."""
    rank = bound_rank(pairs, alpha)
    below = [pattern.bit_count() for pattern in range(2**pairs)]
    assert sum(count < rank for count in below) <= alpha * 2**pairs
    assert sum(count < rank + 1 for count in below) > alpha * 2**pairs


@pytest.mark.parametrize("alpha", [0.4, 0.1, 0.01, 0.001, 0.01 / 400])
@pytest.mark.parametrize("pairs", [*range(1, 31), 60, 120, 240])
def test_scipys_binomial_gives_the_same_rank(pairs: int, alpha: float) -> None:
    rank = bound_rank(pairs, alpha)
    assert stats.binom.cdf(rank - 1, pairs, 0.5) <= alpha < stats.binom.cdf(rank, pairs, 0.5)


@pytest.mark.parametrize(("pairs", "rank"), [(1, 1), (2, 1), (3, 2), (4, 2)])
@pytest.mark.parametrize("alpha", [0.7, 0.9, 1.0])
def test_an_alpha_of_a_half_or_more_leaves_the_middle(pairs: int, rank: int, alpha: float) -> None:
    assert bound_rank(pairs, alpha) == rank


@given(st.integers(1, 60), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_a_larger_alpha_never_takes_a_lower_rank(pairs: int, one: float, other: float) -> None:
    assert bound_rank(pairs, min(one, other)) <= bound_rank(pairs, max(one, other))


@pytest.mark.parametrize(("alpha", "pairs"), [(0.5, 1), (0.25, 2), (0.05, 5), (0.01, 7), (0.0001, 14)])
def test_the_fewest_pairs_are_the_first_that_bound_anything(alpha: float, pairs: int) -> None:
    assert fewest_pairs(alpha) == pairs
    assert bound_rank(pairs, alpha) > 0
    assert bound_rank(pairs - 1, alpha) == 0


# When pairs are judged


def test_with_time_enough_a_benchmark_is_judged_at_the_planned_looks() -> None:
    looks = plan_looks(1, LOOKS[-1])
    assert looks.pairs == LOOKS
    assert looks.alpha == pytest.approx(FAMILY_ALPHA / len(LOOKS))


@pytest.mark.parametrize("benchmarks", [1, 3, 10, 100])
@pytest.mark.parametrize("most", [1, 12, 29, 30, 100, 239, 240, 10**9])
def test_all_looks_of_all_benchmarks_share_one_error(benchmarks: int, most: int) -> None:
    looks = plan_looks(benchmarks, most)
    assert looks.alpha * len(looks.pairs) * benchmarks == pytest.approx(FAMILY_ALPHA)
    assert list(looks.pairs) == sorted(set(looks.pairs))


@pytest.mark.parametrize("benchmarks", [1, 10, 100])
@pytest.mark.parametrize("seconds", [0.1, 0.5, 2, 10, 100])
def test_every_look_at_the_pairs_that_are_wanted_can_prove_a_slow_down(
    benchmarks: int, seconds: float
) -> None:
    looks = plan_looks(benchmarks, wanted_pairs(benchmarks, seconds))
    for pairs in looks.pairs:
        assert verdict([(100, 200)] * pairs, alpha=looks.alpha) is REGRESSION


def test_with_less_time_the_last_look_comes_earlier() -> None:
    assert plan_looks(1, 200).pairs == (30, 60, 120, 200)
    assert plan_looks(1, 100).pairs == (30, 60, 100)
    assert plan_looks(1, 40).pairs == (40,)
    assert plan_looks(1, 1).pairs == (1,)
    short = plan_looks(1, 80, 0.5)
    assert (short.pairs, short.wanted) == ((40,), 80)
    assert plan_looks(1, 80, 0.0).pairs == (1,)
    assert plan_looks(1, 80, 2.0).pairs == plan_looks(1, 80).pairs


def test_as_many_pairs_are_wanted_as_fit_into_a_minute_but_enough_to_prove_something() -> None:
    assert wanted_pairs(1, 0.13) == LOOKS[-1]
    assert wanted_pairs(1, 0.5) == 120
    assert wanted_pairs(1, 100) == fewest_pairs(FAMILY_ALPHA) + 4
    assert wanted_pairs(100, 100) == fewest_pairs(FAMILY_ALPHA / 100) + 4


# What pairs prove


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(-5, IMPROVEMENT), (0, OK), (0.5, OK), (5, REGRESSION), (900, REGRESSION), (-90, IMPROVEMENT)],
)
def test_thirty_quiet_pairs_prove_changes_that_matter(percent: float, expected: BenchVerdict) -> None:
    found = judge(noisy(percent, 30), alpha=ALPHA, threshold=1)
    assert found.verdict is expected
    assert found.settled
    assert found.low < math.log1p(percent / 100) < found.high
    assert found.change == pytest.approx(math.log1p(percent / 100), abs=0.005)


def test_loud_pairs_prove_nothing() -> None:
    found = judge(noisy(0, 30, sigma=0.2), alpha=ALPHA, threshold=1)
    assert found.verdict is INCONCLUSIVE
    assert not found.settled


def test_the_threshold_passes_and_what_lies_above_fails() -> None:
    assert verdict([(100, 103)] * 30, threshold=3.001) is OK
    assert verdict([(100, 103)] * 30, threshold=2.999) is REGRESSION


def test_an_improvement_is_the_mirror_image_of_a_regression() -> None:
    assert verdict([(103, 100)] * 30, threshold=2.999) is IMPROVEMENT
    assert verdict([(103, 100)] * 30, threshold=3.001) is OK


def test_a_threshold_of_zero_asks_for_a_proof_of_any_change() -> None:
    assert verdict([(1000, 1001)] * 30, threshold=0) is REGRESSION
    assert verdict([(1000, 999)] * 30, threshold=0) is IMPROVEMENT
    assert verdict([(1000, 1000)] * 30, threshold=0) is OK


def test_a_large_threshold_lets_as_much_pass() -> None:
    assert verdict([(100, 149)] * 30, threshold=50) is OK
    assert verdict([(100, 151)] * 30, threshold=50) is REGRESSION
    assert verdict(noisy(40, 30, sigma=0.1), threshold=50) is OK


def test_ok_means_that_a_slow_down_of_five_percent_is_excluded() -> None:
    found = judge(noisy(0, 30, sigma=0.05), alpha=ALPHA, threshold=1)
    assert found.verdict is OK
    assert math.log1p(0.02) < found.high < math.log1p(0.05)
    wider = judge(noisy(0, 30, sigma=0.1), alpha=ALPHA, threshold=1)
    assert wider.verdict is INCONCLUSIVE
    assert wider.high > math.log1p(0.05)


def test_more_pairs_are_wanted_until_twice_the_threshold_is_excluded() -> None:
    pairs = noisy(0, 30, sigma=0.05)
    for threshold in (1, 2.5):
        found = judge(pairs, alpha=ALPHA, threshold=threshold)
        assert found.verdict is OK
        assert found.settled is (threshold == 2.5)


def test_from_the_look_before_the_last_only_inconclusive_benchmarks_are_measured_on() -> None:
    pairs = noisy(0, LOOKS[-2], sigma=0.14)
    assert verdict(pairs[:-1]) is verdict(pairs) is OK
    assert not judge(pairs[:-1], alpha=ALPHA, threshold=1).settled
    assert judge(pairs, alpha=ALPHA, threshold=1).settled
    assert not judge(noisy(0, LOOKS[-2], sigma=0.5), alpha=ALPHA, threshold=1).settled


def test_one_pair_proves_nothing() -> None:
    assert judge([(100, 900)], alpha=ALPHA, threshold=1) == Judgement(
        verdict=INCONCLUSIVE,
        change=math.log(900) - math.log(100),
        low=-math.inf,
        high=math.inf,
        settled=False,
    )


def test_equal_pairs_have_an_interval_of_one_point() -> None:
    found = judge([(250, 250)] * 30, alpha=ALPHA, threshold=1)
    assert (found.low, found.change, found.high) == (0, 0, 0)
    assert found.verdict is OK


@given(CLOSE_PAIRS, st.sampled_from([0.1, 0.05, 0.01]))
def test_the_interval_is_scipys_interval_of_a_quantile(
    pairs: list[tuple[float, float]], alpha: float
) -> None:
    differences = [math.log(head) - math.log(base) for base, head in pairs]
    test = stats.quantile_test(differences, p=0.5)
    theirs = test.confidence_interval(confidence_level=1 - 2 * alpha)
    ours = judge(pairs, alpha=alpha, threshold=1)
    assert (ours.low, ours.high) == (theirs.low, theirs.high)


def test_a_quarter_of_wild_pairs_changes_no_verdict() -> None:
    quiet = noisy(5, 90)
    for wild in ((1, 1e6), (1e6, 1)):
        found = judge([*quiet, *[wild] * 30], alpha=ALPHA, threshold=1)
        assert found.change == pytest.approx(0.05, abs=0.01)
        assert found.verdict is REGRESSION


def test_ratios_beyond_floats_in_percent_are_judged() -> None:
    found = judge([(1e-300, 1e300)] * 30, alpha=ALPHA, threshold=1)
    assert found.verdict is REGRESSION
    assert math.isfinite(found.change)


@given(PAIRS, st.floats(1e-3, 1e3))
def test_the_unit_of_time_does_not_matter(pairs: list[tuple[float, float]], factor: float) -> None:
    one = judge(pairs, alpha=ALPHA, threshold=1)
    scaled = judge([(factor * base, factor * head) for base, head in pairs], alpha=ALPHA, threshold=1)
    assert scaled.change == pytest.approx(one.change, abs=1e-9)
    assert scaled.low == pytest.approx(one.low, abs=1e-9)
    assert scaled.high == pytest.approx(one.high, abs=1e-9)


@given(CLOSE_PAIRS | PAIRS)
def test_exchanging_base_and_head_mirrors_what_is_proven(pairs: list[tuple[float, float]]) -> None:
    one = judge(pairs, alpha=ALPHA, threshold=1)
    other = judge([(head, base) for base, head in pairs], alpha=ALPHA, threshold=1)
    assert other.change == pytest.approx(-one.change, abs=1e-12)
    assert other.low == pytest.approx(-one.high, abs=1e-12)
    assert other.high == pytest.approx(-one.low, abs=1e-12)
    if one.verdict in MIRRORED:
        assert other.verdict is MIRRORED[one.verdict]


@given(CLOSE_PAIRS | PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_pairs_does_not_matter(pairs: list[tuple[float, float]], draw: random.Random) -> None:
    shuffled = draw.sample(pairs, len(pairs))
    one, other = (judge(some, alpha=ALPHA, threshold=1) for some in (pairs, shuffled))
    assert other.low == pytest.approx(one.low, abs=1e-12)
    assert other.change == pytest.approx(one.change, abs=1e-12)
    assert other.high == pytest.approx(one.high, abs=1e-12)


@given(CLOSE_PAIRS | PAIRS, st.floats(1e-6, 0.5), st.floats(1e-6, 0.5))
def test_a_larger_alpha_never_widens_the_interval(
    pairs: list[tuple[float, float]], one: float, other: float
) -> None:
    strict, lax = (judge(pairs, alpha=alpha, threshold=1) for alpha in sorted((one, other)))
    assert strict.low <= lax.low <= lax.change <= lax.high <= strict.high


@given(CLOSE_PAIRS | PAIRS, st.floats(0, 50), st.floats(0, 50))
def test_a_larger_threshold_never_makes_a_regression(
    pairs: list[tuple[float, float]], one: float, other: float
) -> None:
    strict, lax = (verdict(pairs, threshold=threshold) for threshold in sorted((one, other)))
    assert lax is not REGRESSION or strict is REGRESSION


# What could have been found


def test_a_run_says_what_it_could_have_found() -> None:
    found = Judgement(verdict=OK, change=0.0, low=math.log(0.98), high=math.log(1.02), settled=True)
    assert detectable(found, 1) == pytest.approx(100 * (1.01 / 0.98 - 1))


def test_a_slow_down_just_above_what_can_be_found_is_found() -> None:
    pairs = noisy(0, 60)
    limit = detectable(judge(pairs, alpha=ALPHA, threshold=1), 1) / 100

    def slowed(factor: float) -> BenchVerdict:
        return verdict([(base, head * factor) for base, head in pairs])

    change = math.exp(judge(pairs, alpha=ALPHA, threshold=1).change)
    assert slowed((1 + limit) / change * 1.0001) is REGRESSION
    assert slowed((1 + limit) / change * 0.9999) is not REGRESSION


def test_too_few_pairs_find_nothing_at_all() -> None:
    assert detectable(judge([(1, 1)], alpha=ALPHA, threshold=1), 1) == math.inf


# The run


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], OK),
        ([OK, OK], OK),
        ([OK, IMPROVEMENT], IMPROVEMENT),
        ([IMPROVEMENT, INCONCLUSIVE, OK], INCONCLUSIVE),
        ([OK, INCONCLUSIVE, IMPROVEMENT, REGRESSION], REGRESSION),
    ],
)
def test_the_verdict_that_matters_most_is_the_runs(
    verdicts: list[BenchVerdict], expected: BenchVerdict
) -> None:
    assert overall(verdicts, complete=True) is expected
    assert overall(reversed(verdicts), complete=True) is expected


def test_a_run_whose_time_was_up_is_inconclusive_unless_it_is_worse() -> None:
    assert overall([OK, IMPROVEMENT], complete=False) is INCONCLUSIVE
    assert overall([OK, REGRESSION], complete=False) is REGRESSION


# The witness


@pytest.mark.parametrize(
    ("base", "head", "base_ns", "change"),
    [
        (1000, 1020, 300, 2),
        (1000, 1000, 1, 0),
        (10_000_000, 10_000_032, 100, 1),  # a setup of ten million, and a change of what is measured
        (10_000_000, 9_000_000, 100, -100),
    ],
)
def test_a_change_of_instructions_is_one_of_what_is_measured(
    base: int, head: int, base_ns: float, change: float
) -> None:
    assert instructions_change(base, head, base_ns) == pytest.approx(change)


SLOWER = judge([(100, 110)] * 30, alpha=ALPHA, threshold=1)
FASTER = judge([(110, 100)] * 30, alpha=ALPHA, threshold=1)


@pytest.mark.parametrize("judgement", [SLOWER, FASTER], ids=["slower", "faster"])
@pytest.mark.parametrize("instructions", [0.0, 0.03, -0.0999])
def test_a_change_without_one_in_instructions_is_not_held_against_anyone(
    judgement: Judgement, instructions: float
) -> None:
    heard, note = hear_witness(judgement, instructions)
    assert heard.verdict is INCONCLUSIVE
    assert note == SUSPICION
    assert (heard.low, heard.change, heard.high) == (judgement.low, judgement.change, judgement.high)


@pytest.mark.parametrize("judgement", [SLOWER, FASTER], ids=["slower", "faster"])
@pytest.mark.parametrize("instructions", [None, 0.1, -0.1, 10.0, -10.0])
def test_a_change_with_one_in_instructions_stands(judgement: Judgement, instructions: float | None) -> None:
    assert hear_witness(judgement, instructions) == (judgement, "")


@pytest.mark.parametrize("instructions", [None, 0.0, 5.0])
def test_a_benchmark_that_did_not_change_needs_no_witness(instructions: float | None) -> None:
    same = judge([(100, 100)] * 30, alpha=ALPHA, threshold=1)
    assert hear_witness(same, instructions) == (same, "")


def proven(percent: float) -> Judgement:
    """Return the judgement of equal pairs: all of their interval is this change."""
    return judge([(100, 100 + percent)] * 30, alpha=ALPHA, threshold=1)


@pytest.mark.parametrize("sign", [1, -1], ids=["slower", "faster"])
@pytest.mark.parametrize(
    ("instructions", "note"),
    [
        (0.6, ""),
        (5.0, ""),
        (0.4, DISAGREEMENT),
        (-0.4, DISAGREEMENT),
        (-5.0, DISAGREEMENT),
        (None, UNCOUNTED),
    ],
)
@pytest.mark.parametrize("change", [1.1, 1.8, 4.5])
def test_a_small_change_needs_one_of_instructions_the_same_way(
    sign: int, instructions: float | None, note: str, change: float
) -> None:
    judgement = proven(sign * change)
    heard, said = hear_witness(judgement, None if instructions is None else sign * instructions)
    assert said == note
    assert heard.verdict is (INCONCLUSIVE if note == DISAGREEMENT else judgement.verdict)


@pytest.mark.parametrize("instructions", [None, -3.0, 0.2, 3.0])
def test_a_large_change_may_come_of_slower_instructions(instructions: float | None) -> None:
    assert hear_witness(proven(8), instructions) == (proven(8), "")


def test_below_half_a_percent_as_many_instructions_as_time_are_enough() -> None:
    judgement = judge([(1000, 1003)] * 30, alpha=ALPHA, threshold=0.2)
    assert hear_witness(judgement, 0.31) == (judgement, "")
    assert hear_witness(judgement, 0.2)[1] == DISAGREEMENT


def test_what_layout_does_fails_nothing_and_hides_no_slow_down_of_five_percent() -> None:
    """Layout moves times by a few percent; the instructions of moved code are the same within 0.4 %."""
    chance = random.Random(7)

    def heard(work: float, seed: int) -> BenchVerdict:
        judgement = judge(noisy(work + chance.gauss(0, 1), 60, seed=seed), alpha=ALPHA, threshold=1)
        return hear_witness(judgement, work + chance.uniform(-0.4, 0.4))[0].verdict

    moved = [heard(0, seed) for seed in range(1000)]
    assert moved.count(REGRESSION) <= 1
    assert moved.count(INCONCLUSIVE) > 100
    slower = [heard(5, seed) for seed in range(1000)]
    assert slower.count(REGRESSION) > 950
