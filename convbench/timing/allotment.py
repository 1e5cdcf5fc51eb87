"""A time budget over a whole sweep: which configuration gets the next pairs, so that the widest intervals get the most.

Pure bookkeeping: whoever runs the configurations asks for the next visit and reports what it brought.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)

FEWEST_PAIRS = 6
"""Pairs of a further visit at least, unless fewer take WORTH times as long as what the visit costs besides."""

WORTH = 4.0
"""A further visit samples at least this many times as long as it takes to get going, if the time left allows it."""

STEP = 0.5
"""Share of the time left that one visit may be planned to take: what it misses its plan by, the later ones make up."""

DONE = 0.02
"""Share of the budget that may be left over; a visit that fits into less is mostly preparation."""


@dataclass(frozen=True)
class Visit(Generic[Name]):
    """So many pairs of this configuration are to be measured next, fewer where a further one would begin after
    `most_s` seconds of sampling."""

    key: Name
    pairs: int
    most_s: float = math.inf


@dataclass(slots=True)
class _Cell:
    """What is known of one configuration. `half_width` is infinite until it has an interval; `pair_s` is the time of a
    pair in its last visit and `overhead_s` what that visit took besides."""

    pairs: int = 0
    half_width: float = math.inf
    pair_s: float = 0.0
    overhead_s: float = 0.0
    visited: bool = False
    closed: bool = False

    def cost(self, pairs: int) -> float:
        return self.overhead_s + pairs * self.pair_s

    @property
    def fewest(self) -> int:
        """Pairs that a further visit is worth."""
        return min(FEWEST_PAIRS, max(1, math.ceil(WORTH * self.overhead_s / self.pair_s)))

    def fitting(self, seconds: float) -> int:
        """Pairs that fit into `seconds`."""
        return math.floor((seconds - self.overhead_s) / self.pair_s)


class Allotment(Generic[Name]):
    """Hands out visits until the budget is spent: first `minimum` pairs to everybody, then to the widest.

    The minimum is handed out even if it alone takes longer than the budget.
    """

    def __init__(self, budget_s: float, minimum: int, keys: Iterable[Name]) -> None:
        self._budget_s, self._minimum = budget_s, minimum
        self._cells = {key: _Cell() for key in keys}

    def next(self, elapsed_s: float) -> Visit[Name] | None:
        """The next visit, `elapsed_s` after the beginning; None when the budget is spent."""
        for key, cell in self._cells.items():
            if not cell.visited:
                return Visit(key, self._minimum)
        left_s = self._budget_s - elapsed_s
        if left_s <= DONE * self._budget_s:
            return None
        widest = sorted((k for k, c in self._cells.items() if not c.closed), key=lambda k: -self._cells[k].half_width)
        for place, key in enumerate(widest):
            following = self._cells[widest[place + 1]].half_width if place + 1 < len(widest) else 0.0
            pairs = _pairs(self._cells[key], following, left_s)
            if pairs >= self._cells[key].fewest:
                # The last pair begins before that if they take as long as they took.
                return Visit(key, pairs, (pairs - 0.5) * self._cells[key].pair_s)
        return None

    def report(
        self, visit: Visit[Name], pairs: int, half_width: float | None, sampling_s: float, visit_s: float
    ) -> None:
        """What a visit brought: pairs measured, the half-width that all pairs of the configuration have now (None
        without an interval), and the seconds that the sampling took and that the whole visit would take again. A
        configuration that brought no pairs is not visited again."""
        cell = self._cells[visit.key]
        cell.visited = True
        if pairs == 0:
            cell.closed = True
            return
        cell.pairs += pairs
        cell.half_width = math.inf if half_width is None else half_width
        cell.pair_s = sampling_s / pairs
        cell.overhead_s = max(visit_s - sampling_s, 0.0)
        cell.closed = cell.pair_s <= 0


def _pairs(cell: _Cell, following: float, left_s: float) -> int:
    """How many pairs the widest configuration gets, or fewer than it is worth if a visit does not fit.

    Half-widths shrink as 1/√pairs: n·((w/v)² − 1) further pairs bring w down to the next one's v. At least
    half of what it has, and enough to be worth the visit; at most a share of the time left.
    """
    finite = math.isfinite(cell.half_width) and following > 0
    level = cell.pairs * ((cell.half_width / following) ** 2 - 1) if finite else cell.pairs
    wanted = max(level, cell.pairs / 2, WORTH * cell.overhead_s / cell.pair_s, cell.fewest)
    fitting = cell.fitting(max(STEP * left_s, min(left_s, cell.cost(cell.fewest))))
    return min(math.ceil(wanted), fitting)
