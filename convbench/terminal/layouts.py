"""The final table in several shapes, from one line per configuration to a stack of lines for the narrowest terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.text import Text

from ..facts import units
from ..facts.record import Record
from .aligned import Aligned, Column
from .cells import (
    Cell,
    accuracy_cell,
    call_cell,
    error_cell,
    outcome_cell,
    relative_cell,
    speed_cell,
    speedup_cell,
    speedup_or_baseline,
    time_cell,
    time_or_status,
    verdict_cell,
    verdicts,
    wall_interval_cell,
    with_others,
)
from .contents import Content, Setting, entries, headings, setting_columns


def others(content: Content) -> list[tuple[Column, Cell]]:
    """Columns of the speedups by the other ways of timing."""
    call = [(Column("call", True), call_cell)] if content.in_training else []
    return [*call, *([(Column("wall"), wall_interval_cell)] if content.wall else [])]


def wide(content: Content) -> Aligned:
    """One line for each configuration, four columns for each method."""
    settings = setting_columns(content)
    columns = [Column(head) for head, _ in settings]
    cells: list[tuple[str, Cell]] = []
    for method in content.methods:
        columns.extend(_method_columns(content, method))
        cells.extend((method, cell) for cell in _method_cells(content, method))
    rows = []
    for line in content.lines:
        row = [Text(show(line.any_row)) for _, show in settings]
        row.extend(cell(line.rows[method]) if method in line.rows else Text("") for method, cell in cells)
        rows.append([row])
    return Aligned(columns, rows).kept()


def _method_columns(content: Content, method: str) -> list[Column]:
    if not content.timed:
        return [Column("accuracy", group=method), Column("err/bound", True, method)]
    if method == content.baseline:
        time = Column("time", True, method)
        return [time] if content.accuracy else [time, Column("accuracy", group=method)]
    heads = [Column("time", True, method), Column("speedup", group=method), Column("", group=method)]
    heads += [replace(column, group=method) for column, _ in others(content)]
    return heads if content.accuracy else [*heads, Column("accuracy", group=method)]


def _method_cells(content: Content, method: str) -> list[Cell]:
    if not content.timed:
        return [outcome_cell, error_cell]
    if method == content.baseline:
        return [time_or_status] if content.accuracy else [time_cell, outcome_cell]
    cells: list[Cell] = [time_cell, speedup_cell, speed_cell]
    cells += [cell for _, cell in others(content)]
    return cells if content.accuracy else [*cells, accuracy_cell]


def paired(content: Content) -> Aligned:
    """Two rows for each configuration: the numbers, and the words under them."""
    settings = setting_columns(content)
    columns = [Column(head) for head, _ in settings]
    for method in content.methods:
        columns.append(Column("time", True, method))
        if method != content.baseline:
            columns.append(Column("speedup", group=method))
    parts = []
    for line in content.lines:
        above = [Text(show(line.any_row)) for _, show in settings]
        below = [Text("") for _ in settings]
        for method in content.methods:
            numbers, words = _pair(line.rows.get(method, {}), content, method == content.baseline)
            above.extend(numbers)
            below.extend(words)
        parts.append([above, below] if any(cell.plain for cell in below) else [above])
    return Aligned(columns, parts)


def _pair(row: Record, content: Content, baseline: bool) -> tuple[list[Text], list[Text]]:
    """A method's cells in the first and in the second row; words move up where there are no numbers."""
    words = with_others(verdicts(row, content.accuracy), row)
    numbers = [time_cell(row)] if baseline else [time_cell(row), speedup_cell(row)]
    blank = [Text("") for _ in numbers[1:]]
    if any(cell.plain for cell in numbers):
        return numbers, [*blank, words]
    return [*blank, words], [*blank, Text("")]


def listed(content: Content) -> Aligned:
    """One row for each method of each configuration, whose settings are said once."""
    if content.timed:
        cells: list[tuple[Column, Cell]] = [
            (Column("time", True), time_cell),
            (Column("speedup"), speedup_or_baseline),
            (Column(""), speed_cell),
            *others(content),
            (Column("accuracy"), accuracy_cell),
            (Column("err/bound", True), error_cell),
        ]
    else:
        cells = [
            (Column("accuracy"), outcome_cell),
            (Column("err/bound", True), error_cell),
            (Column("rel. error", True), relative_cell),
        ]
    return _listed(content, cells, setting_columns(content))


def terse(content: Content) -> Aligned:
    """As `listed`, with the least that must be said."""
    cells: list[tuple[Column, Cell]] = [(Column("accuracy"), accuracy_cell if content.timed else outcome_cell)]
    if content.timed:
        cells = [] if content.accuracy else cells
        cells = [(Column("time", True), time_cell), (Column("speedup"), speedup_or_baseline), *cells]
        cells[2:2] = [(Column(""), speed_cell), *others(content)]
    return _listed(content, cells, setting_columns(content))


def headed(content: Content) -> Aligned:
    """As `terse`, with a configuration's settings above its methods; an accuracy other than ok beside the verdict."""
    cells: list[tuple[Column, Cell]] = [(Column("accuracy"), outcome_cell), (Column("err/bound", True), error_cell)]
    if content.timed:
        cells = [(Column("time", True), time_cell), (Column("speedup"), speedup_or_baseline)]
        cells += [(Column(""), verdict_cell), *others(content)]
    table = _listed(content, cells, ())
    parts = [[[Text("  ") + row[0], *row[1:]] for row in part] for part in table.parts]
    return Aligned(table.columns, parts, headings(content))


def _listed(content: Content, cells: Sequence[tuple[Column, Cell]], settings: Sequence[Setting]) -> Aligned:
    heads = [*(Column(head) for head, _ in settings), Column("method"), *(column for column, _ in cells)]
    parts = []
    for line in content.lines:
        part: list[list[Text]] = []
        for method, row in entries(line, content):
            names = [Text("" if part else show(row)) for _, show in settings]
            part.append([*names, Text(method), *(cell(row) for _, cell in cells)])
        parts.append(part)
    return Aligned(heads, parts).kept()


def stacked(content: Content) -> list[Text]:
    """A heading for each configuration and two short lines for each method, for 40 columns."""
    indent = min(12, max(map(len, content.methods)))
    out: list[Text] = []
    for line, heading in zip(content.lines, headings(content), strict=True):
        out += [Text("")] if out else []
        out += [heading] if heading.plain else []
        for method, row in entries(line, content):
            out.extend(_stack(method.ljust(indent), row, content))
    return out


def _stack(method: str, row: Record, content: Content) -> list[Text]:
    """The method, its time and the verdicts; under it the speedup, or the error where nothing was timed."""
    first = Text(f"  {method}  ", no_wrap=True)
    if row.get("time_s") is not None:
        first += Text(f"{units.time(row['time_s']):>7}  ")
    below = with_others(speedup_or_baseline(row), row) if content.timed else error_cell(row)
    if not content.timed and below.plain:
        below = Text("error/bound ") + below
    indent = " " * (len(method) + 4)
    return [first + verdicts(row, content.accuracy), *([Text(indent) + below] if below.plain else [])]


def lines(content: Content, width: int) -> tuple[list[Text], int]:
    """The first shape that fits into `width` columns, and how many rows a configuration has in it."""
    one_by_one = len(content.lines) == 1 or content.baseline is None
    shapes = [] if one_by_one else [wide, paired] if content.timed else [wide]
    for shape in (*shapes, listed, terse, *([] if len(content.lines) == 1 else [headed])):
        table = shape(content)
        if table.width <= width:
            return table.lines(), max(len(part) for part in table.parts) + bool(table.headings)
    return stacked(content), 2 * len(content.methods) + 1
