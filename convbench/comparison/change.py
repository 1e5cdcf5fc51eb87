"""The change of one number between two runs, with the uncertainty of both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

from scipy.special import ndtr, ndtri, stdtr, stdtrit
from scipy.stats import false_discovery_control

from ..facts.record import Record
from ..facts.statistics import student_quantile

LEVEL = 0.05
"""Share of false alarms among the slowdowns that are reported (the q-value's limit)."""

Z95, Z90, Z75 = (float(ndtri(share)) for share in (0.975, 0.95, 0.75))
"""A normal deviate lies below these in 97.5%, 95% and 75%: its size within them in 95%, 90% and 50%."""

REAL = math.log(1.2)
"""Ratios of the same code seldom lie further apart than this by more than their own intervals say."""

ENOUGH = 8
"""From so many cells on, their median says more about the noise than a constant would."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The log of a figure with its standard error and the degrees of freedom of that error."""

    value: float
    se: float
    freedom: float


def log_ratio_se(row: Record, middle: str, low: str, high: str) -> Estimate | None:
    """The log of a row's figure with a standard error from its 95% interval; None where the row has no such figure.

    Of n > 1 processes the interval is Student's: se = log(high / low) / (2 · t), with n − 1 degrees of freedom. Of one
    process its ends are order statistics and se = log(high / low) / (2 · 1.96); the width between two of n pairs that
    are 95% apart varies by about 0.71 / n^¼ of itself, so that se² has about √n degrees of freedom.
    """
    ends = [row.get(name) for name in (low, middle, high)]
    if any(end is None or not math.isfinite(end) or end <= 0 for end in ends):
        return None
    if row.get("processes", 1) > 1:
        spread = math.log(row[high] / row[low]) / (2 * student_quantile(row["processes"] - 1))
        return Estimate(math.log(row[middle]), max(spread, 0.0), row["processes"] - 1.0)
    se = math.log(row[high] / row[low]) / (2 * Z95)
    return Estimate(math.log(row[middle]), max(se, 0.0), math.sqrt(max(row.get("samples", 6), 6)))


def t_tail(t: float, freedom: float) -> float:
    """P(T > t) of Student's t; of a normal deviate where `freedom` is infinite."""
    return float(ndtr(-t) if math.isinf(freedom) else stdtr(freedom, -t))


def t_quantile(freedom: float, tail: float = 0.025) -> float:
    """The t beyond which `tail` lies: the inverse of `t_tail`."""
    return -float(ndtri(tail) if math.isinf(freedom) else stdtrit(freedom, tail))


Cell = TypeVar("Cell")


def processes_differ(row: Record, again: Record) -> Record:
    """`row` with the scatter of the processes of `again` in the interval of its speedup.

    A row from one process cannot know by how much another would have differed (memory layout, other work on the
    machine); several that measured it again can. A row from several knows it by itself.
    """
    processes = again.get("processes", 1)
    if row.get("processes", 1) > 1 or processes == 1:
        return row
    own, fresh = (log_ratio_se(r, "speedup", "speedup_low", "speedup_high") for r in (row, again))
    if own is None or fresh is None:
        return row
    half = Z95 * math.hypot(own.se, fresh.se * math.sqrt(processes))
    return {**row, "speedup_low": math.exp(own.value - half), "speedup_high": math.exp(own.value + half)}


def added(*errors: tuple[float, float]) -> tuple[float, float]:
    """The standard error of a sum and its degrees of freedom, from those of the independent parts."""
    total = sum(se**2 for se, _ in errors)
    spent = sum(se**4 / freedom for se, freedom in errors)
    return math.sqrt(total), total**2 / spent if spent else math.inf


@dataclass(frozen=True, slots=True)
class Between:
    """Standard deviation between two runs of the same code, and how well it is known."""

    spread: float
    freedom: float = math.inf


UNITS = {
    "ratio": "against the baseline",
    "time": "in absolute time",
    "pair": "than BASE, in alternating pairs",
}
"""What a change was found in: the ratios to a baseline in two runs, two runs' times, or pairs of BASE and NEW."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRatio:
    """A log ratio with its standard error and the degrees of freedom of that."""

    log: float
    se: float
    freedom: float

    @property
    def low(self) -> float:
        """Lower end of the 95% interval of `log`."""
        return self.log - t_quantile(self.freedom) * self.se

    @property
    def high(self) -> float:
        return self.log + t_quantile(self.freedom) * self.se


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(LogRatio):
    """How much slower NEW is: above 0 is slower. `what` is one of UNITS: how it was compared."""

    what: str

    @classmethod
    def of(cls, what: str, log: float, was: Estimate, now: Estimate) -> Change:
        """The change between two estimates: se² = Σ seᵢ², with Welch's and Satterthwaite's degrees of freedom."""
        se, freedom = added((was.se, was.freedom), (now.se, now.freedom))
        return cls(what=what, log=log, se=se, freedom=freedom)

    def widened(self, between: Between) -> Change:
        """The same change where the runs differ by more than their own intervals show."""
        se, freedom = added((self.se, self.freedom), (between.spread, between.freedom))
        return replace(self, se=se, freedom=freedom)

    def p_above(self, bound: float) -> float:
        """One-sided p-value of the claim that the true change is above `bound`."""
        return self._tail(self.log - bound)

    def p_below(self, bound: float) -> float:
        return self._tail(bound - self.log)

    def shows(self, bound: float, p: float) -> float:
        """The smallest change whose claim to be above `bound` would have had a p-value of `p` or less here."""
        return bound + t_quantile(self.freedom, p) * self.se

    def _tail(self, distance: float) -> float:
        if self.se == 0:
            return 0.0 if distance > 0 else 1.0
        return t_tail(distance / self.se, self.freedom)

    def against(self, common: float) -> Change:
        """This change of a time, taken outright and against the `common` change of the run's times: what of it both
        agree on, 0 where one says slower and the other faster."""
        both = (self.log, self.log - common)
        return replace(self, log=max(min(both), 0.0) if self.log > 0 else min(max(both), 0.0))

    def __str__(self) -> str:
        ratio, low, high = (math.exp(value) for value in (self.log, self.low, self.high))
        word, sign = ("slower", 1) if self.log >= 0 else ("faster", -1)
        if sign < 0:
            ratio, low, high = 1 / ratio, 1 / high, 1 / low
        unit = UNITS[self.what]
        return f"{ratio:.2f}× {word} {unit} (95%: {low:.2f} to {high:.2f})"


def with_q(changes: Mapping[Cell, Change], p_values: Iterable[float]) -> Iterator[tuple[tuple[Cell, Change], float]]:
    """Each change with its Benjamini–Hochberg q-value."""
    return zip(changes.items(), map(float, false_discovery_control(list(p_values))) if changes else (), strict=True)


def seen_between(changes: Sequence[Change], side: int) -> Between:
    """How far apart unchanged cells of one method lie, from the cells that changed the other way.

    Judging slowdowns (`side` 1) takes the cells that became faster, and the other way round (−1): what really
    changed cannot hide itself by counting as noise. Nor does a change the other way that is REAL with all of its
    interval: a method that gained on some shapes and lost on others is not a noisy one. Where most of the cells became
    a little faster, they lie about their own median, and the spread about it counts if it is the smaller. A spread is
    median |distance| / 0.6745 (a half-normal distribution) less what the cells' own errors explain. It counts as known:
    what it is off by, the margin covers (simulated in tests/test_regressions.py).
    """
    sizes = [abs(c.log) for c in changes if c.log * side < 0 and min(abs(c.low), abs(c.high)) < REAL]
    if len(sizes) < ENOUGH:
        return Between(0.0)
    centre = median(change.log for change in changes)
    distance = min(median(sizes), median(abs(change.log - centre) for change in changes))
    found = (distance / Z75) ** 2 - median(change.se**2 for change in changes)
    return Between(math.sqrt(max(found, 0.0)))


def seen_in_times(residuals: Sequence[float]) -> Between:
    """How far absolute times wander between runs: the larger of what the median and the 90th percentile of |residual|
    say (0.6745 σ and 1.645 σ of a normal distribution), with 3 degrees of freedom, for times have heavy tails."""
    sizes = sorted(abs(value) for value in residuals)
    rank = math.ceil(0.9 * len(sizes)) - 1
    return Between(max(median(sizes) / Z75, sizes[rank] / Z90), 3.0)
