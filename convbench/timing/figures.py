"""The table's figures of one row, from its samples: the one place where times, ratios and rates become columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..facts.measure import Measure
from ..facts.rates import Work
from ..facts.record import IMPOSSIBLE
from ..facts.timed_as import BACKWARD, CALL, COLUMN_OF, WALL, of
from .conditions import together
from .samples import Samples
from .speed_columns import combine

MAY_GO = {
    of(name, way) for name in ("speedup_mode_low", "speedup_mode_high", "mean_differs") for way in (CALL, BACKWARD)
}
"""Columns that a row has or has not: a further process may take them away again."""


def with_figures(row: Mapping[str, Any], parts: Sequence[Samples], baseline: str, measure: Measure) -> dict[str, Any]:
    """The row with its speed columns and rates, from its configuration's samples, one Samples for each process and way
    of timing.

    The processes in which the method was timed beside the baseline count, or the first where there are none. A row
    that is not right, or was not timed, stays as it is. The passes of one process (the visits under a time budget) are
    one Samples: merge them first.
    """
    if row["status"] != "ok" or row.get("accuracy") == "fail":
        return dict(row)
    found = _found(row, parts, CALL, baseline, measure)
    if not found:
        return dict(row)
    row = {name: value for name, value in row.items() if name not in MAY_GO}
    work = Work.of_row(row)
    figures = {**row, **found, **work.rates(found["time_s"]), **work.verdict(found)}
    for timed_as, columns in COLUMN_OF.items():
        also = _found(row, parts, timed_as, baseline, measure)
        # What keeps more cores busy than it may does so either way; a row knows how many for its calls alone.
        also.update(work.verdict({**also, "cpus": found["cpus"]}) if also else {})
        figures |= {columns[name]: value for name, value in also.items() if name in columns}
        figures |= {name: value for name, value in also.items() if name == "latency_s" and timed_as == WALL}
        if also.get("speed") == IMPOSSIBLE:
            figures |= {"speed": IMPOSSIBLE, "reason": also["reason"]}
    if figures.get("speed") == IMPOSSIBLE:  # one clock told the truth as little as the other
        figures |= {name: IMPOSSIBLE for way in COLUMN_OF if figures.get(name := of("speed", way)) is not None}
    return figures | _engine(parts)


def _found(
    row: Mapping[str, Any], parts: Sequence[Samples], timed_as: str, baseline: str, measure: Measure
) -> dict[str, Any]:
    """The speed columns by one way of timing; none where the row's method was not timed so."""
    method = row["method"]
    timed = [part for part in parts if part.timed_as == timed_as and method in part.arms]
    paired = [part for part in timed if baseline in part.arms]
    return combine(paired or timed[:1], method, baseline, measure) if timed else {}


def _engine(parts: Sequence[Samples]) -> dict[str, Any]:
    told = together([part.counters for part in parts if part.timed_as == BACKWARD])
    return {} if told.get("engine_s") is None else {"engine_s": told["engine_s"]}
