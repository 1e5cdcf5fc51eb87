"""The final table in several shapes, from one line per configuration to a stack of lines for the narrowest terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rich.text import Text

from ..facts import units
from ..facts.configuration_key import ConfigurationKey
from ..facts.marks import marks
from ..facts.record import IMPOSSIBLE, Record
from ..facts.settings import SETTINGS
from ..facts.timed_as import WALL_TIME
from ..results.naming import (
    CASE_COLUMNS,
    CASE_SETTINGS,
    LABEL_WIDTH,
    LABELS_UNSAID,
    case_name,
    labels_of,
    text_of,
    told_apart,
)
from .aligned import Aligned, Column


@dataclass(frozen=True, slots=True)
class Line:
    """One configuration: its rows by method."""

    rows: dict[str, Record]

    @property
    def any_row(self) -> Record:
        return next(iter(self.rows.values()))


@dataclass(frozen=True, slots=True)
class Content:
    """What the table shows. `settings` are those that vary; `accuracy` is the one verdict of all rows, if it is one.

    `in_training`: some rows have the figures of a training step in the places of a call's (facts/timed_as.led). `wall`:
    some have the wall time of their calls beside the device's.
    """

    lines: Sequence[Line]
    methods: Sequence[str]
    baseline: str | None
    settings: Sequence[str]
    timed: bool
    accuracy: str | None = None
    labels: Sequence[str] = field(default_factory=tuple)
    in_training: bool = False
    wall: bool = False


Setting = tuple[str, Callable[[Record], str]]
"""Head of a column and what it shows of a row."""
Cell = Callable[[Record], Text]


def label_names(lines: Sequence[Line]) -> list[str]:
    """Labels worth a column: short, not the same everywhere, and part of a configuration's name."""
    values: dict[str, set[str]] = {}
    for line in lines:
        for name, value in labels_of(line.any_row).items():
            values.setdefault(name, set()).add(value)
    named = {n: seen for n, seen in values.items() if n not in LABELS_UNSAID}
    return [n for n, seen in named.items() if len(seen) > 1 and max(map(len, seen)) <= LABEL_WIDTH]


def setting_columns(content: Content) -> list[Setting]:
    """The columns that name a configuration: labels, then what varies; many case settings become one column.

    Lines that would look the same (other methods or another measurement, long labels) get one more column.
    """
    out: list[Setting] = [(name, _label(name)) for name in content.labels]
    case = [s for s in content.settings if s in CASE_SETTINGS]
    if len(case) > CASE_COLUMNS:
        out.append(("case", lambda row: case_name(row, case)))
    else:
        out.extend((SETTINGS[s].head or s, _setting(s)) for s in case)
    out.extend((SETTINGS[s].head or s, _setting(s)) for s in content.settings if s not in CASE_SETTINGS)
    rows = {ConfigurationKey.of(line.any_row): line.any_row for line in content.lines}
    tails = told_apart({key: tuple(show(row) for _, show in out) for key, row in rows.items()}, rows)
    if any(tails.values()):
        out.append(("differs in", lambda row: tails[ConfigurationKey.of(row)]))
    return out


def _label(name: str) -> Callable[[Record], str]:
    return lambda row: labels_of(row).get(name, "")


def _setting(name: str) -> Callable[[Record], str]:
    return lambda row: text_of(name, row)


def time_cell(row: Record) -> Text:
    return Text(units.time(row["time_s"]) if row.get("time_s") is not None else "")


def speedup_cell(row: Record) -> Text:
    """1.31× [1.28, 1.34], with what marks.py says of it."""
    if row.get("speedup") is None or row.get("method") == row.get("baseline"):
        return Text("")
    return Text(units.interval(row["speedup"], row.get("speedup_low"), row.get("speedup_high")) + marks(row))


def call_cell(row: Record) -> Text:
    """The speedup of a call alone, where that of a training step has its own cell."""
    if row.get("call_speedup") is None or row.get("method") == row.get("baseline"):
        return Text("")
    return Text(units.times(row["call_speedup"]), style="quiet")


def wall_cell(row: Record) -> Text:
    """The speedup of the calls by wall time, where the call's own is of device time."""
    if row.get("wall_speedup") is None or row.get("time") == WALL_TIME or row.get("method") == row.get("baseline"):
        return Text("")
    return Text(units.times(row["wall_speedup"]), style="quiet")


def wall_interval_cell(row: Record) -> Text:
    """The same with its interval and its verdict."""
    if not wall_cell(row).plain:
        return Text("")
    said = units.interval(row["wall_speedup"], row.get("wall_speedup_low"), row.get("wall_speedup_high"))
    return Text(f"{said} {row.get('wall_speed', '')}".rstrip(), style="quiet")


def speed_cell(row: Record) -> Text:
    """The verdict on speed, or the status where the row could not be measured."""
    status = row.get("status")
    if status != "ok":
        return Text(str(status), style=f"status.{status}") if status else Text("")
    speed = row.get("speed")
    if speed is None or (row.get("method") == row.get("baseline") and speed != IMPOSSIBLE):
        return Text("")
    return Text(speed, style=f"speed.{speed}")


def accuracy_cell(row: Record) -> Text:
    verdict = row.get("accuracy")
    return Text(verdict, style=f"accuracy.{verdict}") if verdict else Text("")


def error_cell(row: Record) -> Text:
    """The largest error as a share of its bound."""
    ratio = row.get("bound_ratio")
    if ratio is None:
        return Text("")
    return Text("<0.01" if 0 < ratio < 0.01 else f"{ratio:.2f}" if ratio < 10 else units.significant(ratio, 2))


def relative_cell(row: Record) -> Text:
    error = row.get("rel_l2_err")
    return Text(units.significant(error, 2) if error is not None else "")


def outcome_cell(row: Record) -> Text:
    """Accuracy, or the status of a row that has none."""
    return accuracy_cell(row) if row.get("status") == "ok" else speed_cell(row)


def verdicts(row: Record, content: Content) -> Text:
    """`faster · exact`: the words that apply, without an accuracy that all rows share."""
    words = [speed_cell(row)]
    if content.accuracy is None:
        words.append(accuracy_cell(row))
    return Text(" · ").join([w for w in words if w.plain])


def with_others(text: Text, row: Record) -> Text:
    """`text` and the speedups by the other ways of timing: of the bare calls, and of their wall time."""
    cells = (("call", call_cell(row)), ("wall", wall_cell(row)))
    said = [Text(f"{word} ", style="quiet") + cell for word, cell in cells if cell.plain]
    return Text(" · ").join([text, *said])


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
        return [_time_or_status] if content.accuracy else [time_cell, outcome_cell]
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
    words = with_others(verdicts(row, content), row)
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
            (Column("speedup"), _speedup_or_baseline),
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
        cells = [(Column("time", True), time_cell), (Column("speedup"), _speedup_or_baseline), *cells]
        cells[2:2] = [(Column(""), speed_cell), *others(content)]
    return _listed(content, cells, setting_columns(content))


def headed(content: Content) -> Aligned:
    """As `terse`, with a configuration's settings above its methods; an accuracy other than ok beside the verdict."""
    cells: list[tuple[Column, Cell]] = [(Column("accuracy"), outcome_cell), (Column("err/bound", True), error_cell)]
    if content.timed:
        cells = [(Column("time", True), time_cell), (Column("speedup"), _speedup_or_baseline)]
        cells += [(Column(""), _verdict_cell), *others(content)]
    table = _listed(content, cells, ())
    parts = [[[Text("  ") + row[0], *row[1:]] for row in part] for part in table.parts]
    return Aligned(table.columns, parts, _headings(content))


def _verdict_cell(row: Record) -> Text:
    """The verdict on speed, and that on accuracy where it is another one than ok."""
    words = [speed_cell(row), Text("") if row.get("accuracy") == "ok" else accuracy_cell(row)]
    return Text(" · ").join([word for word in words if word.plain])


def _headings(content: Content) -> list[Text]:
    """What names each configuration."""
    settings = setting_columns(content)
    named = [[f"{head} {value}" for head, show in settings if (value := show(line.any_row))] for line in content.lines]
    return [Text(" · ".join(words), style="heading") for words in named]


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


def _time_or_status(row: Record) -> Text:
    return time_cell(row) if row.get("time_s") is not None else speed_cell(row)


def _speedup_or_baseline(row: Record) -> Text:
    if row.get("method") == row.get("baseline") and row.get("time_s") is not None:
        return Text("baseline", style="quiet")
    return speedup_cell(row)


def entries(line: Line, content: Content) -> list[tuple[str, Record]]:
    """The methods of a line and their rows, its baseline first; one entry where one reason stopped all of them."""
    own = line.any_row.get("baseline")
    methods = sorted((m for m in content.methods if m in line.rows), key=lambda m: m != own)
    if len(methods) > 1 and len({(row.get("status"), row.get("reason")) for row in line.rows.values()}) == 1:
        if line.any_row.get("status") != "ok":
            return [(f"all {len(methods)}", line.any_row)]
    return [(method, line.rows[method]) for method in methods]


def stacked(content: Content) -> list[Text]:
    """A heading for each configuration and two short lines for each method, for 40 columns."""
    indent = min(12, max(map(len, content.methods)))
    out: list[Text] = []
    for line, heading in zip(content.lines, _headings(content), strict=True):
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
    below = with_others(_speedup_or_baseline(row), row) if content.timed else error_cell(row)
    if not content.timed and below.plain:
        below = Text("error/bound ") + below
    indent = " " * (len(method) + 4)
    return [first + verdicts(row, content), *([Text(indent) + below] if below.plain else [])]


def lines(content: Content, width: int) -> tuple[list[Text], int]:
    """The first shape that fits into `width` columns, and how many rows a configuration has in it."""
    one_by_one = len(content.lines) == 1 or content.baseline is None
    shapes = [] if one_by_one else [wide, paired] if content.timed else [wide]
    for shape in (*shapes, listed, terse, *([] if len(content.lines) == 1 else [headed])):
        table = shape(content)
        if table.width <= width:
            return table.lines(), max(len(part) for part in table.parts) + bool(table.headings)
    return stacked(content), 2 * len(content.methods) + 1
