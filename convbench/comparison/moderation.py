"""How far processes lie apart, learned from all cells of a method: four processes say little of one cell by itself.

Moderated t (Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression", section
6.2): the cells' variances are taken as drawn from a scaled inverse χ² distribution, whose scale and degrees of freedom
their logs tell, and each cell's own variance moves towards that scale. Where the cells' variances differ by no more
than chance, all cells are one sample; where they differ much, as with a method of two speeds, each keeps its own.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance
from typing import TypeVar

from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from .change import ENOUGH, Estimate

Cell = TypeVar("Cell", bound=Hashable)

FEWEST, MOST = 1e-2, 1e4
"""Between these the degrees of freedom are looked for; beyond, there is nothing or everything to learn."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """What the cells say of a variance: its scale, and the degrees of freedom that it is worth."""

    variance: float
    freedom: float

    @classmethod
    def seen(cls, estimates: Sequence[Estimate]) -> Scatter | None:
        """Of estimates with the same degrees of freedom each; None where too few of them have an error."""
        errors = [one for one in estimates if one.se > 0]
        if len(errors) < ENOUGH:
            return None
        own = errors[0].freedom
        logs = [2 * math.log(one.se) - float(digamma(own / 2)) + math.log(own / 2) for one in errors]
        left = variance(logs) - float(polygamma(1, own / 2))
        freedom = _freedom(left) if left > 0 else math.inf
        centre = fmean(logs)
        if math.isfinite(freedom):
            centre += float(digamma(freedom / 2)) - math.log(freedom / 2)
        # It cannot be known better than from all these cells' processes together.
        return cls(math.exp(centre), min(freedom, own * len(errors)))

    def moderate(self, own: Estimate) -> Estimate:
        """The same estimate with a standard error between its own and the scale, each as heavy as it is known."""
        freedom = own.freedom + self.freedom
        se = math.sqrt((own.freedom * own.se**2 + self.freedom * self.variance) / freedom)
        return replace(own, se=se, freedom=freedom)


def _freedom(left: float) -> float:
    """The degrees of freedom whose trigamma(freedom / 2) is `left`, the variance of log variances."""
    ends = [float(polygamma(1, end / 2)) - left for end in (FEWEST, MOST)]
    if ends[0] <= 0:
        return FEWEST
    if ends[1] >= 0:
        return math.inf
    return float(brentq(lambda freedom: float(polygamma(1, freedom / 2)) - left, FEWEST, MOST))


def moderated(estimates: Mapping[Cell, Estimate], seen: Sequence[Estimate]) -> dict[Cell, Estimate]:
    """One method's estimates in a run, those of few processes with the error that `seen`, all of that kind, tells.

    Only estimates with equally many degrees of freedom learn from one another.
    """
    out = dict(estimates)
    for freedom in {one.freedom for one in estimates.values()}:
        scatter = Scatter.seen([one for one in seen if one.freedom == freedom])
        if scatter is not None:
            out.update({cell: scatter.moderate(one) for cell, one in estimates.items() if one.freedom == freedom})
    return out
