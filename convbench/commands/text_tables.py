"""A run's tables as text for a paper or an issue: Markdown, and LaTeX with booktabs; one line per configuration and
method, with the figures that the terminal leads with, then a table for each network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..facts import units
from ..facts.configuration_key import ConfigurationKey
from ..facts.markdown import escape
from ..facts.record import Record
from ..facts.timed_as import BACKWARD, led, of
from ..findings import network_words
from ..findings.networks import totals

LATEX_MARKS = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "µ": "\\textmu{}",
    "×": "$\\times$",
    "·": "$\\cdot$",
    "→": "$\\to$",
    "–": "--",
    "±": "$\\pm$",
}


@dataclass(frozen=True, slots=True)
class Table:
    """`right`: the columns of numbers; `before` and `after`: what is said of it in words."""

    head: Sequence[str]
    right: frozenset[int]
    body: Sequence[Sequence[str]]
    before: str = ""
    after: Sequence[str] = ()


def tables_of(rows: Sequence[Record], name: Callable[[Record], str]) -> list[Table]:
    """The rows, then each network; `name` says which configuration a row is of."""
    return [_rows(rows, name), *_networks(rows)]


def _rows(rows: Sequence[Record], name: Callable[[Record], str]) -> Table:
    trained = {ConfigurationKey.of(row) for row in rows if row.get(of("time_s", BACKWARD)) is not None}
    shown = [led(row, BACKWARD) if ConfigurationKey.of(row) in trained else row for row in rows]
    head = ["configuration", "method", "time", "speedup", *(["call"] if trained else []), "accuracy", "status"]
    body = []
    for row in shown:
        baseline = row["method"] == row.get("baseline")
        speedup = units.interval(row.get("speedup"), row.get("speedup_low"), row.get("speedup_high"))
        call = row.get("call_speedup") if not baseline else None
        body.append(
            [
                *(name(row), row["method"], units.time(row.get("time_s"))),
                "baseline" if baseline else f"{speedup} {row.get('speed', '')}".strip(),
                *([units.times(call) if call is not None else units.MISSING] if trained else []),
                row.get("accuracy", units.MISSING),
                _outcome(row),
            ]
        )
    said = "Speedups in a training step; call: those of the bare calls." if trained else ""
    return Table(head, frozenset((2, 4) if trained else (2,)), body, after=[said] if said else [])


def _outcome(row: Record) -> str:
    """The status; why, where the row was not measured or its gradient is wrong."""
    wrong = row.get("accuracy") == "fail"
    if row["status"] == "ok" and not wrong:
        return "ok"
    return f"{'wrong' if wrong else row['status']}: {row.get('reason', '')}"


def _networks(rows: Sequence[Record]) -> list[Table]:
    """A table for each network, where the list of cases says how often its lines occur."""
    found = []
    for total in totals(rows):
        cells = [network_words.cells(one, total) for one in (*total.methods, total.best)]
        shown = 4 if any(row["by_baseline"] for row in cells) else 3
        body = [list(row.values())[:shown] for row in cells]
        head = ("method", "total", "speedup", "by the baseline")[:shown]
        sentences = [f"{sentence}." for sentence in network_words.sentences(total)]
        found.append(Table(head, frozenset({1}), body, network_words.heading(total), sentences))
    return found


def as_markdown(tables: Sequence[Table]) -> str:
    lines = []
    for table in tables:
        lines += ["", f"**{escape(table.before)}**", ""] if table.before else []
        lines.append(f"| {' | '.join(table.head)} |")
        lines.append("|" + "".join("--:|" if i in table.right else "---|" for i in range(len(table.head))))
        lines += [f"| {' | '.join(map(escape, row))} |" for row in table.body]
        lines += ["", *map(escape, table.after)] if table.after else []
    return "\n".join(lines) + "\n"


def as_latex(tables: Sequence[Table]) -> str:
    r"""For \usepackage{booktabs}; what Markdown says around a table is a comment here."""
    lines = []
    for table in tables:
        places = "".join("r" if i in table.right else "l" for i in range(len(table.head)))
        lines += [f"% {table.before}"] if table.before else []
        lines += [f"\\begin{{tabular}}{{{places}}}", "  \\toprule", _latex_line(table.head), "  \\midrule"]
        lines += [_latex_line(row) for row in table.body]
        lines += ["  \\bottomrule", "\\end{tabular}", *(f"% {sentence}" for sentence in table.after)]
    return "\n".join(lines) + "\n"


def _latex_line(cells: Sequence[str]) -> str:
    return f"  {' & '.join(''.join(LATEX_MARKS.get(c, c) for c in ' '.join(cell.split())) for cell in cells)} \\\\"
