"""A comparison for people: as a table on a terminal and as Markdown for a job summary; FORMATS has the others too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..facts.exits import Exit
from ..facts.markdown import code, escape
from ..facts.record import Record
from ..facts.units import count, interval
from .comparison import TITLES, WORDS, Comparison, listed
from .exchange import as_json, junit
from .result import Finding

SHOWN = 50
"""Lines of one kind in the terminal and in Markdown; JSON and JUnit hold all."""

SPEEDUP = {False: "speedup in NEW", True: "NEW against BASE"}
"""What the column of speedups holds, of two runs and of two sides in pairs."""

STYLES = {"advisory": "severity.note", "cleared": "severity.note", "faster": "speed.faster", "better": "speed.faster"}


def _speedup(row: Record) -> str:
    return interval(row.get("speedup"), row.get("speedup_low"), row.get("speedup_high"))


def _shortened(findings: Sequence[Finding]) -> tuple[list[Finding], list[str]]:
    """At most SHOWN findings of every kind, and a sentence for each kind of which some were left out."""
    shown: list[Finding] = []
    more = []
    for kind in dict.fromkeys(f.kind for f in findings):
        of_kind = [f for f in findings if f.kind == kind]
        shown += of_kind[:SHOWN]
        if len(of_kind) > SHOWN:
            more.append(f"{count(len(of_kind) - SHOWN, 'more cell')}: {TITLES[kind]} (--format json lists all)")
    return shown, more


def _new_cells(comparison: Comparison) -> list[str]:
    fresh = comparison.judgement.fresh
    lines = [
        f"new: {comparison.name(row)} · {row['method']} ({row.get('accuracy', row['status'])})" for row in fresh[:SHOWN]
    ]
    return lines + ([f"{count(len(fresh) - SHOWN, 'more new cell')}"] if len(fresh) > SHOWN else [])


def show(comparison: Comparison, console: Console) -> None:
    """The comparison on a terminal or in a log."""
    judgement = comparison.judgement
    style = "speed.faster" if judgement.exit_code == Exit.GOOD else "severity.bad"
    console.print(Text.assemble((WORDS[judgement.verdict], style), f": {comparison.summary}"))
    findings, more = _shortened(listed(judgement))
    if findings:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for head in ("", "configuration", "method", SPEEDUP[comparison.paired], "what"):
            table.add_column(head, overflow="fold")
        for f in findings:
            kind = Text(TITLES[f.kind], style=STYLES.get(f.kind, "severity.bad"))
            table.add_row(kind, comparison.name(f.row), comparison.method(f.key), _speedup(f.row), f.text)
        console.print(table)
    for line in (*more, *_new_cells(comparison), *comparison.notes):
        console.print(Text(line, style="quiet"))


def terminal(comparison: Comparison) -> str:
    """What `show` prints, without colours and as wide as a wide log."""
    stream = StringIO()
    from ..terminal.screen import THEME

    show(comparison, Console(file=stream, width=160, theme=THEME, highlight=False, emoji=False, markup=False))
    return stream.getvalue()


def markdown(comparison: Comparison) -> str:
    """A section for a job summary; whatever came from a file is escaped."""
    judgement = comparison.judgement
    lines = [f"## convbench: {WORDS[judgement.verdict]}", "", escape(comparison.summary), ""]
    lines += [f"BASE {code(comparison.base)} · NEW {code(comparison.new)}", ""]
    findings, more = _shortened(listed(judgement))
    if findings:
        lines += [f"| | configuration | method | {SPEEDUP[comparison.paired]} | what |", "|---|---|---|---|---|"]
        for f in findings:
            cells = (TITLES[f.kind], comparison.name(f.row), comparison.method(f.key), _speedup(f.row), f.text)
            lines.append(f"| {' | '.join(escape(cell) for cell in cells)} |")
        lines.append("")
    lines += [f"- {escape(line)}" for line in (*more, *_new_cells(comparison), *comparison.notes)]
    return "\n".join(lines).rstrip() + "\n"


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "json": as_json,
    "junit": junit,
}
