"""How far processes lie apart, learned from all cells of a method: four processes say little of one cell by itself.

Moderated t (Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression", section
6.2): the cells' variances are taken as drawn from a scaled inverse χ² distribution, whose scale and degrees of freedom
their logs tell, and each cell's own variance moves towards that scale. Where the cells' variances differ by no more
than chance, all cells are one sample; the more they differ, the more each keeps its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, variance

from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from .change import ENOUGH, Cell, Estimate

FEWEST, MOST = 1e-2, 1e4
"""Between these the degrees of freedom are looked for; beyond, there is nothing or everything to learn."""

LEAST = 1e-3
"""Share of the median variance that a cell's counts for at least. Four processes come below it once in thirty
thousand cells, and one whose times agree to the last digit would make all variances seem to differ beyond measure."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """What cells say of a variance: its scale, the degrees of freedom that it is worth, and those of all cells
    together, beyond which nothing is known."""

    variance: float
    freedom: float
    pooled: float

    @classmethod
    def seen(cls, estimates: Sequence[Estimate]) -> Scatter | None:
        """Of estimates with the same degrees of freedom each; None where too few of them have an error."""
        if sum(one.se > 0 for one in estimates) < max(ENOUGH, len(estimates) / 2):
            return None
        own = estimates[0].freedom
        variances = [one.se**2 for one in estimates]
        floor = LEAST * median(variances)
        logs = [math.log(max(seen, floor)) - float(digamma(own / 2)) + math.log(own / 2) for seen in variances]
        left = variance(logs) - float(polygamma(1, own / 2))
        freedom = _freedom(left) if left > 0 else math.inf
        if math.isinf(freedom):
            return cls(fmean(variances), freedom, own * len(estimates))
        scale = math.exp(fmean(logs) + float(digamma(freedom / 2)) - math.log(freedom / 2))
        return cls(scale, freedom, own * len(estimates))

    def moderate(self, own: Estimate) -> Estimate:
        """The same estimate with a standard error between its own and the scale, each as heavy as it is known."""
        share = own.freedom / (own.freedom + self.freedom) if math.isfinite(self.freedom) else 0.0
        se = math.sqrt(share * own.se**2 + (1 - share) * self.variance)
        return replace(own, se=se, freedom=min(own.freedom + self.freedom, self.pooled))


def _freedom(left: float) -> float:
    """The degrees of freedom whose trigamma(freedom / 2) is `left`, the variance of log variances."""
    ends = [float(polygamma(1, end / 2)) - left for end in (FEWEST, MOST)]
    if ends[0] <= 0:
        return FEWEST
    if ends[1] >= 0:
        return math.inf
    return float(brentq(lambda freedom: float(polygamma(1, freedom / 2)) - left, FEWEST, MOST))


def moderated(own: Mapping[Cell, Estimate], seen: Sequence[Estimate]) -> dict[Cell, Estimate]:
    """One method's estimates in a run, each of few processes, with the errors that `seen`, all of that kind, tells.

    Only estimates of equally many processes learn from one another.
    """
    out = dict(own)
    for freedom in {one.freedom for one in own.values()}:
        scatter = Scatter.seen([one for one in seen if one.freedom == freedom])
        if scatter is not None:
            out.update({cell: scatter.moderate(one) for cell, one in own.items() if one.freedom == freedom})
    return out
