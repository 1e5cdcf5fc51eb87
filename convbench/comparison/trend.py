"""A cell's figures over many nights: levels between change points, and how far the last one is from the best.

Change points are those of the kernel method of Arlot, Celisse and Harchaoui (A kernel multiple change-point algorithm
via model selection, JMLR 20, 2019), found exactly by the algorithm of Celisse, Marot, Pierre-Jean and Rigaill (2018),
as in ruptures (Truong, Oudre, Vayatis, Signal Processing 167, 2020). Its kernel is bounded: a night in which the
machine was disturbed counts as one odd value, however odd it was.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, theilslopes

from ..facts.values import InvalidValue
from .change import LEVEL, t_quantile, t_tail

FEWEST = 5
"""Nights of a level: two disturbed ones among them do not move its median. With three, a machine on which one night in
sixteen is disturbed raised an alarm on one night in fourteen."""

WIDTH = 3.0
"""Width of the kernel in standard deviations of a night: values further apart than twice that are simply different."""

PENALTY = 0.5
"""Times log n: what another change point costs. Smaller values split quiet series, larger ones miss a step of 5%
(docs/history.md has the simulation)."""

LEAST_SIGMA = 0.003
"""Log units. Nights never agree better than that, and a short series may by chance."""

RECENT = 14
"""Nights over which the slope of a drift is taken."""

LONGEST = 90
"""Nights that are looked at: what is older belongs to another season."""

Cell = TypeVar("Cell", bound=Hashable)
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Level:
    """Nights from `start` to before `end` that lie about the same value, the median of their logs."""

    start: int
    end: int
    log: float
    se: float

    @property
    def nights(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Trend:
    """The levels of a series of logs (above 0 is slower), and the values of its last RECENT nights."""

    levels: tuple[Level, ...]
    recent: tuple[float, ...]

    @property
    def slope(self) -> float:
        """Theil's and Sen's slope of the recent nights, the median of those between all pairs; 0 for fewer than two."""
        return float(theilslopes(self.recent)[0]) if len(self.recent) > 1 else 0.0

    @property
    def best(self) -> Level | None:
        """The fastest level before the last one; None where there was no change."""
        return min(self.levels[:-1], key=lambda level: level.log, default=None)

    @property
    def log(self) -> float:
        """How much slower the last level is than the best before it; 0 where there was no change."""
        return self.levels[-1].log - self.best.log if self.best is not None else 0.0

    @property
    def se(self) -> float:
        return math.hypot(self.levels[-1].se, self.best.se) if self.best is not None else math.inf

    @property
    def freedom(self) -> float:
        return max(1.0, self.levels[-1].end / 2)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of `log`."""
        half = t_quantile(self.freedom) * self.se
        return self.log - half, self.log + half

    def p_above(self, bound: float) -> float:
        """One-sided p-value of the claim that the last level is slower than the best by more than `bound`."""
        return t_tail((self.log - bound) / self.se, self.freedom) if self.best is not None else 1.0


def trend_of(logs: Sequence[float]) -> Trend:
    """The trend of a series in the order of its nights, of which the last LONGEST count."""
    values = np.asarray(logs[-LONGEST:], float)
    sigma = sigma_of(values)
    ends = _ends(values / sigma)
    levels = []
    for start, end in zip([0, *ends], ends, strict=False):
        # The standard error of a median is √(π/2) times that of a mean.
        se = sigma * math.sqrt(math.pi / 2 / (end - start))
        levels.append(Level(start, end, float(np.median(values[start:end])), se))
    return Trend(tuple(levels), tuple(values[-RECENT:].tolist()))


def sigma_of(values: Values) -> float:
    """Standard deviation of a night about its level: from neighbouring nights, so that no step or drift is in it.

    median |difference| / (0.6745 · √2), as of normal deviates; half of the nights may be disturbed.
    """
    if len(values) < 2:
        return LEAST_SIGMA
    return max(LEAST_SIGMA, float(np.median(np.abs(np.diff(values)))) / (0.6745 * math.sqrt(2)))


def _ends(scaled: Values) -> list[int]:
    """Where each level ends, the last one at the end of the series. Raises InvalidValue without ruptures."""
    if len(scaled) < 2 * FEWEST:
        return [len(scaled)]
    try:
        import ruptures
    except ModuleNotFoundError as error:
        raise InvalidValue(
            "history",
            "a history of nights needs ruptures, of which there are builds up to Python 3.13; pip install ruptures "
            "builds it with a C compiler",
        ) from error
    search = ruptures.KernelCPD(kernel="rbf", min_size=FEWEST, params={"gamma": 1 / (2 * WIDTH**2)})
    return [int(end) for end in search.fit(scaled[:, None]).predict(pen=PENALTY * math.log(len(scaled)))]


def drifted(trends: Mapping[Cell, Trend], margin: float) -> dict[Cell, float]:
    """The cells that are slower than their best level by more than `margin` (a log ratio), with their q-values.

    By the same rule as between two runs: the whole 95% interval is beyond the margin, and the Benjamini–Hochberg
    q-value over all cells is at most LEVEL.
    """
    if not trends:
        return {}
    q_values = map(float, false_discovery_control([trend.p_above(margin) for trend in trends.values()]))
    return {
        cell: q for cell, q in zip(trends, q_values, strict=True) if q <= LEVEL and trends[cell].interval[0] > margin
    }
