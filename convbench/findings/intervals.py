"""What a table's processes say: what its intervals are of, and which methods have two speeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..facts import units
from ..results.rows import Rows
from . import lead
from .evidence import Finding, at, by, within, worst_first, worst_of
from .tally import compared

Numbers = npt.NDArray[np.float64]

ONE = "of the pairs of one process: the next process may lie outside it (measure=default measures several)"
"""What the intervals are of where there was one process; their figures are reached by less than half of the next."""


def said(rows: Rows) -> str:
    """What follows "its 95% interval, " in a sentence about all speedups; empty where the table does not say."""
    processes = rows.numbers("processes")[np.isfinite(rows.numbers("speedup_low")) & compared(rows)]
    known = processes[np.isfinite(processes)]
    if not len(known) or len(known) < len(processes):
        return ""
    fewest, most = int(known.min()), int(known.max())
    if most == 1:
        return ONE
    if fewest == 1:
        alone = int(np.count_nonzero(known == 1))
        return f"of the mean over up to {most} fresh processes, but {alone} of {len(known)} are of one process's pairs"
    number = str(most) if fewest == most else f"{fewest} to {most}"
    return f"of what a process typically finds, from {number} fresh ones (Student's t of their figures)"


def two_speeds(rows: Rows) -> Iterator[Finding]:
    """Methods of which some processes find one ratio and others another."""
    low, high = (lead.numbers(rows, f"speedup_mode_{end}") for end in ("low", "high"))
    yield from _two_speeds(rows, low, high, "")
    training = lead.in_training(rows)
    if training.any():
        low, high = (np.where(training, rows.numbers(f"speedup_mode_{end}"), np.nan) for end in ("low", "high"))
        yield from _two_speeds(rows, low, high, " by itself, outside of a training step,")


def _two_speeds(rows: Rows, low: Numbers, high: Numbers, how: str) -> Iterator[Finding]:
    timed = rows.known("speedup") & compared(rows)
    for (method,), where in by(rows, np.isfinite(high / low), "method"):
        worst = worst_first(high / low, where)
        first = int(worst[0])
        often = within(where, timed & rows.equal("method", method), "configuration")
        yield Finding(
            "warning",
            "two_speeds",
            f"{method}{how} has two speeds{often}: some processes find {units.times(low[first])}, others "
            f"{units.times(high[first])}{at(rows, first, ' (', ')')}; the speedup is their mean, and which of them a "
            "process gets, memory layout decides",
            "expect either, or measure.processes=12 to see how often each comes",
            len(where),
            *worst_of(rows, worst),
        )
