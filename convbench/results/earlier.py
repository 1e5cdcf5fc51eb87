"""The table that is there already, for the rows that the part files have lost since it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..facts.configuration_key import ConfigurationKey
from ..facts.values import InvalidValue
from .files import readable
from .schema import opened

if TYPE_CHECKING:
    import pyarrow as pa

RowKey = tuple[str, str]
"""Unit and method: what has one row."""


Mark = tuple[Any, ...]
TOLD_BY = ("started_at", "status", "reason", "accuracy", "time_s", "elapsed_s")
"""Columns that tell two measurements of a configuration from one another."""


def mark_of(row: Mapping[str, Any]) -> Mark:
    return tuple(row.get(name) for name in TOLD_BY)


class Earlier:
    """A table on the disk, held in memory: it is only read where part files are damaged or gone."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        rows = table.select(("run_key", "labels", "method")).to_pylist()
        self.keys: list[RowKey] = [(ConfigurationKey.of(row).unit, row["method"] or "") for row in rows]
        told = [name for name in TOLD_BY if name in table.column_names]
        self.marks = [mark_of(row) for row in table.select(told).to_pylist()]

    @classmethod
    def read(cls, path: Path) -> Earlier | None:
        """None where there is no table, or none that can be read."""
        if not path.is_file():
            return None
        try:
            with readable(path, ""):
                return cls(opened(path).read())
        except InvalidValue:
            return None

    def rows(self, places: Sequence[int], schema: pa.Schema) -> pa.Table:
        """Some rows with the columns of today; a column that the table does not have in its type is unknown."""
        import pyarrow as pa

        chosen = self._table.take(pa.array(places, pa.int64()))
        return pa.Table.from_arrays([_column(chosen, field) for field in schema], schema=schema)


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    import pyarrow as pa

    try:
        return table.column(field.name).cast(field.type)
    except (KeyError, pa.ArrowException):
        return pa.nulls(len(table), field.type)
