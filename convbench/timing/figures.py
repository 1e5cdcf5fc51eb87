"""The table's figures of one row, from its samples: the one place where times, ratios and rates become columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..facts.rates import Work
from ..facts.spec import Measure
from .samples import Samples, combine


def with_figures(row: Mapping[str, Any], parts: Sequence[Samples], baseline: str, measure: Measure) -> dict[str, Any]:
    """The row with its speed columns and rates, from its configuration's samples, one Samples for each process.

    The processes in which the method was timed beside the baseline count, or the first where there are none. A row
    that is not right, or was not timed, stays as it is. The passes of one process (the visits under a time budget) are
    one Samples: merge them first.
    """
    method = row["method"]
    timed = [part for part in parts if method in part.arms]
    if not timed or row["status"] != "ok" or row.get("accuracy") == "fail":
        return dict(row)
    paired = [part for part in timed if baseline in part.arms]
    found = combine(paired or timed[:1], method, baseline, measure)
    work = Work.of_row(row)
    return {**row, **found, **work.rates(found["time_s"]), **work.verdict(found)}
