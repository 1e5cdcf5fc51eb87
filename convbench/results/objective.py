"""One number for a configuration, for a sweeper that searches instead of enumerating."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..facts.record import COLUMNS, Record
from ..facts.values import InvalidValue

REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mean": statistics.fmean,
    "median": statistics.median,
}


@dataclass(frozen=True, slots=True)
class Objective:
    """`min:speedup`: how the methods' values of one numeric column become one number."""

    reduction: str
    column: str

    @classmethod
    def of(cls, text: str) -> Objective:
        """Raises InvalidValue for a reduction or a column that does not exist."""
        reduction, _, column = text.partition(":")
        numeric = [name for name, c in COLUMNS.items() if c.type in (int, float)]
        if reduction not in REDUCTIONS or column not in numeric:
            raise InvalidValue(
                "objective",
                f"objective={text} is not known; write {'|'.join(REDUCTIONS)}, a colon and a numeric column "
                "of the table, for instance objective=min:speedup",
            )
        return cls(reduction, column)

    def of_rows(self, rows: Iterable[Record]) -> float:
        """The reduction over every method but the baseline; NaN where no row has a value."""
        values = [row.get(self.column) for row in rows if row["method"] != row["baseline"]]
        known = [float(v) for v in values if v is not None]
        return float(REDUCTIONS[self.reduction](known)) if known else math.nan
