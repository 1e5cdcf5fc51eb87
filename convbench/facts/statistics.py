"""Intervals and verdicts that assume no distribution: order statistics, signs, and false-discovery control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

CONFIDENCE = 0.95
NORMAL_95 = 1.959963984540054
"""Half-width of a 95% interval of a normal estimate, in standard errors."""


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
    tail = (1 - Fraction(str(confidence))) / 2 * 2**n
    below, k = 0, 0
    while k < n and (below := below + math.comb(n, k)) <= tail:
        k += 1
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
    # Between two equal infinities there is no difference to take a share of.
    return low if low == high else low + (place - left) * (high - low)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones. Raises ValueError without values."""
    if not values:
        raise ValueError("a median needs at least one value")
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The median with its order-statistic interval; no ends where there are too few values for one."""
    ordered = sorted(values)
    ranks = median_ranks(len(ordered), confidence)
    if ranks is None:
        return Interval(median(ordered), None, None)
    return Interval(median(ordered), ordered[ranks[0] - 1], ordered[ranks[1] - 1])


def spread_half_width(values: Sequence[float], first: Sequence[bool]) -> float | None:
    """Half-width that the interval of the median would have if the values lay evenly about their centre.

    `first` says of each value which of two equally likely orders it was taken in. The centre is the mean of the
    two orders' medians, and the half-width is the distance from it that as many values exceed as lie outside
    the interval's ranks. It decides when to stop, in place of the interval's own width: with an order effect
    (or two regimes) the differences have two humps, the interval is narrow only while it sits wholly inside one
    of them, and stopping at such a moment missed the truth in 14% of simulated runs; this width cannot see on
    which side of the centre a value lies, and missed it in 4%. None where there is no interval.
    """
    n = len(values)
    ranks = median_ranks(n)
    if ranks is None:
        return None
    halves = [[v for v, f in zip(values, first, strict=True) if f is side] for side in (True, False)]
    centre = sum(median(half) for half in halves) / 2 if all(halves) else median(values)
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


def binomial_tail(at_least: int, n: int, p: float) -> float:
    """P(Bin(n, p) ≥ at_least), exact up to rounding."""
    if at_least <= 0:
        return 1.0
    if p in (0.0, 1.0):
        return float(at_least <= n and p == 1.0)
    if at_least > n:
        return 0.0
    terms = (
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p)
        for i in range(at_least, n + 1)
    )
    return min(1.0, math.fsum(map(math.exp, terms)))


def sign_p_value(values: Sequence[float], bound: float) -> float:
    """One-sided sign test: how likely at least this many values below `bound` are if their median is not below it.

    Values equal to the bound count as not below. With log ratios and bound −log(1 + margin): the p-value of
    "slower by more than the margin".
    """
    return binomial_tail(sum(v < bound for v in values), len(values), 0.5)


def change_p_value(base: Interval, new: Interval, margin: float) -> float | None:
    """One-sided p-value of "the speedup `new` is lower than the speedup `base` by more than the margin".

    z = (log base − log new − log(1 + margin)) / √(s_base² + s_new²), with s the distance on the log scale from
    each estimate to the end of its 95% interval that faces the other, over 1.96. None where either interval is
    unknown. Two runs share no pairs, so this one leans on a normal approximation of the two medians.
    """
    if base.low is None or base.high is None or new.low is None or new.high is None:
        return None
    gap = math.log(base.estimate) - math.log(new.estimate) - math.log1p(margin)
    facing = (base.low, new.high) if gap > 0 else (base.high, new.low)
    scale = math.hypot(math.log(base.estimate / facing[0]), math.log(facing[1] / new.estimate)) / NORMAL_95
    if scale == 0:
        return 0.0 if gap > 0 else 1.0
    return 0.5 * math.erfc(gap / scale / math.sqrt(2))


def q_values(p_values: Sequence[float]) -> list[float]:
    """Benjamini–Hochberg q-values in the order given: q₍ᵢ₎ = min over j ≥ i of p₍ⱼ₎·n/j.

    Calling everything with q ≤ 0.05 keeps the expected share of false calls among the calls at 5% (Benjamini &
    Hochberg 1995), however many are tested.
    """
    n = len(p_values)
    out, smallest = [0.0] * n, 1.0
    by_size = sorted(range(n), key=lambda i: p_values[i], reverse=True)
    for rank, i in zip(range(n, 0, -1), by_size, strict=True):
        smallest = min(smallest, p_values[i] * n / rank)
        out[i] = smallest
    return out
