from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from convbench.facts import statistics
from convbench.facts.statistics import Interval

floats = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize("n,ranks", [(6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (30, (10, 21)), (60, (22, 39))])
def test_ranks_of_the_design(n, ranks):
    assert statistics.median_ranks(n) == ranks


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_ranks_agree_with_scipys_binomial(confidence):
    for n in range(1, 400):
        low = int(stats.binom.ppf((1 - confidence) / 2, n, 0.5))
        # ppf returns the smallest count whose tail reaches the level; the rank must stay at or below the level.
        k = low + 1 if stats.binom.cdf(low, n, 0.5) <= (1 - confidence) / 2 else low
        assert statistics.median_ranks(n, confidence) == ((k, n + 1 - k) if k >= 1 else None)


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


@pytest.mark.parametrize("function", [statistics.median, lambda v: statistics.quantile(v, 0.5)])
def test_no_values_have_no_median(function):
    with pytest.raises(ValueError, match="at least one value"):
        function([])


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


def test_binomial_tail_agrees_with_scipy():
    for n in (0, 1, 7, 30, 400):
        for p in (0.0, 0.05, 0.5, 0.95, 1.0):
            for k in range(-1, n + 2):
                assert statistics.binomial_tail(k, n, p) == pytest.approx(
                    stats.binom.sf(k - 1, n, p), rel=1e-9, abs=1e-300
                )


def test_sign_p_value_agrees_with_scipys_binomial_test():
    values = np.random.default_rng(0).normal(-0.02, 0.05, size=31).tolist()
    below = sum(v < -0.01 for v in values)
    expected = stats.binomtest(below, 31, 0.5, alternative="greater").pvalue
    assert statistics.sign_p_value(values, -0.01) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_q_values_agree_with_scipy(p_values):
    expected = stats.false_discovery_control(p_values, method="bh")
    assert statistics.q_values(p_values) == pytest.approx(list(expected))


def test_no_tests_have_no_q_values():
    assert statistics.q_values([]) == []


def test_false_discovery_is_controlled_over_a_sweep():
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(300):
        z = np.concatenate([rng.normal(size=180), rng.normal(4, size=20)])
        called = np.array(statistics.q_values(stats.norm.sf(z).tolist())) <= 0.05
        shares.append(called[:180].sum() / max(called.sum(), 1))
    assert np.mean(shares) <= 0.06


def change(base: Interval, new: Interval, margin: float = 0.03) -> float:
    p_value = statistics.change_p_value(base, new, margin)
    assert p_value is not None
    return p_value


def test_change_is_found_when_intervals_are_far_apart_and_not_when_they_overlap():
    base = Interval(1.5, 1.48, 1.52)
    assert change(base, Interval(1.3, 1.28, 1.32)) < 1e-6
    assert change(base, Interval(1.49, 1.47, 1.51)) > 0.5
    assert change(base, Interval(1.7, 1.68, 1.72)) > 0.999


@pytest.mark.parametrize("shift,expected", [(0.1, 0.0), (0.0, 1.0)])
def test_change_between_intervals_without_width(shift, expected):
    base, new = Interval(1.0, 1.0, 1.0), Interval(1.0 - shift, 1.0 - shift, 1.0 - shift)
    assert change(base, new) == expected


def test_change_is_unknown_without_intervals():
    assert statistics.change_p_value(Interval(1.0, None, None), Interval(1.0, 0.9, 1.1), 0.03) is None
    assert statistics.change_p_value(Interval(1.0, 0.9, 1.1), Interval(1.0, None, None), 0.03) is None


def test_change_raises_a_false_alarm_at_most_as_often_as_its_p_value_says():
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(3000):
        base, new = (np.exp(rng.normal(shift, 0.03, size=30)).tolist() for shift in (math.log1p(0.03), 0.0))
        alarms += change(statistics.median_interval(base), statistics.median_interval(new)) <= 0.05
    assert alarms / 3000 <= 0.06
