"""A network's totals in a summary: what its layers take by each method, and what switching methods would gain."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ..facts import units
from ..findings.network_totals import BEST, MethodTotal, Total
from ..findings.network_words import by_baseline, heading, sentences, speedup
from .aligned import Aligned, Column
from .sections import Item, Lines, fitted

TOTALS = 8
"""Networks and settings that are shown; more are in `convbench.totals`."""
COLUMNS = (Column("method"), Column("total", True), Column("speedup"), Column("by the baseline"))


def networks(found: Sequence[Total], width: int) -> Lines:
    """A table for each network and setting, and the sentences below it."""
    out: Lines = []
    for number, total in enumerate(found[:TOTALS]):
        cells = [[_row(one, total) for one in (*(one for one in total.methods if one.own), total.best)]]
        out += [Text("")] if number else []
        out += [Text(heading(total), style="heading"), *fitted(Aligned(COLUMNS, cells).kept(), width)]
        out += [Item("  ", Text(sentence, style="quiet")) for sentence in sentences(total)]
    if len(found) > TOTALS:
        out.append(Text(f"and {len(found) - TOTALS} more: convbench.totals(convbench.load(DIR))", style="quiet"))
    return out


def _row(one: MethodTotal, total: Total) -> list[Text]:
    style = "" if one.method != BEST else "heading"
    return [
        Text(one.method, style=style),
        Text(units.time(one.time.value)),
        Text(speedup(one, total)),
        Text(by_baseline(one)),
    ]
