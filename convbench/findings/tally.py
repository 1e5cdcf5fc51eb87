"""What a table's rows come to: configurations, outcomes and verdicts counted, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..facts.record import IMPOSSIBLE, SPEEDS, STATUSES, VERDICTS
from ..results.rows import Mask, Rows
from . import lead

OUTCOMES = ("ok", "wrong", IMPOSSIBLE, *(status for status in STATUSES if status != "ok"))
"""A row whose gradient is wrong, or else its time impossible, is called so whatever its status: in a sentence, ok would
say that nothing is amiss."""


def compared(rows: Rows) -> Mask:
    """Rows of methods that are not their own baseline."""
    return rows.known("method") & rows.known("baseline") & ~rows.agree("method", "baseline")


def wrong(rows: Rows) -> Mask:
    """Rows with a wrong gradient."""
    return rows.equal("accuracy", "fail")


def impossible(rows: Rows) -> Mask:
    """Rows whose gradient is right and whose time cannot be."""
    return rows.equal("speed", IMPOSSIBLE) & ~wrong(rows)


def configurations(rows: Rows) -> int:
    return int(rows.configuration.max(initial=-1)) + 1


def counts(rows: Rows, column: str, order: Sequence[str], among: Mask) -> dict[str, int]:
    """How often each value of a column occurs among some rows; those of `order` first, others not at all left out."""
    codes, values = rows.codes(column)
    found = dict(zip(values, np.bincount(codes[among], minlength=len(values)).tolist(), strict=True))
    names = [*order, *(value for value in values if value is not None and value not in order)]
    return {name: found[name] for name in names if found.get(name)}


def outcomes(rows: Rows, among: Mask) -> dict[str, int]:
    """Rows by OUTCOMES."""
    is_wrong, is_impossible = wrong(rows) & among, impossible(rows) & among
    found = {"wrong": int(np.count_nonzero(is_wrong)), IMPOSSIBLE: int(np.count_nonzero(is_impossible))}
    found |= counts(rows, "status", STATUSES, among & ~is_wrong & ~is_impossible)
    return {name: found[name] for name in (*OUTCOMES, *found) if found.get(name)}


def accuracies(rows: Rows, among: Mask) -> dict[str, int]:
    """Rows by verdict on accuracy."""
    return counts(rows, "accuracy", VERDICTS, among)


def speeds(rows: Rows, among: Mask) -> dict[str, int]:
    """Rows by the leading verdict on speed, baselines aside."""
    mine = among & compared(rows)
    found = {word: int(np.count_nonzero(lead.equal(rows, "speed", word) & mine)) for word in SPEEDS}
    return {word: number for word, number in found.items() if number}
