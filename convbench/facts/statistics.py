"""Intervals and verdicts: order statistics, which assume no distribution, and Student's t over processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from statistics import fmean, median, stdev
from typing import NamedTuple

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An estimate and the ends of its interval; the ends are None where too few values were seen to have one."""

    estimate: float
    low: float | None
    high: float | None


@lru_cache(maxsize=4096)
def median_ranks(n: int, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Ranks (1-based) of the order statistics that enclose the median with at least `confidence`.

    (k, n+1−k) with k the largest rank for which P(Bin(n, ½) ≤ k−1) ≤ (1 − confidence)/2: whether a value lies
    below the median is a fair coin, whatever the distribution (David & Nagaraja, Order Statistics, §7.1).
    20 → (6, 15), 30 → (10, 21), 60 → (22, 39). None for n < 6 at 95%: even the extremes miss it more often.
    """
    # Counted in whole numbers, n throws of a coin have 2ⁿ outcomes: the sides of a duet have no scipy.
    allowed = int(Fraction((1 - confidence) / 2) * 2**n)
    k, outcomes, below = 0, 1, 1
    while below <= allowed:
        k += 1
        outcomes = outcomes * (n + 1 - k) // k
        below += outcomes
    return (k, n + 1 - k) if k else None


def quantile(values: Sequence[float], share: float) -> float:
    """The `share` quantile of the values, linear between order statistics. Raises ValueError without values."""
    if not values:
        raise ValueError("a quantile needs at least one value")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    left = min(int(place), len(ordered) - 2)
    if left < 0:
        return ordered[0]
    low, high = ordered[left], ordered[left + 1]
    # An infinite difference is never multiplied by zero, which would give NaN.
    return low if low == high or place == left else low + (place - left) * (high - low)


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The median with its order-statistic interval; no ends where there are too few values for one."""
    ordered = sorted(values)
    ranks = median_ranks(len(ordered), confidence)
    if ranks is None:
        return Interval(median(ordered), None, None)
    return Interval(median(ordered), ordered[ranks[0] - 1], ordered[ranks[1] - 1])


FEW = 3
"""Values from which Student's interval stands in where there are too few for order statistics."""


def pairs_interval(values: Sequence[float], first: Sequence[bool]) -> Interval:
    """The interval of paired differences: that of their median, or from three to five pairs Student's.

    `first` as in spread_half_width. With so few, the values are taken to be normally distributed, or more prone to
    outliers, which widens the interval more than it needs to be (simulated: 95% to 99%). It holds the smallest and
    the largest of them. All in one order, an effect of the order would look like one of the arms: no interval.
    """
    found = median_interval(values)
    n = len(values)
    if found.low is not None or n < FEW or len(set(first)) < 2:
        return found
    half = student_quantile(n - 1) * stdev(values) / n**0.5
    return Interval(found.estimate, min(*values, fmean(values) - half), max(*values, fmean(values) + half))


def processes_interval(figures: Sequence[float]) -> Interval:
    """What a process typically finds, from one figure of each fresh process; no ends for one process.

    The mean ± t·s/√n by Student's t with n − 1 degrees of freedom. Pairs within one process say nothing of the next
    one: their interval holds what processes typically find in two thirds of cases (docs/timing.md).
    """
    n = len(figures)
    if n == 1:
        return Interval(figures[0], None, None)
    centre, half = fmean(figures), student_quantile(n - 1) * stdev(figures) / math.sqrt(n)
    return Interval(centre, centre - half, centre + half)


def orders_centre(values: Sequence[float], first: Sequence[bool]) -> float:
    """The mean of the medians of the two orders; the median where all values were taken in one order.

    `first` says of each value which of two equally likely orders it was taken in. What the order does to a pair falls
    out of it, while the median of all lies in whichever of two clusters happens to hold more values.
    """
    halves = [[v for v, f in zip(values, first, strict=True) if f == side] for side in (True, False)]
    return sum(median(half) for half in halves) / 2 if all(halves) else median(values)


def spread_half_width(values: Sequence[float], first: Sequence[bool]) -> float | None:
    """Half-width that the interval of the median would have if the values lay evenly about their centre.

    The centre is orders_centre, and the half-width is the distance from it that as many values exceed as lie outside
    the interval's ranks. It decides when to stop, in place of the interval's own width: with an order effect
    (or two regimes) the differences have two humps, the interval is narrow only while it sits wholly inside one
    of them, and stopping at such a moment missed the truth in 14% of simulated runs; this width cannot see on
    which side of the centre a value lies, and missed it in 4%. None where there is no interval.
    """
    n = len(values)
    ranks = median_ranks(n)
    if ranks is None:
        return None
    centre = orders_centre(values, first)
    return sorted(abs(v - centre) for v in values)[min(n - 2 * ranks[0] + 1, n - 1)]


def speed_verdict(low: float | None, high: float | None, margin: float) -> str:
    """`faster`, `slower`, `equivalent` or `inconclusive`, from the interval of baseline time over method time.

    The margin is a factor, 1 + margin either way, so that exchanging method and baseline exchanges faster and
    slower. Faster or slower need the whole interval beyond it, equivalent the whole interval within it.
    """
    if low is None or high is None:
        return "inconclusive"
    if low > 1 + margin:
        return "faster"
    if high < 1 / (1 + margin):
        return "slower"
    return "equivalent" if low >= 1 / (1 + margin) and high <= 1 + margin else "inconclusive"


def student_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """t with P(|T| ≤ t) = confidence for Student's T of so many degrees of freedom."""
    # Not at the top: the sides of a duet import this module and have no scipy.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def binomial_tail(at_least: int, n: int, p: float) -> float:
    """P(Bin(n, p) ≥ at_least)."""
    # Not at the top: the sides of a duet import this module and have no scipy.
    from scipy.special import bdtrc

    return float(bdtrc(at_least - 1, n, p)) if 0 < at_least <= n else float(at_least <= 0)
