"""A history as a table on a terminal, as Markdown and as JSON; page.py makes a page of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ..comparison.nights import len_of
from ..facts import units
from ..facts.markdown import escape
from ..terminal import screen
from .cells import CellHistory, History
from .page import html
from .words import change, changes, slope, summary

SHOWN = 40
"""Cells that are shown to people; JSON holds all."""

BARS = "▁▂▃▄▅▆▇█"
MOST_BARS, LEAST_BARS = 30, 10

HEADS = ("configuration", "method", "nights", "time", "against its best", "a night", "changes", "")
FIGURES = range(1, 6)
"""The columns of a cell's line on a terminal; configuration and changes get lines of their own."""


def bars(values: Sequence[float]) -> str:
    """The last values as bars of one character each, higher for slower."""
    shown = values[-MOST_BARS:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    # A tenth of the height is 1% at least, so that noise does not fill it.
    span = max(high - low, 0.1)
    return "".join(BARS[min(len(BARS) - 1, int((value - low) / span * len(BARS)))] for value in shown)


def cells(history: History, cell: CellHistory) -> tuple[str, ...]:
    told = changes(history, cell)
    return (
        cell.name,
        cell.key.method,
        str(len(cell.nights)),
        units.time(cell.times_s[-1][1]) if cell.times_s else "",
        change(cell),
        slope(cell),
        "; ".join(told),
        bars(cell.values),
    )


def rest(history: History) -> list[str]:
    left = len(history.cells) - SHOWN
    return [f"{units.count(left, 'more cell')}, none worse than these (--format json has all)"] if left > 0 else []


def show(history: History, console: Console) -> None:
    """The history on a terminal or in a log, the worst cells first: a line of figures, under it what they are of."""
    head, *lines = summary(history)
    console.print(Text(head, style="heading"))
    for line in lines:
        console.print(Text(line, style="severity.bad" if line is lines[0] and history.drifted else "quiet"))
    shown = history.cells[:SHOWN]
    rows = [cells(history, cell) for cell in shown]
    figures = [[HEADS[i] for i in FIGURES], *([row[i] for i in FIGURES] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*figures, strict=True)]
    heads, *each = ["  ".join(map(str.ljust, row, widths)) for row in figures]
    if rows:
        console.print()
        console.print(Text(heads.rstrip(), style="heading"))
    room = max(LEAST_BARS, console.width - len(heads) - 2)
    for cell, row, text in zip(shown, rows, each, strict=True):
        name, *_, told, drawn = row
        first = Text(text, style="severity.bad" if cell.q is not None else "")
        console.print(first.append(f"  {drawn[-room:]}", style="quiet"))
        for further in filter(None, (name, told)):
            console.print(Padding(Text(further, style="quiet"), (0, 0, 0, 2)))
    for line in rest(history):
        console.print(Text(line, style="quiet"))


def terminal(history: History) -> str:
    stream = StringIO()
    show(history, Console(file=stream, width=160, theme=screen.THEME, highlight=False, emoji=False, markup=False))
    return stream.getvalue()


def markdown(history: History) -> str:
    head, *lines = summary(history)
    out = ["## convbench: history", "", escape(head), "", *(f"- {escape(line)}" for line in lines), ""]
    out += [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    out += [f"| {' | '.join(escape(text) for text in cells(history, cell))} |" for cell in history.cells[:SHOWN]]
    return "\n".join([*out, "", *rest(history)]).rstrip() + "\n"


def as_json(history: History) -> str:
    """Everything; factors above 1 are slower."""
    content = {
        "nights": [{"folder": str(n.path), "started_at": n.at, "versions": dict(n.versions)} for n in history.nights],
        "versions_changed": [{"night": night, "changed": list(changed)} for night, changed in history.versions],
        "margin": history.margin,
        "cells": [_cell(history, cell) for cell in history.cells],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _cell(history: History, cell: CellHistory) -> dict[str, Any]:
    out: dict[str, Any] = {
        **cell.key._asdict(),
        "name": cell.name,
        "nights": list(cell.nights),
        "slowness": [math.exp(value) for value in cell.values],
        "times": [{"night": n, "time_s": time_s} for n, time_s in cell.times_s],
        "outcomes": [{"night": n, "was": was, "is": now} for n, was, now in cell.outcomes],
        "changes": [
            {"night": s.night, "factor": math.exp(s.log), "versions": list(s.versions), "kernels": s.kernels}
            for s in cell.steps
        ],
        "drifted": cell.q is not None,
    }
    if cell.trend is not None:
        start = len(cell.values) - len_of(cell.trend)
        out["levels"] = [
            {"from": cell.nights[start + x.start], "to": cell.nights[start + x.end - 1], "slowness": math.exp(x.log)}
            for x in cell.trend.levels
        ]
        if cell.trend.best is not None:
            low, high = cell.trend.interval
            out |= {
                "slowdown": math.exp(cell.trend.log),
                "slowdown_low": math.exp(low),
                "slowdown_high": math.exp(high),
            }
        out["a_night"] = math.expm1(cell.trend.slope)
    return out


FORMATS: dict[str, Callable[[History], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "json": as_json,
    "html": html,
}
