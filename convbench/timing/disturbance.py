"""Pairs of which other processes disturbed one half more than the other: told by CPU time, which knows no waiting.

On a busy core a call takes its own CPU time and the turns of others. Where both arms of a pair are stretched by the
same factor, that cancels in their ratio. Where they are not, the ratio of their times is the scheduler's as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from ..facts.statistics import Interval, median_interval, processes_interval
from .sample import Kept

TOLERATED = 0.01
"""Difference between the two arms' stretching (log scale) that is too small to matter: a third of the margin."""

ONE_CORE = 1.1
"""CPU seconds in a second of an arm's undisturbed calls up to which it is taken to have one thread. Of several threads
the CPU time also tells how well they share the work, and what they burn while they wait for each other."""


class Stretch(NamedTuple):
    """Of the pairs of a method and its baseline: the log ratios of their CPU times, and how much more (log scale) the
    baseline was stretched by others than the method was."""

    cpu_ratios: list[float]
    unequal: list[float]


def stretch(samples: Kept, method: str, baseline: str) -> Stretch | None:
    """None where it is not known, where nothing was taken off its core, or where more than one thread is at work."""
    m, b = samples.arms.index(method), samples.arms.index(baseline)
    if not any(row[a] for row in samples.switches for a in (m, b)):
        return None
    found = Stretch([], [])
    for times, cpu in zip(samples.times, samples.cpu, strict=True):
        mine, theirs = cpu[m], cpu[b]
        if not mine or not theirs or mine > ONE_CORE * times[m] or theirs > ONE_CORE * times[b]:
            return None
        found.cpu_ratios.append(math.log(theirs) - math.log(mine))
        found.unequal.append(math.log(times[b]) - math.log(times[m]) - found.cpu_ratios[-1])
    return found


def unequally(values: Sequence[float]) -> bool:
    """Whether the stretching differed by more than chance and more than is tolerated, from its differences."""
    found = median_interval(values)
    if found.low is None or found.high is None:
        return abs(found.estimate) > TOLERATED
    return abs(found.estimate) > TOLERATED and not found.low <= 0 <= found.high


def widened(ratio: Interval, known: Sequence[Stretch | None]) -> Interval | None:
    """The interval of the ratios (log scale) made to hold that of the CPU times' ratios, too; None where the arms were
    disturbed alike. `known` has one entry for each process whose pairs the interval is of."""
    seen = [one for one in known if one is not None]
    if not any(unequally(one.unequal) for one in seen) or ratio.low is None or ratio.high is None:
        return None
    several = [median(one.cpu_ratios) for one in seen]
    cpu = processes_interval(several) if len(known) > 1 else median_interval(seen[0].cpu_ratios)
    ends = [end for end in (ratio.low, ratio.high, cpu.low, cpu.high, cpu.estimate) if end is not None]
    return Interval(ratio.estimate, min(ends), max(ends))
