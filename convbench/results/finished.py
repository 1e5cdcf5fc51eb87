"""Finished runs as Rows: one or more tables, Parquet or CSV, put together one column at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..facts.record import COLUMNS
from ..facts.values import InvalidValue
from .rows import ARROW, Rows
from .table import NEEDED, none_found, not_a_table, read, table_files, typed, unreadable

Column = Callable[[str], Any]
"""A column of one table as an Arrow array, or None where the table has none."""


def read_run(path: Path) -> Rows:
    """The rows of a run: those of its table, or of its shards' one after the other. Raises InvalidValue.

    Takes what `table.load` takes, with the same types, and holds no more than one column of it at a time.
    """
    files = table_files(path)
    if not files:
        raise none_found(path)
    return together([_csv(file) if file.suffix == ".csv" else _parquet(file) for file in files])


def together(runs: Sequence[Rows]) -> Rows:
    """The rows of several runs, one after the other."""
    if len(runs) == 1:
        return runs[0]

    def load(name: str) -> Any:
        columns = [run.column(name) for run in runs]
        if all(column is None for column in columns):
            return None
        kind = next(column.type for column in columns if column is not None)
        parts = [
            pa.nulls(run.count, kind) if column is None else column.cast(kind)
            for run, column in zip(runs, columns, strict=True)
        ]
        return pa.concat_arrays(parts)

    return Rows(sum(run.count for run in runs), load)


def _parquet(file: Path) -> Rows:
    try:
        rows = Rows.read(file)
        names = pq.read_schema(file).names
    except InvalidValue:
        raise
    except Exception as error:  # a damaged file makes its readers raise anything
        raise unreadable(file, error) from error
    if missing := [name for name in NEEDED if name not in names]:
        raise not_a_table(file, missing[0])

    def column(name: str) -> Any:
        try:
            return rows.column(name)
        except Exception as error:
            raise unreadable(file, error) from error

    return Rows(rows.count, _checked(column))


def _csv(file: Path) -> Rows:
    table = typed(read(file))
    columns = {str(name): _array(str(name), table[name]) for name in table if table[name].notna().any()}
    return Rows(len(table), columns.get)


def _array(name: str, column: Any) -> Any:
    found = pa.array(column, ARROW[COLUMNS[name].type] if name in COLUMNS else None, from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _checked(load: Column) -> Column:
    """`load` with columns in the types of `record.COLUMNS`; raises InvalidValue for what is not of its type."""

    def column(name: str) -> Any:
        found = load(name)
        if found is None or name not in COLUMNS:
            return found
        if pa.types.is_dictionary(found.type):
            found = found.dictionary_decode()
        try:
            return found.cast(ARROW[COLUMNS[name].type])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InvalidValue(
                "DIR",
                f"column {name} holds something that is not of type {COLUMNS[name].type.__name__} ({error}); "
                "run the sweep again",
            ) from error

    return column
