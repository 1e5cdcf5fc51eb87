"""What the report says in words and tables, counted over all rows: no plot depends on a number made here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..facts.record import FAILED, IMPOSSIBLE, STATUSES
from ..facts.timed_as import WALL_TIME
from ..findings import lead, tally
from ..results.rows import Indexes, Rows
from .data import AXES, Runs

PLACE = ("configuration", "method")
"""The columns that tell a row of the page from the others."""

Place = tuple[int, str]

EXAMPLES = 2
"""Configurations named for each reason; the others are one click away in the table."""

VALUES_SHOWN = 12
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True)
class Axis:
    """A swept axis, or with one value a fixed one. `values`: its first distinct values as text; `count`: how many."""

    name: str
    values: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class MethodLine:
    """How one method did on one device in one dtype. `speedup`: (lowest, median, highest) of its medians, over the
    configurations that were timed; None for the baseline and where none was. `outcomes`: how many rows have each
    status, with `wrong` for those whose gradient is. `others`: the medians of the speedups that stand beside it.
    """

    group: tuple[str, ...]
    is_baseline: bool
    rows: int
    outcomes: dict[str, int]
    accuracy: dict[str, int]
    speed: dict[str, int]
    speedup: tuple[float, float, float] | None
    others: dict[str, float | None]
    timed: int
    unconverged: int


@dataclass(frozen=True)
class Reason:
    """Rows that share a status (`wrong` for a wrong result) and a reason; `alike`: their reasons differ in numbers,
    `reason` is the first one's; `configurations`: how many; `places`: the rows."""

    status: str
    methods: tuple[str, ...]
    reason: str
    alike: bool
    rows: int
    examples: tuple[str, ...]
    configurations: int
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Overview:
    """`damaged`: lines of the runs' part files that could not be read, and so are no rows."""

    configurations: int
    rows: int
    damaged: int
    statuses: dict[str, int]
    accuracy: dict[str, int]
    speed: dict[str, int]
    in_training: bool
    swept: tuple[Axis, ...]
    fixed: tuple[Axis, ...]
    first: str | None
    last: str | None

    @property
    def failed(self) -> int:
        return sum(self.statuses.get(status, 0) for status in FAILED)


def overview(runs: Runs) -> Overview:
    """The counts over all rows, and which settings were varied and which were not."""
    rows = runs.rows
    every = np.ones(rows.count, bool)
    started = rows.values("started_at")
    fixed = [axis for axis in AXES if axis not in runs.axes and rows.values(axis)]
    return Overview(
        configurations=len(rows.values("configuration")),
        rows=rows.count,
        damaged=runs.damaged,
        statuses=tally.counts(rows, "status", STATUSES, every),
        accuracy=tally.accuracies(rows, every),
        speed=tally.speeds(rows, every),
        in_training=bool(lead.in_training(rows).any()),
        swept=tuple(axis_of(rows, axis) for axis in runs.axes),
        fixed=tuple(axis_of(rows, axis) for axis in fixed),
        first=min(started, default=None),
        last=max(started, default=None),
    )


def axis_of(rows: Rows, name: str) -> Axis:
    distinct = natural(rows.values(name))
    return Axis(name, tuple(text(value) for value in distinct[:VALUES_SHOWN]), len(distinct))


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def natural(values: Sequence[Any]) -> list[Any]:
    """Numbers in order of size; text as it came, so that a person's order of devices or layers stays."""
    return sorted(values) if all(isinstance(value, (int, float)) for value in values) else list(values)


def by_method(runs: Runs) -> tuple[tuple[str, ...], list[MethodLine]]:
    """The names of the columns that split the rows (method among them), and one line for each combination.

    Where nothing was run (a device that is not there), one line stands for all methods.
    """
    rows = runs.rows
    split = [axis for axis in ("run", "device", "dtype") if axis in runs.axes]
    figures = Figures(rows)
    lines = []
    for key, part in groups(rows, split, np.arange(rows.count)):
        methods = groups(rows, ["method"], part)
        if rows.equal("status", "skipped")[part].all():
            name = f"all {len(methods)} methods" if len(methods) > 1 else methods[0][0][0]
            lines.append(figures.line((*key, name), part))
        else:
            lines += [figures.line((*key, *method), own) for method, own in methods]
    return (*split, "method"), lines


def groups(rows: Rows, columns: Sequence[str], where: Indexes) -> list[tuple[tuple[str, ...], Indexes]]:
    """The rows of `where` for each combination of values, in the order in which these appear."""
    if not len(where):
        return []
    key = rows.groups(columns)[where]
    found, first = np.unique(key, return_index=True)
    out = []
    for number, place in sorted(zip(found, first, strict=True), key=lambda one: one[1]):
        (row,) = rows.take([int(where[place])], columns)
        out.append((tuple(str(row.get(name, "")) for name in columns), where[key == number]))
    return out


class Figures:
    """The columns that the lines of the methods' table are made of, read once."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._speedup = np.where(tally.compared(rows), lead.numbers(rows, "speedup"), np.nan)
        self._others = {"the calls' own": np.where(lead.in_training(rows), rows.numbers("speedup"), np.nan)}
        self._others["by wall time"] = np.where(rows.equal("time", WALL_TIME), np.nan, rows.numbers("wall_speedup"))
        self._timed = np.isfinite(lead.numbers(rows, "time_s"))
        self._unconverged = lead.equal(rows, "converged", False)
        self._compared, self._ok = tally.compared(rows), rows.equal("status", "ok")

    def line(self, group: tuple[str, ...], where: Indexes) -> MethodLine:
        among = np.zeros(self._rows.count, bool)
        among[where] = True
        speedups = self._speedup[where]
        known = speedups[~np.isnan(speedups)]
        return MethodLine(
            group=group,
            is_baseline=not self._compared[where].any() and bool(self._ok[where].any()),
            rows=len(where),
            outcomes=tally.outcomes(self._rows, among),
            accuracy=tally.accuracies(self._rows, among),
            speed=tally.speeds(self._rows, among),
            speedup=(float(known.min()), float(np.median(known)), float(known.max())) if len(known) else None,
            others={name: self._median(values, where) for name, values in self._others.items()},
            timed=int(np.count_nonzero(self._timed[where])),
            unconverged=int(np.count_nonzero(self._unconverged[where])),
        )

    def _median(self, values: npt.NDArray[np.float64], where: Indexes) -> float | None:
        known = values[where][self._compared[where] & np.isfinite(values[where])]
        return float(np.median(known)) if len(known) else None


def others(lines: Sequence[MethodLine]) -> list[str]:
    """The names of the speedups beside the leading one that some line has."""
    return [
        name for name in dict.fromkeys(n for line in lines for n in line.others) if any(o.others[name] for o in lines)
    ]


def failures(rows: Rows) -> list[Reason]:
    """Wrong results first, then impossible times, then what could not be measured, then what was skipped; in each the
    frequent reasons first."""
    broken, ok = rows.equal("status", *FAILED), rows.equal("status", "ok")
    return [
        *reasons(rows, np.flatnonzero(tally.wrong(rows)), lambda _: "wrong"),
        *reasons(rows, np.flatnonzero(tally.impossible(rows)), lambda _: IMPOSSIBLE),
        *reasons(rows, np.flatnonzero(broken), str),
        *reasons(rows, np.flatnonzero(~broken & ~ok), str),
    ]


def reasons(rows: Rows, where: Indexes, status: Callable[[str], str]) -> list[Reason]:
    """The rows grouped by status and reason, where reasons that differ in their numbers only count as one."""
    alike: dict[tuple[str, str], tuple[list[str], list[Indexes]]] = {}
    for (state, reason), part in groups(rows, ("status", "reason"), where):
        texts, parts = alike.setdefault((status(state), NUMBER.sub("#", reason)), ([], []))
        texts.append(reason)
        parts.append(part)
    found = [
        reason_of(rows, state, texts, np.sort(np.concatenate(parts))) for (state, _), (texts, parts) in alike.items()
    ]
    return sorted(found, key=lambda one: -one.rows)


def reason_of(rows: Rows, status: str, texts: Sequence[str], where: Indexes) -> Reason:
    indexes = where.tolist()
    labels, methods = (tuple(dict.fromkeys(rows.cells(name, indexes))) for name in ("label", "method"))
    return Reason(
        status=status,
        methods=tuple(method or "" for method in methods),
        reason=texts[0],
        alike=len(texts) > 1,
        rows=len(where),
        examples=labels[:EXAMPLES],
        configurations=len(set(rows.cells("configuration", indexes))),
        places=tuple(places(rows, where)),
    )


def places(rows: Rows, where: Indexes) -> list[Place]:
    """What tells these rows from the others of the page."""
    return list(dict.fromkeys(zip(*(rows.cells(name, where.tolist()) for name in PLACE), strict=True)))
