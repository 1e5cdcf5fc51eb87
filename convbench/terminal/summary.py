"""The end of a sweep on the terminal: the table, what to look at, the counts, and where the files are."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ..findings import intervals
from ..findings.finders import find
from ..findings.networks import of as find_networks
from ..results.files import environments
from ..results.finished import read_run
from ..results.origin import damaged_lines
from ..results.rows import Rows
from . import networks, screen, sections
from .sections import Context, Item

__all__ = ["Context", "picture", "show", "summary"]


def show(results_dir: Path, console: Console | None = None, context: Context | None = None) -> None:
    """Prints the summary of the results.parquet in `results_dir` on standard output (or `console`).

    Raises InvalidValue where that is damaged.
    """
    console = screen.console() if console is None else console
    context = Context(results_dir) if context is None else context
    context = replace(context, environments=environments(results_dir), damaged=damaged_lines(results_dir))
    path = results_dir / "results.parquet"
    if not path.is_file():
        console.print(Text(f"nothing was measured: there is no {path}"), soft_wrap=True)
        return
    summary(read_run(path), console, context)


def picture(results_dir: Path, svg_path: Path, width: int = 100, title: str = "python -m convbench") -> None:
    """Writes the summary of a run as an SVG that needs nothing from a network."""
    console = Console(
        file=io.StringIO(), record=True, width=width, force_terminal=True, color_system="truecolor",
        theme=screen.THEME, highlight=False, emoji=False, markup=False, legacy_windows=False,
    )  # fmt: skip
    show(results_dir, console)
    # The last line is clipped at its foot.
    console.print()
    svg = console.export_svg(title=title)
    start, last = svg.index("@font-face"), svg.rindex("@font-face")
    svg_path.write_text(svg[:start] + svg[svg.index("}", last) + 1 :], encoding="utf-8")


def summary(rows: Rows, console: Console, context: Context) -> None:
    """The table and everything around it; the most telling part last, where the eye is."""
    if rows.count == 0:
        console.print(Text("nothing was measured"))
        return
    width = console.width
    shown, table, configured = sections.table(rows, width, context.shown)
    parts = [
        sections.heading(shown, configured, context, intervals.said(rows)),
        table,
        sections.totals(rows, shown, width) if configured > len(shown.lines) else [],
        networks.networks(find_networks(rows), width),
        sections.notebook(rows, width),
        sections.bias(rows),
        sections.attention(find(rows), context),
        sections.counts(rows, configured, context),
        sections.files(context),
    ]
    for part in filter(None, parts):
        console.print()
        for line in part:
            _put(console, line)


def _put(console: Console, line: Text | Item) -> None:
    """Prints a line: tables as they are, sentences wrapped, with no blanks at the ends."""
    mark, text = (line.mark, line.text) if isinstance(line, Item) else ("", line)
    if text.no_wrap:
        text.rstrip()
        console.print(text, soft_wrap=True)
        return
    for number, piece in enumerate(text.wrap(console, max(20, console.width - len(mark)))):
        piece.rstrip()
        console.print(Text(mark if number == 0 else " " * len(mark)) + piece, soft_wrap=True)
