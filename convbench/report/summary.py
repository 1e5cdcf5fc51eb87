"""What the report says in words and tables, counted over all rows: no plot depends on a number made here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..facts.record import FAILED, IMPOSSIBLE, SPEEDS, STATUSES, VERDICTS
from .data import AXES, Runs, plain

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
    status, with `wrong` for those whose gradient is.
    """

    group: tuple[str, ...]
    is_baseline: bool
    rows: int
    outcomes: dict[str, int]
    accuracy: dict[str, int]
    speed: dict[str, int]
    speedup: tuple[float, float, float] | None
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
    configurations: int
    rows: int
    statuses: dict[str, int]
    accuracy: dict[str, int]
    speed: dict[str, int]
    swept: tuple[Axis, ...]
    fixed: tuple[Axis, ...]
    first: str | None
    last: str | None
    versions: tuple[str, ...]

    @property
    def failed(self) -> int:
        return sum(self.statuses.get(status, 0) for status in FAILED)


def overview(runs: Runs) -> Overview:
    """The counts over all rows, and which settings were varied and which were not."""
    table = runs.table
    started = table["started_at"].dropna()
    fixed = [axis for axis in AXES if axis not in runs.axes and table[axis].notna().any()]
    return Overview(
        configurations=int(table["configuration"].nunique()),
        rows=len(table),
        statuses=counts(table["status"], STATUSES),
        accuracy=counts(table["accuracy"], VERDICTS),
        speed=counts(compared(table)["speed"], SPEEDS),
        swept=tuple(axis_of(table, axis) for axis in runs.axes),
        fixed=tuple(axis_of(table, axis) for axis in fixed),
        first=str(started.min()) if len(started) else None,
        last=str(started.max()) if len(started) else None,
        versions=tuple(str(v) for v in table["convbench_version"].dropna().unique()),
    )


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of methods that are not their own baseline."""
    return table[(table["method"] != table["baseline"]).fillna(False)]


def is_wrong(table: pd.DataFrame) -> pd.Series[bool]:
    """The rows with a wrong gradient, whatever their status: a method that ran to its end can be wrong."""
    return (table["accuracy"] == "fail").fillna(False).astype(bool)


def is_impossible(table: pd.DataFrame) -> pd.Series[bool]:
    """The rows whose gradient is right and whose time cannot be."""
    return ((table["speed"] == IMPOSSIBLE) & ~is_wrong(table)).fillna(False).astype(bool)


def counts(column: pd.Series[Any], order: Sequence[str]) -> dict[str, int]:
    """How often each value occurs; those of `order` first, values that never occur left out."""
    found = {str(value): int(n) for value, n in column.value_counts().items()}
    return {value: found[value] for value in [*(v for v in order if v in found), *(v for v in found if v not in order)]}


def axis_of(table: pd.DataFrame, name: str) -> Axis:
    distinct = natural([value for value in plain(table[name].drop_duplicates()) if value is not None])
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
    split = [axis for axis in ("run", "device", "dtype") if axis in runs.axes]
    lines = []
    for key, part in groups(runs.table, split):
        if (part["status"] == "skipped").all():
            methods = part["method"].nunique()
            lines.append(method_line((*key, f"all {methods} methods" if methods > 1 else part["method"].iloc[0]), part))
        else:
            lines += [method_line((*key, *method), rows) for method, rows in groups(part, ["method"])]
    return (*split, "method"), lines


def groups(table: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """The rows for each combination of values, in the order in which these appear."""
    if not columns or table.empty:
        yield from [] if table.empty else [((), table)]
        return
    for key, rows in table.groupby(list(columns), sort=False, dropna=False):
        yield tuple("" if value is pd.NA else str(value) for value in key), rows


def method_line(group: tuple[str, ...], rows: pd.DataFrame) -> MethodLine:
    speedups = compared(rows)["speedup"].dropna()
    three = (float(speedups.min()), float(speedups.median()), float(speedups.max())) if len(speedups) else None
    return MethodLine(
        group=group,
        is_baseline=compared(rows).empty and bool((rows["status"] == "ok").any()),
        rows=len(rows),
        outcomes=counts(
            rows["status"].mask(is_wrong(rows), "wrong").mask(is_impossible(rows), IMPOSSIBLE),
            ("ok", "wrong", IMPOSSIBLE, *STATUSES),
        ),
        accuracy=counts(rows["accuracy"], VERDICTS),
        speed=counts(compared(rows)["speed"], SPEEDS),
        speedup=three,
        timed=int(rows["time_s"].notna().sum()),
        unconverged=int((rows["converged"] == False).fillna(False).sum()),  # noqa: E712 - element by element
    )


def failures(table: pd.DataFrame) -> list[Reason]:
    """Wrong results first, then impossible times, then what could not be measured, then what was skipped; in each the
    frequent reasons first."""
    wrong = reasons(table[is_wrong(table)], lambda _: "wrong")
    impossible = reasons(table[is_impossible(table)], lambda _: IMPOSSIBLE)
    broken = reasons(table[table["status"].isin(FAILED)], str)
    missing = reasons(table[~table["status"].isin([*FAILED, "ok"])], str)
    return [*wrong, *impossible, *broken, *missing]


def reasons(rows: pd.DataFrame, status: Callable[[str], str]) -> list[Reason]:
    """The rows grouped by status and reason, where reasons that differ in their numbers only count as one."""
    groups: dict[tuple[str, str], list[tuple[str, str, int, str]]] = {}
    columns = (plain(rows[name]) for name in ("status", "reason", "label", *PLACE))
    for state, reason, label, configuration, method in zip(*columns, strict=True):
        key = (status(state or ""), NUMBER.sub("#", reason or ""))
        groups.setdefault(key, []).append((reason or "", label, configuration, method or ""))
    found = [reason_of(state, members) for (state, _), members in groups.items()]
    return sorted(found, key=lambda one: -one.rows)


def reason_of(status: str, members: Sequence[tuple[str, str, int, str]]) -> Reason:
    texts, labels, configurations, methods = (tuple(dict.fromkeys(values)) for values in zip(*members, strict=True))
    return Reason(
        status=status,
        methods=methods,
        reason=texts[0],
        alike=len(texts) > 1,
        rows=len(members),
        examples=labels[:EXAMPLES],
        configurations=len(configurations),
        places=tuple(dict.fromkeys(member[-2:] for member in members)),
    )
