"""How a finding is put into words: which rows, how many of how many, the worst of them by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..facts import units
from ..facts.configuration_key import KEY_COLUMNS, ConfigurationKey
from ..facts.settings import CONFIGURATION
from ..failures.kept import NOT_KEPT
from ..results.naming import example_name, varying
from ..results.rows import Indexes, Mask, Rows

SEVERITIES = ("bad", "warning", "note")
"""bad: a wrong or missing result; warning: a number to be careful with; note: worth knowing."""

SAME_OUT = "the same out"
"""How a remedy names the folder of the run, which only who prints it knows."""

EXAMPLES = 10
"""Configurations that a finding names, worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`count` rows behind one `sentence`; `remedy` may be empty.

    `configurations` has the worst of them first, and `rows` the numbers of their rows among those behind it.
    """

    severity: str
    kind: str
    sentence: str
    remedy: str
    count: int
    configurations: tuple[ConfigurationKey, ...]
    rows: tuple[int, ...]


def by(rows: Rows, mask: Mask, *names: str) -> Iterator[tuple[tuple[Any, ...], Indexes]]:
    """Row numbers under `mask`, split by the values of `names`, the largest part first."""
    where = np.flatnonzero(mask)
    if not len(where):
        return
    key = rows.groups(names)[where]
    order = np.argsort(key, kind="stable")
    parts = np.split(where[order], np.flatnonzero(np.diff(key[order])) + 1)
    for part in sorted(parts, key=len, reverse=True):
        yield tuple(rows.value(name, int(part[0])) for name in names), part


def worst_first(score: npt.NDArray[np.float64], where: Indexes) -> Indexes:
    """`where` by falling score; unknown scores last, ties in the table's order."""
    known = np.nan_to_num(score[where], nan=-np.inf, posinf=np.finfo(float).max, neginf=-np.inf)
    return where[np.argsort(-known, kind="stable")]


def worst_of(rows: Rows, worst_first: Indexes) -> tuple[tuple[ConfigurationKey, ...], tuple[int, ...]]:
    """The first EXAMPLES configurations of these rows, and all of these rows that are theirs."""
    found = rows.take(worst_first[: 4 * EXAMPLES].tolist(), KEY_COLUMNS)
    keys = list(map(ConfigurationKey.of, found))
    named = tuple(dict.fromkeys(keys))[:EXAMPLES]
    numbers = [rows.configuration[worst_first[keys.index(key)]] for key in named]
    return named, tuple(worst_first[np.isin(rows.configuration[worst_first], numbers)].tolist())


def at(rows: Rows, index: int, before: str, after: str = "") -> str:
    """What tells the row's configuration from the others, between two texts; empty where there are no others."""
    name = example_name(rows.take([index], (*CONFIGURATION, "labels"))[0], varying(rows))
    return before + name + after if name else ""


def reason(rows: Rows, index: int) -> str:
    """The row's reason in brackets, or nothing."""
    reason = rows.value("reason", index)
    return f" ({str(reason).rstrip('.')})" if reason else ""


def within(where: Indexes, among: Mask, noun: str) -> str:
    """` in 3 of 12 configurations`; empty where there is only one."""
    return f" in {share(where, among, noun)}" if np.count_nonzero(among) > 1 else ""


def share(where: Indexes, among: Mask, noun: str) -> str:
    """`all 12 timings`, `both timings`, `3 of 12 timings`, `the only timing`."""
    part, whole = len(where), int(np.count_nonzero(among))
    if part < whole:
        return f"{units.count(part)} of {units.count(whole, noun)}"
    return {1: f"the only {noun}", 2: f"both {noun}s"}.get(whole, f"all {units.count(whole, noun)}")


def kept(rows: Rows, where: Indexes) -> str:
    """`; failures/… in the run's folder keeps what it left`, of the first of these rows that has one, or nothing."""
    there = where[rows.known("failure")[where]]
    if not len(there):
        return ""
    few = "" if len(there) == len(where) else f" ({len(there)} of {len(where)} are kept: {NOT_KEPT})"
    return f"; {rows.value('failure', int(there[0]))} in the run's folder keeps what it left{few}"
