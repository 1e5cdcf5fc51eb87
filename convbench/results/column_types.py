"""A column's type, which `facts/record.py` says as a Python type, in the words of the libraries that hold tables."""

from __future__ import annotations

from typing import NamedTuple


class ColumnType(NamedTuple):
    """`arrow`: alias for pyarrow's `type_for_alias`; `pandas`: the nullable dtype, so that an integer with gaps stays
    an integer; `logical`: what the metadata of a Parquet file call it that pandas reads."""

    arrow: str
    pandas: str
    logical: str


COLUMN_TYPES: dict[type, ColumnType] = {
    int: ColumnType("int64", "Int64", "int64"),
    float: ColumnType("float64", "Float64", "float64"),
    bool: ColumnType("bool", "boolean", "bool"),
    str: ColumnType("string", "string", "unicode"),
}
