"""Methods with two speeds: processes of which some find one ratio and some another, with nothing in between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

from ..facts.statistics import quantile

FEWEST = 3
"""Processes from which on two groups are told from scatter."""

GAP = math.log(1.03)
"""Log distance of two groups that is worth a word: the margin of the verdicts."""

APART = 4.0
"""So many times as far as processes of one group lie from each other must the groups lie apart."""


def two_modes(processes: Sequence[Sequence[float]]) -> dict[str, float]:
    """`speedup_mode_low` and `speedup_mode_high` where the processes' log ratios lie in two groups; nothing otherwise.

    `processes`: the log ratios of each process's pairs. The groups are parted at the widest gap between the medians,
    which must be GAP at least, APART times the distances within the groups, and one that three quarters of the pairs
    of every process keep to.
    """
    if len(processes) < FEWEST:
        return {}
    ordered = sorted(processes, key=median)
    medians = [median(pairs) for pairs in ordered]
    gaps = [b - a for a, b in pairwise(medians)]
    gap = max(gaps)
    cut = gaps.index(gap) + 1
    within = max(medians[cut - 1] - medians[0], medians[-1] - medians[cut])
    low, high = ordered[:cut], ordered[cut:]
    overlap = max(quantile(p, 0.75) for p in low) >= min(quantile(p, 0.25) for p in high)
    if gap < GAP or gap < APART * within or overlap:
        return {}
    return {
        "speedup_mode_low": math.exp(fmean(medians[:cut])),
        "speedup_mode_high": math.exp(fmean(medians[cut:])),
    }
