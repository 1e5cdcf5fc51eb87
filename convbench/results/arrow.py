"""Lines of part files as Arrow tables with exactly the table's columns, types, units and meanings."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..facts.plain import FORMULA_CELL
from ..facts.record import Column
from .column_types import COLUMN_TYPES
from .schema import stamp

if TYPE_CHECKING:
    import pyarrow as pa

PARSED = 1 << 18
"""Bytes that one thread parses at a time."""


def parse(block: bytes, schema: pa.Schema) -> pa.Table:
    """The lines as a table with exactly the columns of `schema`."""
    import pyarrow as pa
    import pyarrow.json

    plain = pa.schema([field.remove_metadata() for field in schema])
    if not block:
        return schema.empty_table()
    try:
        options = pyarrow.json.ParseOptions(explicit_schema=plain, unexpected_field_behavior="ignore")
        # No line may be longer than what is parsed at a time.
        longest = max(len(line) for line in block.splitlines())
        read = pyarrow.json.ReadOptions(block_size=max(PARSED, 2 * longest))
        rows = pyarrow.json.read_json(io.BytesIO(block), read, options).select(plain.names)
    except pa.ArrowInvalid:
        # One cell that its column cannot hold must not cost the table: cell by cell then.
        found = [json.loads(line) for line in block.splitlines()]
        columns = [pa.array([_cell(row.get(f.name), f.type) for row in found], f.type) for f in plain]
        rows = pa.Table.from_arrays(columns, schema=plain)
    return rows.cast(schema)


def _cell(value: Any, kind: pa.DataType) -> Any:
    """`value`, or None where the column's type cannot hold it (an integer beyond 64 bits)."""
    import pyarrow as pa

    try:
        pa.scalar(value, kind)
    except (pa.ArrowInvalid, OverflowError, TypeError):
        return None
    return value


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The table's types, with unit and meaning in each field, the schema's version, and what pandas needs to keep
    integers integers."""
    import pyarrow as pa

    columns = list(columns)
    pandas = {
        "index_columns": [],
        "column_indexes": [],
        "columns": [
            {
                "name": c.name,
                "field_name": c.name,
                "pandas_type": COLUMN_TYPES[c.type].logical,
                "numpy_type": COLUMN_TYPES[c.type].pandas,
                "metadata": None,
            }
            for c in columns
        ],
        "pandas_version": "2.2.0",
    }
    fields = [
        pa.field(
            c.name,
            pa.type_for_alias(COLUMN_TYPES[c.type].arrow),
            metadata={"unit": c.unit, "meaning": c.meaning} if c.meaning else None,
        )
        for c in columns
    ]
    return pa.schema(fields, {b"pandas": json.dumps(pandas).encode(), **stamp()})


def for_people(rows: pa.Table) -> pa.Table:
    """The same table for a CSV file: no text in it is a formula for a spreadsheet."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            rows = rows.set_column(place, field, pc.replace_substring_regex(rows.column(place), FORMULA_CELL, r"'\1"))
    return rows
