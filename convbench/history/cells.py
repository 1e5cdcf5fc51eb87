"""What the nights say of each cell: its levels, what changed between them, and which cells got worst."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ..comparison.nights import Night, slowness
from ..comparison.result import CellKey
from ..comparison.trend import LONGEST, Trend, drifted, trend_of
from ..facts.kernels import changed


@dataclass(frozen=True, slots=True)
class Step:
    """A change between two levels: the first night of the later one, by how much (log, above 0: slower), the versions
    that changed between the level's last night and that one, and the kernels that did."""

    night: int
    log: float
    versions: tuple[str, ...]
    kernels: str | None = None


@dataclass(frozen=True, slots=True)
class CellHistory:
    """A cell over the nights. `nights`: their numbers; `values`: its logs of slowness there; `times_s`: (night, time);
    `outcomes`: (night, was, is) where its accuracy or status changed; `q`: its last level is slower than its best."""

    key: CellKey
    name: str
    nights: tuple[int, ...]
    values: tuple[float, ...]
    times_s: tuple[tuple[int, float], ...]
    trend: Trend | None
    steps: tuple[Step, ...]
    outcomes: tuple[tuple[int, str, str], ...]
    q: float | None = None

    @property
    def log(self) -> float:
        return self.trend.log if self.trend is not None else -math.inf


@dataclass(frozen=True)
class History:
    """All cells, the worst first. `versions`: (night, what changed in the environment from the night before)."""

    nights: Sequence[Night]
    cells: Sequence[CellHistory]
    versions: tuple[tuple[int, tuple[str, ...]], ...]
    margin: float

    @property
    def drifted(self) -> list[CellHistory]:
        """The cells that are slower than their best level."""
        return [cell for cell in self.cells if cell.q is not None]


def tell(nights: Sequence[Night], names: Mapping[str, str], margin: float) -> History:
    """The history of every cell that any of the nights has."""
    changes = tuple((n, found) for n in range(1, len(nights)) if (found := _changed(nights[n - 1], nights[n])))
    keys = dict.fromkeys(key for night in nights for key in night.cells)
    cells = [_cell(key, names.get(key.config_id, key.config_id), nights, dict(changes)) for key in keys]
    trends = {cell.key: cell.trend for cell in cells if cell.trend is not None}
    worse = drifted(trends, math.log1p(margin))
    marked = [replace(cell, q=worse.get(cell.key)) for cell in cells]
    order = sorted(marked, key=lambda cell: (cell.q is None, -cell.log))
    return History(nights, order, changes, margin)


def _cell(key: CellKey, name: str, nights: Sequence[Night], changes: Mapping[int, tuple[str, ...]]) -> CellHistory:
    rows = [(n, night.cells[key]) for n, night in enumerate(nights) if key in night.cells]
    compared = [(n, value) for n, row in rows if (value := slowness(row)) is not None][-LONGEST:]
    numbers, values = tuple(n for n, _ in compared), tuple(value for _, value in compared)
    trend = trend_of(values) if values else None
    return CellHistory(
        key,
        name,
        numbers,
        values,
        tuple((n, row["time_s"]) for n, row in rows if row.get("time_s") is not None),
        trend,
        _steps(trend, numbers, changes, {n: row.get("kernels") for n, row in rows}) if trend is not None else (),
        tuple(_outcomes(rows)),
    )


def _steps(
    trend: Trend,
    numbers: Sequence[int],
    changes: Mapping[int, tuple[str, ...]],
    kernels: Mapping[int, str | None],
) -> tuple[Step, ...]:
    found = []
    for before, after in pairwise(trend.levels):
        first = numbers[after.start]
        # A change point may be a night off.
        versions = tuple(text for n in (first - 1, first, first + 1) for text in changes.get(n, ()))
        # Those in the middle of either level: it may be a night off here as well.
        was, now = (kernels.get(numbers[(level.start + level.end - 1) // 2]) for level in (before, after))
        found.append(Step(first, after.log - before.log, versions, changed(was, now)))
    return tuple(found)


def _outcomes(rows: Sequence[tuple[int, Mapping[str, Any]]]) -> list[tuple[int, str, str]]:
    """Where the verdict on a cell's gradient, or what kept it from one, became another."""
    said = [(n, str(row.get("accuracy") if row.get("status") == "ok" else row.get("status"))) for n, row in rows]
    return [(n, was, now) for (_, was), (n, now) in pairwise(said) if was != now]


def _changed(before: Night, after: Night) -> tuple[str, ...]:
    """`torch 2.12 → 2.13`, for everything that tells environments apart."""
    keys = dict.fromkeys([*before.versions, *after.versions])
    pairs = [(key, before.versions.get(key, "none"), after.versions.get(key, "none")) for key in keys]
    return tuple(f"{key} {was} → {now}" for key, was, now in pairs if was != now)
