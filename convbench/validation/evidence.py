"""What tries at a known answer are, and what a proof says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..facts.statistics import Interval, binomial_tail

SIGNIFICANCE = 0.01
"""A rate fails when a binomial test says that it is worse than allowed, with this chance of being wrong."""

UNCOVERED = 0.07
"""Allowed rate of intervals that do not cover a known ratio."""

AGREEMENT = 0.05
"""Share by which the median may differ from another timer's."""

COUNTED = 0.01
"""Share by which a counted ratio may be off: the first of many calls finds colder caches than the last. A third of the
margin."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One call of `call_s` against itself and against `k` of them: intervals of speedups, the latter's truth is 1/k.

    `figure`: the latter speedup as this process counts with it among several (Samples.centre).
    `disturbed`: the two were slowed by different factors by others. `beside_s`: the call's time beside an arm that
    empties the caches; None where the host is not the device.
    """

    call_s: float
    k: int
    same: Interval
    several: Interval
    figure: float
    disturbed: bool
    beside_s: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the counted ratio is known, and in the interval to within COUNTED."""
        low, high = self.several.low, self.several.high
        if low is None or high is None or self.disturbed:
            return False
        return low / (1 + COUNTED) <= 1 / self.k <= high * (1 + COUNTED)


@dataclass(frozen=True, slots=True)
class Try:
    """One measurement of a method against itself and against itself slowed down, and another timer's beside it.

    `same` and `slowed` are intervals of speedups, and `figures` these speedups as the process counts with them among
    several (Samples.centre); `truth` is the exact speedup of the slowed one; `own_s` is the time of one call and
    `rival_s` what the other timer found in two goes; `pair_s` is the wall time that two arms took and `rival_pair_s`
    the other timer's; `timed_share` is the share of wall time inside timed regions. `sample_s` is how long its samples
    were at least, and `asked_s` how long the settings have them. It was the try of this `number` in its `process`.
    `own_share`: CPU time over wall time in timed regions, None where it does not tell.
    """

    same: Interval
    slowed: Interval
    figures: tuple[float, float]
    truth: float
    converged: bool
    own_s: float
    rival_s: tuple[float, float]
    pair_s: float
    rival_pair_s: float
    timed_share: float
    sample_s: float = math.nan
    asked_s: float = math.nan
    planted: Planted | None = None
    own_share: float | None = None
    process: int = 0
    number: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Try:
        """The inverse of asdict, from JSON."""
        planted = values["planted"]
        if planted is not None:
            planted = Planted(**{**planted, **{name: Interval(*planted[name]) for name in ("same", "several")}})
        intervals = {name: Interval(*values[name]) for name in ("same", "slowed")}
        pairs = {name: tuple(values[name]) for name in ("figures", "rival_s")}
        return cls(**{**values, **intervals, **pairs, "planted": planted})


@dataclass(frozen=True, slots=True)
class Proof:
    """One of the proofs: its name, what was expected and observed, in words, and whether it holds; None where it
    could not be tried."""

    name: str
    expected: str
    observed: str
    holds: bool | None


def covers(interval: Interval, value: float) -> bool:
    return interval.low is None or interval.high is None or interval.low <= value <= interval.high


def plausible(failures: int, n: int, allowed: float) -> bool:
    return binomial_tail(failures, n, allowed) >= SIGNIFICANCE


def percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%"


def signed(share: float) -> str:
    return f"{100 * abs(share):.1f}% {'longer' if share > 0 else 'shorter'}"
