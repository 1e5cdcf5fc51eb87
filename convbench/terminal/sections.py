"""The parts of a summary, each a list of lines: what was measured, what to look at, the counts, the files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from ..facts import units
from ..facts.devices import word_of
from ..facts.record import IMPOSSIBLE, SPEEDS, STATUSES, VERDICTS
from ..facts.settings import SETTINGS
from ..findings import tally
from ..findings.evidence import SAME_OUT, Finding
from ..findings.notebook import bias_statement, notebook_figures
from ..results.naming import phrases
from ..results.rows import Rows
from . import layouts
from .aligned import Aligned, Column
from .contents import Content
from .selection import content

SHOWN = 40
"""Configurations in the table; of more, the worst."""
LINES = 60
"""Lines of the table where a configuration takes several."""
LEAST = 10
"""Configurations that are shown however many lines each takes."""
REASONS = 5
"""Reasons for skipped rows that are named."""
FILES = ("results.parquet", "results.csv", "environment.json")
MEANING = {
    "exact": "to the last bit of the rounded float64 reference",
    "ok": "within the rounding bound of the float64 reference",
    "reduced": "right, but less precise than the type allows",
    "fail": "wrong",
}
"""What the verdicts on accuracy say."""
WORDS = {"bad": "failed: ", "warning": "warning: ", "note": ""}
"""Severity → how its sentence begins."""


@dataclass(frozen=True, slots=True)
class Item:
    """A mark, and text that wraps beside it."""

    mark: str
    text: Text


Lines = list[Text | Item]


@dataclass(frozen=True, slots=True)
class Context:
    """What the rows do not say.

    `folder` of the files; `illegal` combinations left out; configurations that are `missing` because the
    sweep was stopped, and `unfinished` ones that lack a process of several; how many were `asked` for, where that is
    known, and how many are `shown`; `damaged` lines of part files that could not be read; the `environments` of the
    rows by id. `so_far`: the sweep has not ended; `writer`: the process that still measures.
    """

    folder: Path | None = None
    illegal: int = 0
    missing: int = 0
    unfinished: int = 0
    asked: int | None = None
    shown: int = SHOWN
    damaged: int = 0
    environments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    so_far: bool = False
    writer: str | None = None


def table(rows: Rows, width: int, most: int) -> tuple[Content, Lines, int]:
    """What is shown, its lines, and the number of all configurations; fewer where each takes several lines."""
    shown, configured = content(rows, most)
    lines, each = layouts.lines(shown, width)
    if each > 1 and each * len(shown.lines) > LINES:
        shown, configured = content(rows, max(LEAST, LINES // each))
        lines, _ = layouts.lines(shown, width)
    return shown, [*lines], configured


def heading(shown: Content, configured: int, context: Context, intervals: str = "") -> Lines:
    """What all configurations share, and how to read the numbers; `intervals`: what those are of."""
    shared = [s for s in SETTINGS if s not in shown.settings]
    said = phrases(shown.lines[0].any_row, shared)
    out: Lines = [Text(" · ".join(said), style="heading")]
    notes = [_environment(context.environments)] if context.environments else []
    if shown.accuracy is not None:
        throughout = " throughout" if configured > 1 else ""
        notes.append(f"accuracy: {shown.accuracy}{throughout} ({MEANING[shown.accuracy]})")
    if shown.timed and len(shown.methods) > 1:
        rival = f"{shown.baseline}'s time" if shown.baseline else "the baseline's time"
        what = ", both in a training step (as the backward of an autograd.Function)" if shown.in_training else ""
        call = "; call: the same of the bare calls" if shown.in_training else ""
        call += "; wall: of the calls by the host's clock" if shown.wall else ""
        ends = f"its 95% interval{f', {intervals}' if intervals else ''}"
        notes.append(f"speedup: {rival} ÷ the method's{what}, timed in pairs, with {ends}{call}")
    if configured > len(shown.lines):
        notes.append(f"the {len(shown.lines)} worst of {units.count(configured)} configurations, worst first")
    out.extend(Text(note, style="quiet") for note in notes)
    return out


def _environment(environments: Mapping[str, Mapping[str, Any]]) -> str:
    """`torch 2.13.0 · NVIDIA H100 · 16 cores`: what all environments have in common."""

    def common(key: str) -> Any:
        values = {str(e[key]): e[key] for e in environments.values() if e.get(key) is not None}
        return next(iter(values.values())) if len(values) == 1 else None

    torch, processor, cores = common("torch"), common("gpu") or common("cpu"), common("usable_cores")
    parts = [
        f"torch {torch}" if torch else "",
        str(processor or ""),
        units.count(cores, "core") if isinstance(cores, int) else "",
        f"{len(environments)} environments" if len(environments) > 1 else "",
    ]
    return " · ".join(filter(None, parts))


def totals(rows: Rows, shown: Content, width: int) -> Lines:
    """How often each method got which verdict, over all configurations."""
    words = [("speed", w) for w in SPEEDS] + [("accuracy", w) for w in VERDICTS]
    words += [("status", w) for w in STATUSES if w != "ok"]
    parts = []
    for method in shown.methods:
        mine = rows.equal("method", method)
        counted = {
            "speed": tally.speeds(rows, mine),
            "accuracy": tally.accuracies(rows, mine),
            "status": tally.counts(rows, "status", STATUSES, mine),
        }
        cells = [Text(method)]
        for column, word in words:
            number = counted[column].get(word, 0)
            cells.append(Text(units.count(number), style=f"{column}.{word}") if number else Text(""))
        parts.append([cells])
    table = Aligned([Column("method"), *(Column(word, True) for _, word in words)], parts).kept()
    return [Text("all configurations", style="heading"), *fitted(table, width)]


def fitted(table: Aligned, width: int) -> Lines:
    """The table's lines, or where they are too long a sentence for each row: `explicit: 191 faster, 12 slower`."""
    if table.width <= width:
        return [*table.lines()]
    out: Lines = []
    for row in (row for part in table.parts for row in part):
        told = [
            Text(" ").join([cell, Text(column.head)] if column.right else [cell])
            for cell, column in zip(row[1:], table.columns[1:], strict=True)
            if cell.plain
        ]
        out.append(Item("  ", row[0] + ": " + Text(", ").join(told)))
    return out


def notebook(rows: Rows, width: int) -> Lines:
    figures = notebook_figures(rows)
    if not figures:
        return []
    columns = [Column("figure"), Column("notebook", True), Column("here", True)]
    columns += [Column("rel. diff.", True), Column("")]
    parts = []
    for f in figures:
        verdict = Text("agrees", style="accuracy.ok") if f.agrees else Text("differs", style="accuracy.fail")
        relative = "" if f.relative is None else f"{f.relative:.1e}"
        parts.append([[Text(f.name), Text(f.printed), Text(f.here), Text(relative), verdict]])
    return [
        Text("the notebook's figures (torch 0.3); the difference is autograd's to explicit's", style="heading"),
        *fitted(Aligned(columns, parts).kept(), width),
    ]


def bias(rows: Rows) -> Lines:
    statement = bias_statement(rows)
    if statement is None:
        return []
    same = "to the last bit" if statement.bitwise else "in mean and standard deviation"
    share = f"{units.count(statement.identical)} of {units.count(statement.pairs, 'pair')}"
    said = f"in {share} of rows that differ in the bias only, the gradient is the same {same}"
    if statement.different:
        said += f"; it differs for {', '.join(statement.different)}"
    why = (
        "grad_output is given, and the map from it to the gradient has no bias in it. With the notebook's loss "
        "a bias moves the output, and through grad_output = 2·(output − target) the gradient's values."
    )
    return [Text("the bias", style="heading"), Text(said), Text(why, style="quiet")]


def attention(found: Sequence[Finding], context: Context) -> Lines:
    """What a person should look at, each with what to do about it."""
    items = []
    for finding in found:
        word = f"{finding.kind}: " if finding.kind in ("wrong", IMPOSSIBLE) else WORDS[finding.severity]
        line = Text.assemble((word, f"severity.{finding.severity}"), finding.sentence)
        if finding.remedy:
            line.append(" → ").append(_with_out(finding.remedy, context), style="bold")
        items.append(Item("! " if word else "- ", line))
    for found_in in context.environments.values():
        items.extend(_oversubscribed(found_in))
    return [Text("needs attention", style="heading"), *items] if items else []


def _with_out(remedy: str, context: Context) -> str:
    """A remedy that names the folder of the run: without out= the same command would begin another one."""
    if context.folder is None:
        return remedy
    return remedy.replace(SAME_OUT, f"out={shlex.quote(str(_short(context.folder)))}")


def _oversubscribed(environment: Mapping[str, Any]) -> list[Item]:
    threads, cores = environment.get("threads"), environment.get("usable_cores")
    if not isinstance(threads, int) or not isinstance(cores, int) or threads <= cores:
        return []
    line = Text.assemble(
        (WORDS["warning"], "severity.warning"), f"{threads} threads shared {units.count(cores, 'core')}"
    )
    return [Item("! ", line.append(" → ").append(f"threads={cores} or fewer", style="bold"))]


def counts(rows: Rows, configured: int, context: Context) -> Lines:
    """Rows by status, wrong ones apart, why some were not measured, and what never became a row."""
    line = Text(f"{units.count(configured, 'configuration')}, {units.count(rows.count, 'row')}: ")
    styles = {"wrong": "accuracy.fail", IMPOSSIBLE: f"speed.{IMPOSSIBLE}"}
    parts = [
        Text(f"{units.count(number)} {word}", style=styles.get(word, f"status.{word}"))
        for word, number in tally.outcomes(rows, np.ones(rows.count, bool)).items()
    ]
    out: Lines = [line + Text(", ").join(parts)]
    out.extend(Item("  ", Text(reason, style="quiet")) for reason in _reasons(rows))
    if context.damaged:
        lines = units.count(context.damaged, "damaged line")
        told = f"{lines} in the part files could not be read → the same command measures their rows again"
        out.append(Text(told, style="severity.warning"))
    if context.illegal:
        what = units.count(context.illegal, "illegal combination")
        out.append(Text(f"{what} left out (on_illegal=error stops at the first and says why)"))
    if context.asked is not None and configured > context.asked:
        what = units.count(configured - context.asked, "configuration")
        where = "the folder" if context.folder is None else _short(context.folder)
        said = f"{where} also holds {what} of another command (other methods or settings), shown with these"
        out.append(Text(f"{said} → another out=DIR keeps them apart", style="severity.warning"))
    out.extend(_not_yet(context))
    return out


def _not_yet(context: Context) -> Lines:
    """What is still to come, and from whom."""
    what = units.count(context.missing, "configuration") if context.missing else ""
    if context.unfinished:
        lacking = units.count(context.unfinished, "configuration") + " measured in fewer processes than asked for"
        what = f"{what} to begin, {lacking}" if what else lacking
    if context.so_far and context.writer:
        return [Text(f"{context.writer} is measuring; {what or 'nothing'} to come", style="severity.warning")]
    if what:
        remedy = _with_out(f"to continue, run the same command with {SAME_OUT}", context)
        said = what if context.unfinished else f"{what} not measured yet"
        return [Text(f"{said} → {remedy}", style="severity.warning")]
    if context.so_far:
        said = f"the sweep was killed before it ended → the same command with {SAME_OUT} measures the rest"
        return [Text(_with_out(said, context), style="severity.warning")]
    return []


def _reasons(rows: Rows) -> list[str]:
    """Why rows were skipped or are unsupported, the most frequent reason first."""
    where = np.flatnonzero(rows.equal("status", "skipped", "unsupported"))
    if not len(where):
        return []
    key = rows.groups(("status", "reason"))[where]
    _, first, number = np.unique(key, return_index=True, return_counts=True)
    order = np.argsort(-number, kind="stable")
    out = []
    for i in order[:REASONS]:
        (row,) = rows.take([int(where[first[i]])], ("status", "reason", "device"))
        said = f"{units.count(int(number[i]))} {row['status']}: {row.get('reason') or 'no reason given'}"
        absent = row["status"] == "skipped" and row.get("device")
        out.append(
            said + (f" → run where torch sees one, or leave device={word_of(str(absent))} out" if absent else "")
        )
    rest = int(number[order[REASONS:]].sum())
    return [*out, f"{units.count(rest)} more for other reasons, in the table"] if rest else out


def files(context: Context) -> Lines:
    if context.folder is None:
        return []
    there = ", ".join(name for name in FILES if (context.folder / name).is_file())
    short = _short(context.folder)
    return [
        Text(f"files: {short}" + (f" ({there})" if there else ""), no_wrap=True),
        Text(f"to explore them: python -m convbench report {shlex.quote(str(short))}", style="quiet", no_wrap=True),
    ]


def _short(folder: Path) -> Path:
    """The folder as seen from the working directory."""
    folder = folder.absolute()
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
