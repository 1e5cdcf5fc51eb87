"""The table's columns as arrays, read one at a time, so that 400,000 rows cost megabytes and not gigabytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..facts.configuration_key import KEY_COLUMNS
from ..facts.record import COLUMNS, Record
from .column_types import COLUMN_TYPES
from .schema import opened

Codes = npt.NDArray[np.signedinteger[Any]]
Indexes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ARROW = {kind: pa.type_for_alias(names.arrow) for kind, names in COLUMN_TYPES.items()}


class Rows:
    """Rows of the table by column. `load(name)` gives a column as an Arrow array, or None where there is none."""

    def __init__(self, count: int, load: Callable[[str], Any]) -> None:
        self.count = count
        self._load = load
        self._kept: dict[str, tuple[Codes, list[Any]]] = {}

    @classmethod
    def of(cls, records: Sequence[Record]) -> Rows:
        """Rows from dictionaries; absent keys are unknown values."""

        def load(name: str) -> Any:
            values = [row.get(name) for row in records]
            if all(v is None for v in values):
                return None
            return pa.array(values, ARROW[COLUMNS[name].type] if name in COLUMNS else None)

        return cls(len(records), load)

    @classmethod
    def read(cls, path: Path) -> Rows:
        """Rows of a results.parquet; each column is read when it is asked for and not kept."""
        file = opened(path)
        present = set(file.schema_arrow.names)

        def load(name: str) -> Any:
            if name not in present:
                return None
            return file.read(columns=[name], use_threads=False).column(0).combine_chunks()

        return cls(file.metadata.num_rows, load)

    def column(self, name: str) -> Any:
        """A column as an Arrow array; None where there is none."""
        return self._load(name)

    def add(self, name: str, codes: Codes, values: Sequence[Any]) -> None:
        """A further column: row i holds values[codes[i]]."""
        self._kept[name] = codes.astype(np.int32), list(values)

    def add_numbers(self, name: str, numbers: Codes) -> None:
        """A further column of whole numbers from 0 on."""
        self.add(name, numbers, range(int(numbers.max(initial=-1)) + 1))

    @cached_property
    def configuration(self) -> Codes:
        """For each row the number of its configuration."""
        return self.groups(KEY_COLUMNS).astype(np.int32)

    def codes(self, name: str) -> tuple[Codes, list[Any]]:
        """(codes, values): row i holds values[codes[i]]; an unknown value is None and has a code like any other.

        Columns of few values are kept as two bytes a row, constant ones as nothing.
        """
        if name not in self._kept:
            codes, dictionary = self._encoded(name)
            values = dictionary.to_pylist()
            if len(values) > np.iinfo(np.int16).max:
                return codes, values
            kept = codes.astype(np.int16) if len(values) > 1 else np.broadcast_to(np.int16(0), self.count)
            self._kept[name] = kept, values
        return self._kept[name]

    def _encoded(self, name: str) -> tuple[Codes, Any]:
        """Codes and the distinct values as an Arrow array."""
        column = self._load(name)
        if column is None:
            return np.zeros(self.count, np.int64), pa.nulls(min(1, self.count))
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        encoded = pc.dictionary_encode(column, null_encoding="encode")
        return _plain(encoded.indices, np.int32), encoded.dictionary

    def numbered(self, name: str) -> tuple[Codes, int]:
        """The codes of `codes`, and how many there are; cheaper where nearly every row has its own value."""
        if name in self._kept:
            codes, values = self._kept[name]
            return codes, len(values)
        codes, dictionary = self._encoded(name)
        return codes, len(dictionary)

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A numeric column as float64; unknown values are NaN."""
        if name in self._kept:
            codes, values = self._kept[name]
            return np.array([np.nan if v is None else v for v in values], np.float64)[codes]
        column = self._load(name)
        if column is None:
            return np.full(self.count, np.nan)
        column = pc.cast(column, pa.float64(), safe=False)
        numbers = _plain(column, np.float64).copy()
        if column.null_count:
            numbers[~_valid(column)] = np.nan
        return numbers

    def values(self, name: str) -> list[Any]:
        """The distinct values of a column, unknown ones left out, in order of appearance."""
        return [v for v in self.codes(name)[1] if v is not None]

    def equal(self, name: str, *wanted: Any) -> Mask:
        """Where a column holds one of `wanted`."""
        codes, values = self.codes(name)
        return np.isin(codes, [i for i, v in enumerate(values) if v is not None and v in wanted])

    def known(self, name: str) -> Mask:
        """Where a column holds a value."""
        if name in self._kept:
            codes, values = self._kept[name]
            return np.array([v is not None for v in values], bool)[codes]
        column = self._load(name)
        if column is None:
            return np.zeros(self.count, bool)
        return _valid(column) if column.null_count else np.ones(self.count, bool)

    def agree(self, first: str, second: str) -> Mask:
        """Where two columns hold the same value."""
        codes, values = self.codes(first)
        others, theirs = self.codes(second)
        place = {v: i for i, v in enumerate(values) if v is not None}
        mask: Mask = codes == np.array([place.get(v, -1) for v in theirs], np.int64)[others]
        return mask

    def value(self, name: str, index: int) -> Any:
        """One value."""
        return self.take([index], (name,))[0].get(name)

    def groups(self, names: Sequence[str]) -> Indexes:
        """The same number for rows that agree in all of `names`, counted from 0."""
        key = np.zeros(self.count, np.int64)
        span = 1
        for name in names:
            codes, distinct = self.numbered(name)
            if distinct < 2:
                continue
            if span * distinct >= 2**62:
                key = np.unique(key, return_inverse=True)[1].astype(np.int64)
                span = int(key.max(initial=0)) + 1
            key = key * distinct + codes
            span *= distinct
        return np.unique(key, return_inverse=True)[1].astype(np.int64)

    def take(self, indexes: Sequence[int], names: Sequence[str] = tuple(COLUMNS)) -> list[Record]:
        """Some rows as dictionaries without their unknown values."""
        out: list[Record] = [{} for _ in indexes]
        for name in names:
            for row, value in zip(out, self.cells(name, indexes), strict=True):
                if value is not None:
                    row[name] = value
        return out

    def views(self, names: Sequence[str]) -> list[View]:
        """Every row by some columns, for some 50 bytes a row and 8 more for each column."""
        columns = {name: self._reader(name) for name in names}
        return [View(columns, at) for at in range(self.count)]

    def _reader(self, name: str) -> Callable[[int], Any]:
        """The value of a column in a row; None where unknown."""
        if name in COLUMNS and COLUMNS[name].type is float:
            numbers, known = self.numbers(name), self.known(name)
            return lambda at: float(numbers[at]) if known[at] else None
        codes, values = self.codes(name)
        return lambda at: values[codes[at]]

    def cells(self, name: str, indexes: Sequence[int]) -> list[Any]:
        """A column's values in some rows; None where unknown."""
        if name in self._kept:
            codes, known = self._kept[name]
            return [known[codes[i]] for i in indexes]
        column = self._load(name)
        if column is None:
            return [None] * len(indexes)
        where = pa.py_buffer(np.asarray(indexes, np.int64).tobytes())
        values: list[Any] = column.take(pa.Array.from_buffers(pa.int64(), len(indexes), [None, where])).to_pylist()
        return values


class View(Mapping[str, Any]):
    """One row that is only read: its known values, found in the columns when they are asked for."""

    __slots__ = ("_at", "_columns")

    def __init__(self, columns: Mapping[str, Callable[[int], Any]], at: int) -> None:
        self._columns, self._at = columns, at

    def __getitem__(self, name: str) -> Any:
        value = self._columns[name](self._at)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name, value in self._columns.items() if value(self._at) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _plain(column: Any, kind: Any) -> npt.NDArray[Any]:
    """The values of an Arrow array of fixed width. (Arrow's own to_numpy imports pandas, which costs 40 MB.)"""
    return np.frombuffer(column.buffers()[1], kind)[column.offset : column.offset + len(column)]


def _valid(column: Any) -> Mask:
    """Where an Arrow array that has nulls holds a value."""
    bits = np.unpackbits(np.frombuffer(column.buffers()[0], np.uint8), bitorder="little")
    return bits[column.offset : column.offset + len(column)].astype(bool)


def partners(rows: Rows, column: str, reference: Any, same: Sequence[str]) -> tuple[Indexes, Indexes]:
    """(others, theirs): rows whose `column` is not `reference`, each with the row that differs in `column` only.

    `same` names the columns that two partners share. A row without a partner is left out; of several
    partners the last counts.
    """
    group = rows.groups(same)
    is_reference = rows.equal(column, reference)
    lookup = np.full(int(group.max(initial=-1)) + 1, -1, np.int64)
    known = np.flatnonzero(is_reference)
    lookup[group[known]] = known
    others = np.flatnonzero(~is_reference & rows.known(column))
    theirs = lookup[group[others]]
    found = theirs >= 0
    return others[found], theirs[found]
