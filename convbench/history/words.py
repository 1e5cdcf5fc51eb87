"""A history in words: what its nights are, and what happened to a cell."""

from __future__ import annotations

import math

from ..comparison.trend import FEWEST
from ..facts import units
from .cells import CellHistory, History, Step


def summary(history: History) -> list[str]:
    """What the nights are, and how many cells got worse, in sentences."""
    nights = history.nights
    between = f", {nights[0].name} to {nights[-1].name}" if len(nights) > 1 else ""
    worse = len(history.drifted)
    lines = [
        f"{units.count(len(nights), 'night')}{between}; {units.count(len(history.cells), 'cell')}",
        f"{units.count(worse, 'cell')} slower than the best level of its nights by more than {history.margin:.0%}"
        if worse
        else f"no cell is slower than the best level of its nights by more than {history.margin:.0%}",
    ]
    lines += [f"{nights[night].name}: {', '.join(changed)}" for night, changed in history.versions]
    return lines


def change(cell: CellHistory) -> str:
    """`1.09× [1.06, 1.12]`: how much longer it takes now than at its best level; empty where nothing is compared."""
    if cell.trend is None:
        return ""
    if cell.trend.best is None:
        return "unchanged" if len(cell.values) >= 2 * FEWEST else "too few nights"
    low, high = cell.trend.interval
    return units.interval(math.exp(cell.trend.log), math.exp(low), math.exp(high))


def slope(cell: CellHistory) -> str:
    return (
        f"{round(math.expm1(cell.trend.slope), 3) + 0.0:+.1%}"
        if cell.trend is not None and len(cell.values) > 1
        else ""
    )


def step(history: History, one: Step) -> str:
    """`1.12× slower from 2026-01-12 (torch 2.12 → 2.13, kernel a → b)`."""
    word = "slower" if one.log > 0 else "faster"
    changed = [*one.versions, *filter(None, (one.kernels,))]
    why = f" ({', '.join(changed)})" if changed else ""
    return f"{math.exp(abs(one.log)):.2f}× {word} from {history.nights[one.night].name}{why}"


def changes(history: History, cell: CellHistory) -> list[str]:
    """What happened to a cell, in the order of the nights."""
    found = [(one.night, step(history, one)) for one in cell.steps]
    found += [(n, f"{was} → {now} on {history.nights[n].name}") for n, was, now in cell.outcomes]
    return [text for _, text in sorted(found)]
