"""The rows as the page's script gets them: one compact JSON object, safe inside a script element."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..facts.case import COLUMN_PREFIX
from ..facts.dtypes import DTYPES
from ..facts.measure import Measure
from ..facts.record import COLUMNS, FAILED, SPEEDS, STATUSES, VERDICTS
from ..findings import tally
from ..results.rows import Rows
from .data import Runs
from .explain import explaining

MOST_ROWS = 30_000
"""Rows a page can hold: about 10 MB, which phones still open."""

BOUNDS = {name: {"out": d.u_out, "acc": d.u_acc} for name, d in sorted(DTYPES.items(), key=lambda item: item[1].u_out)}
"""Rounding errors of the result and of the accumulator: the bound on the relative L2 error is u_out + 2·u_acc·√K.
The most precise type first, in which order the page shows them."""

DIGITS = 7
"""Significant digits of a number in the page; the files beside it have them all."""

DERIVED = {
    "run": "the folder the row comes from",
    "label": "the settings that tell this configuration from the others",
    "case": "the convolution, in short",
    **{setting: f"{setting.replace('_', ' ')}, all axes" for setting in COLUMN_PREFIX},
}
"""Columns that the report makes from the table's own."""

ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def payload(runs: Runs) -> dict[str, Any]:
    """Columns (name, type, unit, meaning) and their values, rows' configurations, and what plots need; see core.js."""
    rows = runs.rows
    shown = sample(rows)
    columns = [*DERIVED, *runs.labels, *(name for name in COLUMNS if name != "labels")]
    cells = {name: rows.cells(name, shown) for name in dict.fromkeys(columns)}
    known = {name: values for name, values in cells.items() if any(value is not None for value in values)}
    return {
        "n": len(shown),
        "total": rows.count,
        "columns": [description(name, values) for name, values in known.items()],
        "configuration": rows.cells("configuration", shown),
        "values": {name: packed(values) for name, values in known.items()},
        "axes": [axis for axis in runs.axes if axis in known],
        "explains": [axis for axis, _ in explaining(runs) if axis in known],
        "labels": list(runs.labels),
        "samples": dict(runs.samples),
        "margin": margin(rows),
        "bounds": BOUNDS,
        "order": {
            "status": STATUSES,
            "accuracy": VERDICTS,
            **dict.fromkeys(("speed", "backward_speed", "wall_speed"), SPEEDS),
        },
    }


def margin(rows: Rows) -> float:
    """The margin of the table's verdicts; the widest where runs with several are shown together."""
    return max(rows.values("margin"), default=Measure().margin)


def sample(rows: Rows) -> list[int]:
    """At most MOST_ROWS rows, in order: those that failed or were wrong, and a fixed random choice of the others."""
    if rows.count <= MOST_ROWS:
        return list(range(rows.count))
    urgent = rows.equal("status", *FAILED) | tally.wrong(rows) | tally.impossible(rows)
    first = np.flatnonzero(urgent)[:MOST_ROWS]
    others = np.random.default_rng(0).choice(np.flatnonzero(~urgent), MOST_ROWS - len(first), replace=False)
    chosen: list[int] = np.sort(np.concatenate([first, others])).tolist()
    return chosen


def description(name: str, values: Sequence[Any]) -> dict[str, str]:
    column = COLUMNS.get(name)
    if column is None:
        kind = "int" if all(value is None or isinstance(value, int) for value in values) else "str"
        return {"name": name, "type": kind, "unit": "", "meaning": DERIVED.get(name, "a label of the cases file")}
    return {"name": name, "type": column.type.__name__, "unit": column.unit, "meaning": column.meaning}


def packed(column: Sequence[Any]) -> dict[str, Any]:
    """{"c": the constant}, {"d": distinct values, "i": each row's} where values repeat, or {"v": values}."""
    values = [shortened(value) for value in column]
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return {"c": distinct[0]}
    if len(distinct) <= len(values) // 3 or isinstance(distinct[0], str):
        index = {value: i for i, value in enumerate(distinct)}
        return {"d": distinct, "i": [index[value] for value in values]}
    return {"v": values}


def shortened(value: Any) -> Any:
    """A float at DIGITS significant digits; "inf", "-inf" and "nan" for what JSON has no number for."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)


def in_script(value: Any) -> str:
    """JSON that no HTML parser takes for markup and no JavaScript parser for a line's end."""
    out = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in ESCAPED.items():
        out = out.replace(character, escape)
    return out
