"""`convbench.totals` and `convbench.switches`: what a network takes by each method, and which layers to switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..findings.network_rows import SWITCH, TOTAL, switch_rows, total_rows
from ..findings.networks import totals as totals_of

if TYPE_CHECKING:
    import pandas as pd


def totals(table: pd.DataFrame) -> pd.DataFrame:
    """What each network in a table takes by each method: one row per network, setting and method.

    `table` is what `load` or `run` gives; its rows count as often as the label `count` of the list of cases says, and
    rows without one are left out. Columns: `network`; one for every setting that was swept; `wrt`, `baseline`, `method`
    (the last is `best of each layer`), `layers`, `lines`, `time_s`, `speedup`, each with `_low` and `_high`, the 95%
    interval; `own_lines` that the method computes, `wrong_lines` and `other_lines` for which the baseline's time stands
    in, `left_out_lines` that the baseline has no time for. Seconds; empty where no row says how often it occurs.
    """
    return _frame([row for total in totals_of(_records(table)) for row in total_rows(total)], TOTAL)


def switches(table: pd.DataFrame) -> pd.DataFrame:
    """The layers whose method should be another than the baseline: one row per line, those that gain most first.

    Columns: those of `totals` up to `baseline`, then `layer`, `count`, `method`, `speedup`, `speedup_low`,
    `speedup_high` and `gain_s`, seconds in the whole network.
    """
    return _frame([row for total in totals_of(_records(table)) for row in switch_rows(total)], SWITCH)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    from ..results.table import records

    return records(table)


def _frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    swept = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in columns]
    return pd.DataFrame(rows, columns=["network", *swept, *columns[1:]])
