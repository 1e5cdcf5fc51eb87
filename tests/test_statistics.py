from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from convbench.facts import statistics

floats = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize("n,ranks", [(6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (30, (10, 21)), (60, (22, 39))])
def test_ranks_of_the_design(n, ranks):
    assert statistics.median_ranks(n) == ranks


@pytest.mark.parametrize("confidence", ["0.9", "0.95", "0.99"])
def test_ranks_agree_with_the_binomial_counted_in_whole_numbers(confidence):
    for n in range(1, 400):
        tail = (1 - Fraction(confidence)) / 2 * 2**n
        below, k = 0, 0
        while (below := below + math.comb(n, k)) <= tail:
            k += 1
        assert statistics.median_ranks(n, float(confidence)) == ((k, n + 1 - k) if k else None)


def test_ranks_agree_with_scipys_binomial():
    for n in (*range(1, 60), 400, 1023, 1024, 1100, 4000):
        allowed = stats.binom.cdf(np.arange(n), n, 0.5) <= (1 - 0.95) / 2
        k = int(allowed.sum())
        assert statistics.median_ranks(n) == ((k, n + 1 - k) if k else None)


def ranks_of(n: int, confidence: float = 0.95) -> tuple[int, int]:
    ranks = statistics.median_ranks(n, confidence)
    assert ranks is not None
    return ranks


def ends(values: list[float]) -> tuple[float, float]:
    _, low, high = statistics.median_interval(values)
    assert low is not None
    assert high is not None
    return low, high


def test_the_interval_covers_the_median_of_a_skewed_distribution_as_often_as_the_binomial_says():
    rng = np.random.default_rng(5)
    for n in (6, 20, 61):
        draws = rng.lognormal(size=(20_000, n))
        low, high = (np.sort(draws, axis=1)[:, rank - 1] for rank in ranks_of(n))
        k = ranks_of(n)[0]
        expected = 1 - 2 * stats.binom.cdf(k - 1, n, 0.5)
        assert np.mean((low <= 1) & (high >= 1)) == pytest.approx(expected, abs=0.006)


@given(st.lists(floats, min_size=1, max_size=60))
def test_median_and_interval_agree_with_numpy_and_enclose_each_other(values):
    estimate, low, high = statistics.median_interval(values)
    assert estimate == pytest.approx(float(np.median(values)))
    if len(values) < 6:
        assert low is None
        assert high is None
    else:
        assert low is not None
        assert high is not None
        assert low <= estimate <= high


@given(st.lists(floats, min_size=1, max_size=40), st.floats(0, 1))
def test_quantile_agrees_with_numpy(values, share):
    assert statistics.quantile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-6)


def test_an_infinite_value_beyond_the_quantile_does_not_make_it_unknown():
    assert statistics.quantile([*range(1, 11), math.inf], 0.9) == 10
    assert statistics.quantile([*range(1, 10), math.inf, math.inf], 0.9) == math.inf


def test_no_values_have_no_quantile():
    with pytest.raises(ValueError, match="at least one value"):
        statistics.quantile([], 0.5)


def test_spread_is_the_intervals_half_width_for_values_that_lie_evenly():
    values = [float(v) for v in range(-10, 0)] + [float(v) for v in range(1, 11)]
    low, high = ends(values)
    first = [bool(i % 2) for i in range(20)]
    assert statistics.spread_half_width(values, first) == pytest.approx((high - low) / 2, abs=1)


def test_spread_sees_the_gap_between_two_humps_even_when_the_interval_sits_inside_one():
    values = [-1.0] * 5 + [1.0] * 15
    low, high = ends(values)
    assert low == high
    assert statistics.spread_half_width(values, [v > 0 for v in values]) == 1.0


def test_spread_is_unknown_where_there_is_no_interval():
    assert statistics.spread_half_width([1.0] * 5, [True, False, True, False, True]) is None


@given(st.lists(st.tuples(floats, st.booleans()), min_size=6, max_size=60))
def test_spread_does_not_change_when_every_difference_changes_its_sign(pairs):
    values, first = [v for v, _ in pairs], [f for _, f in pairs]
    mirrored = statistics.spread_half_width([-v for v in values], [not f for f in first])
    assert statistics.spread_half_width(values, first) == pytest.approx(mirrored, abs=1e-6)


@pytest.mark.parametrize(
    "low,high,verdict",
    [
        (1.031, 1.2, "faster"),
        (1.03, 1.2, "inconclusive"),
        (0.8, 0.97, "slower"),
        (0.8, 1 / 1.03, "inconclusive"),
        (1 / 1.03, 1.03, "equivalent"),
        (0.999, 1.001, "equivalent"),
        (0.9, 1.1, "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_verdicts_at_their_borders(low, high, verdict):
    assert statistics.speed_verdict(low, high, 0.03) == verdict


@given(st.floats(0.1, 10), st.floats(1, 1.5), st.floats(0, 0.3))
def test_exchanging_method_and_baseline_exchanges_faster_and_slower(low, width, margin):
    opposite = {"faster": "slower", "slower": "faster"}
    verdict = statistics.speed_verdict(low, low * width, margin)
    swapped = statistics.speed_verdict(1 / (low * width), 1 / low, margin)
    border = any(math.isclose(v, m, rel_tol=1e-12) for v in (low, low * width) for m in (1 + margin, 1 / (1 + margin)))
    assert border or swapped == opposite.get(verdict, verdict)


def test_binomial_tail_is_the_sum_of_its_terms():
    for n in (0, 1, 7, 30, 400):
        for share in (Fraction(0), Fraction(1, 20), Fraction(1, 2), Fraction(19, 20), Fraction(1)):
            terms = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
            for k in range(-1, n + 2, max(1, n // 30)):
                expected = float(sum(terms[max(k, 0) :], Fraction(0)))
                assert statistics.binomial_tail(k, n, float(share)) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_three_to_five_pairs_have_students_interval():
    values = [math.log(1 / 470) + d for d in (-0.1, 0.0, 0.1)]
    found = statistics.pairs_interval(values, [True, False, True])
    theirs = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(theirs)
    assert statistics.speed_verdict(math.exp(found.low), math.exp(found.high), 0.03) == "slower"
    assert statistics.pairs_interval(values, [True] * 3).low is None, "an effect of the order cannot be told from one"
    assert statistics.pairs_interval(values[:2], [True, False]).low is None


def test_six_pairs_that_agree_are_an_interval_of_order_statistics():
    values = [math.log(1 / 470) + d for d in (-0.1, 0.0, 0.1, 0.02, -0.03, 0.01)]
    found = statistics.pairs_interval(values, [True] * 6)
    assert (found.low, found.high) == (min(values), max(values))


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("kind", ["normal", "heavy", "order"])
def test_few_pairs_cover_the_truth(n, kind):
    """By simulation, under an effect of the order within a pair as well."""
    rng, missed, tried = np.random.default_rng(n), 0, 0
    for _ in range(600):
        first = rng.random(n) < 0.5
        noise = rng.standard_cauchy(n) if kind == "heavy" else rng.normal(0, 1, n)
        values = 0.02 * noise + (0.04 * (2 * first - 1) if kind == "order" else 0.0)
        found = statistics.pairs_interval(list(values), list(first))
        if found.low is not None and found.high is not None:
            tried += 1
            missed += not found.low <= 0 <= found.high
    assert tried > 400
    assert statistics.binomial_tail(missed, tried, 0.05) > 0.01


@pytest.mark.parametrize("effect", [0.0, 0.04])
def test_the_centre_of_two_orders_is_not_moved_by_what_the_order_does(effect):
    """Scatter of a process's figure over many processes: as small as that of the median without such an effect."""
    rng, centres, medians = np.random.default_rng(4), [], []
    for _ in range(400):
        first = rng.random(20) < 0.5
        values = list(rng.normal(0, 0.01, 20) + effect * (2 * first - 1))
        centres.append(statistics.orders_centre(values, list(first)))
        medians.append(float(np.median(values)))
    assert abs(np.mean(centres)) < 3e-4
    assert np.std(centres) < 0.0035, "0.01 · sqrt(π/2 / 20), and a little for halves that are not equal"
    assert bool(np.std(medians) > 0.015) is bool(effect)


def test_the_centre_of_one_order_is_the_median():
    assert statistics.orders_centre([1.0, 5.0, 2.0], [True] * 3) == 2.0
    assert statistics.orders_centre([1.0, 5.0, 2.0, 8.0], [True, False, True, False]) == 4.0
