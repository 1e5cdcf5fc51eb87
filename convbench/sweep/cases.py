"""Lists of real cases: each line of a file is one configuration, crossed with whatever else is swept.

The columns are the table's own case and setting columns (`in_h`, `kernel_w`, `dtype` …), so that every
table that convbench wrote is a valid list; the names of settings (`size`, `kernel` …) are understood as
well. Other columns are kept as labels.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..facts.case import AXES, OPS
from ..facts.plain import as_written
from ..facts.values import IllegalCase, InvalidValue, did_you_mean
from ..results.schema import opened
from .case_columns import AXIS_COLUMNS, LABELS, READERS, column_of, is_result, setting_of, value_of

BATCH = 8192
"""Rows of a table that are read at a time."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: settings by key, `per_axis` as (key, axis) → value, labels for the rest."""

    line: int
    settings: Mapping[str, Any]
    per_axis: Mapping[tuple[str, str], int]
    labels: Mapping[str, str]

    def identity(self) -> bytes:
        """Equal for lines that say the same; 16 bytes, for there may be hundreds of thousands."""
        told = (sorted(self.settings.items()), sorted(self.per_axis.items()), sorted(self.labels.items()))
        return hashlib.blake2b(repr(told).encode(errors="surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Cases:
    """The lines of one file; `labels` are the columns that are kept beside the settings."""

    path: Path
    rows: Sequence[Row]
    labels: Sequence[str]

    def check_trusted(self, named: Collection[str]) -> None:
        """Raises InvalidValue for a line that names code of somebody's own which the command line does not name.

        A list of cases is data: what it holds must not decide what is imported.
        """
        for row in self.rows:
            baseline = str(row.settings.get("baseline", ""))
            if ":" in baseline and baseline not in named:
                raise self.error(
                    row,
                    "baseline",
                    f"{baseline} names code, and a list of cases must not decide what is run; if you trust it, "
                    f"name it among the methods: methods=[…,{baseline}]",
                )

    def settings(self, index: int, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """What one line decides; axes that it leaves out take the configuration's value.

        Raises InvalidValue, with file, line and column, for an axis that the operation does not have.
        """
        row = self.rows[index]
        values = dict(row.settings)
        op = values.get("op", configuration["op"])
        if op in OPS:
            axes = AXES[3 - OPS[op][0] :]
            for key in dict.fromkeys(key for key, _ in row.per_axis):
                values[key] = self._whole(row, key, axes, configuration[key])
        if row.labels:
            values[LABELS] = dict(row.labels)
        return values

    def _whole(self, row: Row, key: str, axes: Sequence[str], usual: Any) -> list[Any]:
        """The value of `key` for every axis: the line's, else the configuration's."""
        given = {axis: value for (k, axis), value in row.per_axis.items() if k == key}
        for axis in given.keys() - set(axes):
            raise self.error(
                row, column_of(key, axis), f"has a value, but the operation has no axis {axis}; leave it empty"
            )
        usual = usual if isinstance(usual, (list, tuple)) else [usual] * len(axes)
        missing = [axis for axis in axes if axis not in given]
        if missing and len(usual) != len(axes):
            raise self.error(row, column_of(key, missing[0]), f"is empty, and {key}={list(usual)} has no value for it")
        return [given[axis] if axis in given else usual[place] for place, axis in enumerate(axes)]

    def blame(self, index: int, error: InvalidValue) -> InvalidValue:
        """The error with the place of the line, and of its column where the line decides the offending setting.

        What is illegal together stays so, for on_illegal to decide.
        """
        row = self.rows[index]
        axes = [axis for key, axis in row.per_axis if key == error.key]
        column = error.key if error.key in row.settings else column_of(error.key, axes[0]) if axes else None
        placed = self.error(row, column, str(error))
        return IllegalCase(placed.key, str(placed)) if isinstance(error, IllegalCase) else placed

    def error(self, row: Row, column: str | None, message: str) -> InvalidValue:
        return InvalidValue("cases", f"{place(self.path, row.line, column)}: {message}")


def place(path: Path, line: int, column: str | None = None) -> str:
    return f"{path} line {line}{f', column {column}' if column else ''}"


def read(path: Path, overridden: Iterable[str] = ()) -> Cases:
    """The lines of a .csv or .parquet file, or of the table in a folder that convbench wrote.

    Columns behind the `overridden` settings are left alone, and lines that say the same (a table has one
    per method) become one. Raises InvalidValue naming file, line and column.
    """
    if path.is_dir() and (path / "results.parquet").exists():
        path = path / "results.parquet"
    elif path.is_dir():
        if not (path / "results.csv").exists():
            raise InvalidValue("cases", f"cases={path} holds no results.parquet or results.csv")
        path = path / "results.csv"
    lines = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    try:
        header = _header(path, next(lines, (1, []))[1], frozenset(overridden))
        rows = list(_distinct(path, lines, header))
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, InvalidValue):
            raise
        raise InvalidValue("cases", f"cases={path} cannot be read: {error}") from error
    if not rows:
        raise InvalidValue("cases", f"{path} has no line below its header")
    return Cases(path, rows, [name for name in header if name and name not in READERS and name != LABELS])


def _distinct(path: Path, lines: Iterable[tuple[int, Sequence[str]]], header: Sequence[str]) -> Iterator[Row]:
    """The first of the lines that say the same."""
    told = [place for place, name in enumerate(header) if name]
    last: Sequence[str] = ()
    seen: set[bytes] = set()
    for line, cells in lines:
        if len(cells) != len(header):
            raise InvalidValue(
                "cases", f"{place(path, line)}: {len(cells)} cells for the header's {len(header)} columns"
            )
        # The rows of a configuration stand together in a table, one per method.
        if cells is last:
            continue
        last, here = cells, [cells[place] for place in told]
        row = _row(path, line, here, [header[place] for place in told])
        identity = row.identity()
        if identity not in seen:
            seen.add(identity)
            yield row


def _header(path: Path, names: Sequence[str], overridden: frozenset[str]) -> list[str]:
    """The columns' names; those that are not to be read are empty."""
    names = [name.strip() for name in names]
    for name in names:
        if name and names.count(name) > 1:
            raise InvalidValue("cases", f"{place(path, 1)}: names column {name} twice")
        key = AXIS_COLUMNS[name][0] if name in AXIS_COLUMNS else name
        if key != name and key in names:
            raise InvalidValue("cases", f"{place(path, 1)}: has both {key} and {name}; keep one of them")
    if not set(names) & READERS.keys():
        raise InvalidValue(
            "cases",
            f"{place(path, 1)}: names no column of a case, such as {', '.join(list(READERS)[:4])}{_meant(names)}",
        )
    for name in names:
        if name and name not in READERS and not is_result(name) and name != LABELS:
            _check_label(path, name)
    return ["" if setting_of(name) in overridden or is_result(name) else name for name in names]


def _check_label(path: Path, name: str) -> None:
    """Raises InvalidValue for a column that is a label only because it is misspelt."""
    alike = difflib.get_close_matches(name.lower(), READERS, n=3, cutoff=0.8)
    close = [known for known in alike if known[0] == name[0].lower()]
    if close:
        raise InvalidValue(
            "cases",
            f"{place(path, 1)}: no setting is called {name}; did you mean {close[0]}? (A label needs another name.)",
        )


def _meant(names: Sequence[str]) -> str:
    """What a header without a known name may have been meant to be, or nothing."""
    for separator in (";", "\t", "|"):
        if len(names) == 1 and separator in names[0]:
            return f" (separated by {separator!r}? use commas)"
    return next(filter(None, (did_you_mean(name.lower(), READERS) for name in names if name)), "")


def _row(path: Path, line: int, cells: Sequence[str], header: Sequence[str]) -> Row:
    settings: dict[str, Any] = {}
    per_axis: dict[tuple[str, str], int] = {}
    labels: dict[str, str] = {}
    for name, cell in zip(header, map(str.strip, cells), strict=True):
        if not name or not cell:
            continue
        if name == LABELS:
            labels.update(_labels(path, line, cell))
        elif name not in READERS:
            labels[name] = cell
        elif name in AXIS_COLUMNS:
            per_axis[AXIS_COLUMNS[name]] = _cell(path, line, name, cell)
        else:
            settings[name] = _cell(path, line, name, cell)
    return Row(line, settings, per_axis, labels)


def _cell(path: Path, line: int, column: str, cell: str) -> Any:
    kind = READERS[column][1]
    try:
        return value_of(column, cell)
    except (ValueError, OverflowError):
        raise InvalidValue("cases", f"{place(path, line, column)}: {cell!r} is not {kind}") from None


def _labels(path: Path, line: int, cell: str) -> dict[str, str]:
    try:
        return {str(key): str(value) for key, value in json.loads(cell).items()}
    except (ValueError, AttributeError):
        raise InvalidValue("cases", f"{place(path, line, LABELS)}: {cell!r} is not a JSON object") from None


def _csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells), the header first; empty lines and lines that begin with # are left out."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        for cells in reader:
            if any(cells) and not cells[0].startswith("#"):
                # results.csv has an apostrophe before what a spreadsheet would take for a formula.
                yield reader.line_num, [as_written(cell) if cell.startswith("'") else cell for cell in cells]


def _parquet(path: Path) -> Iterator[tuple[int, list[str]]]:
    """As _csv; the header counts as line 1, so that the first row is line 2 as in the same table's .csv.

    Columns that say how a row came out are left empty, unread.
    """
    try:
        with opened(path) as file:
            names = file.schema_arrow.names
            yield 1, list(names)
            read = [name for name in names if not is_result(name)]
            line, before, cells = 1, None, []
            for batch in file.iter_batches(BATCH, columns=read):
                columns = {name: batch.column(name).to_pylist() for name in read}
                unread = [None] * len(batch)
                for row in zip(*(columns.get(name, unread) for name in names), strict=True):
                    line += 1
                    if row != before:
                        before, cells = row, ["" if value is None else str(value) for value in row]
                    yield line, cells
    except Exception as error:  # a damaged file makes its readers raise anything
        raise ValueError(str(error) or type(error).__name__) from error
