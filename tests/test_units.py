"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.facts import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.2345e-9, "1.23 ns"),
        (123.4e-9, "123 ns"),
        (12.3e-6, "12.3 µs"),
        (999.4e-6, "999 µs"),
        (999.6e-6, "1.00 ms"),
        (0.25, "250 ms"),
        (59.94, "59.9 s"),
        (200.0, "3 min 20 s"),
        (7500.0, "2 h 05 min"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_times_have_three_digits_and_a_fitting_unit(seconds, text):
    assert units.time(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (273600, "3 d 04 h"),
    ],
)
def test_durations_round_up_to_the_next_unit(seconds, text):
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (5.1e6, "5.10 MB"), (None, "–")]
)
def test_sizes(count, text):
    assert units.size(count) == text


def test_rates():
    assert units.rate(1.23e10, "FLOP") == "12.3 GFLOP/s"
    assert units.rate(None, "B") == "–"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((1.3111, 1.28, 1.344), "1.31× [1.28, 1.34]"),
        ((12.34, 11.9, 12.8), "12.3× [11.9, 12.8]"),
        ((123.4, 120.2, 126.0), "123× [120, 126]"),
        ((0.0123, 0.012, 0.0126), "0.012× [0.012, 0.013]"),
        ((2.0, None, None), "2.00×"),
        ((None, None, None), "–"),
    ],
)
def test_ratios_carry_their_interval_with_the_same_decimals(values, text):
    assert units.interval(*values) == text


@given(st.floats(1e-4, 1e5), st.integers(1, 6))
def test_significant_digits_lose_no_more_than_half_a_unit_of_the_last(value, digits):
    shown = float(units.significant(value, digits))
    assert abs(shown - value) <= 0.5000001 * 10 ** (math.floor(math.log10(value)) - digits + 1)


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.0, "0%"), (1.0, "100%"), (0.9999, ">99.9%"), (0.12, "12%"), (0.003, "0.30%"), (0.995, "99.5%")],
)
def test_a_share_is_only_everything_when_it_is(part, text):
    assert units.share(part) == text


def test_counts_agree_with_their_noun():
    assert [units.count(n, "row") for n in (0, 1, 10000)] == ["0 rows", "1 row", "10,000 rows"]
    assert units.count(2, "axis", "axes") == "2 axes"
