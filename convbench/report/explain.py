"""What explains a sweep's speedups: the axes that tell them apart, and the headline that says so in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from ..facts import units
from ..findings import lead, tally
from ..results.naming import say
from ..results.rows import Mask, Rows
from .data import Runs

NO_AXES = ("method", "baseline", "measure")
"""Axes that a headline has no use for: a method has its own sentence, and how it was measured is no cause."""

TELLING = 0.2
"""From this share of the spread on, an axis is worth a sentence."""

FEWEST = 4
"""Of fewer comparisons, a split would describe single configurations."""

MOST_METHODS = 6
SURE = NormalDist().inv_cdf(0.99)
"""A condition must hold so much more often among what it describes than elsewhere, in standard deviations of chance."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Headline:
    """`method`, and what is said of it: `faster in 86 of 96, median 1.78×; slower in 10, all with kernel 3`."""

    method: str
    text: str


def headlines(runs: Runs) -> list[Headline]:
    """A sentence for each method that was compared, in the order of the table."""
    rows, compared = runs.rows, _compared(runs.rows)
    methods = [m for m in rows.values("method") if (rows.equal("method", m) & compared).any()]
    return [Headline(str(m), _of_method(runs, rows.equal("method", m) & compared)) for m in methods[:MOST_METHODS]]


def _compared(rows: Rows) -> Mask:
    """Rows with a speedup over another method."""
    speedups = lead.numbers(rows, "speedup")
    found: Mask = tally.compared(rows) & np.isfinite(speedups) & (speedups > 0)
    return found


def _of_method(runs: Runs, where: Mask) -> str:
    rows = runs.rows
    speedups = lead.numbers(rows, "speedup")[where]
    n = len(speedups)
    counts = {word: int((lead.equal(rows, "speed", word) & where).sum()) for word in ("faster", "slower", "impossible")}
    most = max(("faster", "slower"), key=lambda word: counts[word])
    other = "slower" if most == "faster" else "faster"
    median = units.times(float(np.median(speedups)))
    parts = [f"{most} in {units.count(counts[most])} of {units.count(n)}, median {median}"]
    if counts[other]:
        condition = described(runs, where, lead.equal(rows, "speed", other) & where)
        parts.append(f"{other} in {units.count(counts[other])}{f', {condition}' if condition else ''}")
    if counts["impossible"]:
        parts.append(f"impossible in {units.count(counts['impossible'])}")
    if split := _split(runs, where):
        parts.append(split)
    return "; ".join(parts)


def described(runs: Runs, where: Mask, found: Mask) -> str:
    """What the rows `found` among `where` have in common and the others have not, in words; empty where nothing has.

    Of every axis, the values that they take; of those conditions the ones that leave out most of the others, one after
    the other, until no other is left or none leaves out any more.
    """
    inside, used = where.copy(), []
    many = int(found.sum())
    while (rest := inside & ~found).any():
        conditions = [c for axis in _axes(runs) if (c := _condition(runs.rows, axis, where, found)) is not None]
        best = max(conditions, key=lambda c: int((rest & ~c[1]).sum()), default=None)
        if best is None or not (rest & ~best[1]).any():
            break
        used.append(best[0])
        inside &= best[1]
    if not used or not _telling(many, int(inside.sum()), int(where.sum())):
        return ""
    of = "" if int(inside.sum()) == many else f" ({units.count(many)} of {units.count(int(inside.sum()))} such)"
    every = "all with" if many > 1 else "with"
    return f"{every} {', '.join(used)}{of}"


def _telling(many: int, inside: int, whole: int) -> bool:
    """Whether `many` of `inside`, and none of the others of `whole`, is more than chance would put there."""
    expected = many * inside / whole
    spread = np.sqrt(expected * (1 - inside / whole)) or 1.0
    return bool(many / inside >= 0.5 and (many - expected) / spread > SURE) or (many == inside and many <= 2)


def _condition(rows: Rows, axis: str, where: Mask, found: Mask) -> tuple[str, Mask] | None:
    """(words, rows for which it holds): the values of an axis that `found` takes; None where those are all, or many."""
    codes, values = rows.codes(axis)
    own, every = np.unique(codes[found]), np.unique(codes[where])
    if len(own) == len(every):
        return None
    taken = [values[code] for code in own]
    if None in taken:
        return None
    if all(isinstance(values[code], (int, float)) for code in every):
        numbers = rows.numbers(axis)
        low, high = min(taken), max(taken)
        lowest, highest = (end(values[code] for code in every) for end in (min, max))
        inside = (numbers >= low) & (numbers <= high)
        if low == high:
            return say(axis, low), inside
        if low == lowest:
            return f"{axis.replace('_', ' ')} ≤ {high}", inside
        if high == highest:
            return f"{axis.replace('_', ' ')} ≥ {low}", inside
        return f"{axis.replace('_', ' ')} {low} to {high}", inside
    if len(taken) > 3:
        return None
    return " or ".join(say(axis, value) for value in taken), np.isin(codes, own)


def _axes(runs: Runs) -> list[str]:
    return [axis for axis in runs.axes if axis not in NO_AXES]


def share_explained(codes: Iterable[Any], logs: Numbers) -> float:
    """ε², the share of a quantity's variance that lies between groups, less what as many random groups would explain.

    (SS_between − (k − 1)·MS_within) / SS_total for k groups; 0 where that is negative or there is nothing to explain.
    """
    group = np.unique(np.asarray(codes), return_inverse=True)[1]
    k, n = int(group.max(initial=-1)) + 1, len(logs)
    total = float(((logs - logs.mean()) ** 2).sum()) if n else 0.0
    if k < 2 or n <= k or total == 0:
        return 0.0
    means = np.bincount(group, logs) / np.bincount(group)
    within = float(((logs - means[group]) ** 2).sum())
    return max(0.0, (total - within - (k - 1) * within / (n - k)) / total)


def explaining(runs: Runs, where: Mask | None = None) -> list[tuple[str, float]]:
    """The axes by the share of the speedups' spread (their logs) that each explains, the largest first.

    `where`: these comparisons alone; by default all, in which what tells the methods apart is taken out first.
    """
    rows = runs.rows
    among = _compared(rows) if where is None else _compared(rows) & where
    logs = np.log(lead.numbers(rows, "speedup")[among])
    if len(logs) < FEWEST:
        return []
    if where is None:
        method = rows.codes("method")[0][among]
        means = np.bincount(method, logs) / np.maximum(1, np.bincount(method))
        logs = logs - means[method]
    shares = [(axis, share_explained(rows.codes(axis)[0][among], logs)) for axis in _axes(runs)]
    return sorted((one for one in shares if one[1] > 0), key=lambda one: -one[1])


def _split(runs: Runs, where: Mask) -> str:
    """`the spread follows kernel: 1.21× at 3, 2.94× at 17`: by the axis that explains most, where that is much."""
    found = explaining(runs, where)
    if not found or found[0][1] < TELLING:
        return ""
    axis, share = found[0]
    rows = runs.rows
    codes, values = rows.codes(axis)
    speedups = lead.numbers(rows, "speedup")
    medians = {values[c]: float(np.median(speedups[where & (codes == c)])) for c in np.unique(codes[where])}
    ends = _ends(medians)
    said = ", ".join(f"{units.times(medians[value])} {_at(axis, value)}" for value in ends)
    return f"{units.share(share)} of the spread follows {axis.replace('_', ' ')}: {said}"


def _at(axis: str, value: Any) -> str:
    return f"at {value}" if isinstance(value, (int, float)) else f"for {say(axis, value)}"


def _ends(medians: dict[Any, float]) -> Sequence[Any]:
    """The smallest and the largest value of a numeric axis; of any other those with the smallest and largest median."""
    if all(isinstance(value, (int, float)) for value in medians):
        return min(medians), max(medians)
    return min(medians, key=lambda value: medians[value]), max(medians, key=lambda value: medians[value])
