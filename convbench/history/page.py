"""A history as one HTML page: a chart for each cell, the worst first. It needs no script and fetches nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from .._version import __version__
from . import words
from .cells import CellHistory, History

TEMPLATES = Path(__file__).parent / "templates"
CSS = Path(__file__).parent.parent / "report" / "templates" / "report.css"

MOST = 200
"""Charts on a page; the cells are in the order of their change, so that the rest changed least."""

WIDTH, HEIGHT, EDGE = 640, 120, 6
"""Of a chart, in pixels; EDGE is free above and below."""


def html(history: History) -> str:
    """The page of a history; whatever came from a file is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A baseline has no ratio, and nothing to show unless its outcome changed.
    told = [cell for cell in history.cells if cell.trend is not None or cell.outcomes]
    shown = told[:MOST]
    return environment.get_template("history.html.j2").render(
        version=__version__,
        css=Markup(CSS.read_text(encoding="utf-8")),
        summary=words.summary(history),
        cells=[
            {
                "cell": cell,
                "change": words.change(cell),
                "slope": words.slope(cell),
                "changes": words.changes(history, cell),
                "chart": chart(history, cell),
            }
            for cell in shown
        ],
        left=len(told) - len(shown),
        width=WIDTH,
        height=HEIGHT,
    )


def chart(history: History, cell: CellHistory) -> dict[str, Any] | None:
    """Where the chart's points, levels, version lines and labels are; None for a cell without a ratio."""
    if cell.trend is None:
        return None
    low, high = min(cell.values), max(cell.values)
    middle, span = (low + high) / 2, max(high - low, 0.1)
    last = max(1, len(history.nights) - 1)

    def x(night: float) -> float:
        return round(10 + night / last * (WIDTH - 70), 1)

    def y(value: float) -> float:
        return round(HEIGHT / 2 - (value - middle) / span * (HEIGHT - 2 * EDGE), 1)

    return {
        "points": [
            (x(n), y(value), f"{history.nights[n].name}: {math.exp(value):.3g}× the baseline's time")
            for n, value in zip(cell.nights, cell.values, strict=True)
        ],
        "levels": [*_levels(cell, x, y)],
        "versions": [(x(night - 0.5), ", ".join(changed)) for night, changed in history.versions],
    }


def _levels(cell: CellHistory, x: Any, y: Any) -> Iterator[tuple[float, float, float, str]]:
    """(from, to, height, label) of each level."""
    assert cell.trend is not None
    start = len(cell.values) - cell.trend.levels[-1].end
    for level in cell.trend.levels:
        first, last = cell.nights[start + level.start], cell.nights[start + level.end - 1]
        yield x(first - 0.4), x(last + 0.4), y(level.log), f"{math.exp(level.log):.3g}×"
