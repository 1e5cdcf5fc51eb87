"""The tables of a folder, made from its part files in bounded memory and moved into place whole."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..facts.key import ConfigurationKey
from ..facts.record import COLUMNS, SAMPLE_COLUMNS, Column
from .column_types import COLUMN_TYPES
from .files import UNFINISHED, replacing
from .store import decode, decode_head, part_files, refused

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.int64]

BLOCK = 1024
"""Rows held at once: some 3 MB of text and columns."""
PARSED = 1 << 18
"""Bytes that one thread parses at a time."""
ROW_GROUP = 8
"""Blocks whose columns are stored together."""
MOST_OPEN = 64


@dataclass(slots=True)
class Merged:
    """What a merge found: rows in the table, and lines that were torn or damaged."""

    rows: int
    unreadable: int


def merge(out: Path) -> Merged:
    """Writes `out`/results.parquet, results.csv, environment.json and, where samples were kept, samples.parquet.

    Each is written beside its place and then moved there, so that a reader sees the old table or the new
    one. Raises InvalidValue where they cannot be written.
    """
    try:
        for stale in out.glob(f".*{UNFINISHED}"):
            stale.unlink(missing_ok=True)
        lines = _Lines(part_files(out))
        _write_results(out, lines)
        _write_samples(out)
        _write_environments(out)
        return Merged(len(lines.order), lines.unreadable)
    except OSError as error:
        raise refused(out, error) from error


class _Lines:
    """Where the rows of the table are: file, offset and length of each, in the table's order. 60 bytes a row."""

    def __init__(self, files: Sequence[Path]) -> None:
        import numpy as np

        self.files = files
        self.unreadable = 0
        self._names: dict[str, int] = {}
        found = array("q")
        for number, path in enumerate(files):
            self._scan(number, path, found)
        table = np.frombuffer(found, np.int64).reshape(-1, 6)
        self.order = table[_latest(*table[:, :3].T)]

    def _scan(self, number: int, path: Path, found: array[int]) -> None:
        """Adds six numbers for each row: position, unit and method; file, offset and length."""
        offset = 0
        names = self._names
        with path.open("rb") as file:
            for raw in file:
                line = decode_head(raw)
                if line:
                    unit = names.setdefault(line.unit, len(names))
                    method = names.setdefault(line.method, len(names))
                    found.extend((line.position, unit, method, number, offset, len(raw)))
                else:
                    self.unreadable += 1
                offset += len(raw)

    def blocks(self) -> Iterator[bytes]:
        """The text of the rows in order, BLOCK lines at a time."""
        import numpy as np

        with _Files(self.files) as files:
            for start in range(0, max(len(self.order), 1), BLOCK):
                file, offset, length = self.order[start : start + BLOCK, 3:].T
                # Lines that follow one another in a file are read together.
                breaks = np.flatnonzero((np.diff(file) != 0) | (np.diff(offset) != length[:-1])) + 1
                runs = np.split(np.arange(len(file)), breaks)
                yield b"".join(files.read(file[r[0]], offset[r[0]], int(length[r].sum())) for r in runs if len(r))


def _latest(position: Numbers, unit: Numbers, method: Numbers) -> Numbers:
    """Of the rows with the same unit and method the one read last, in the order of the sweep and of the arms."""
    import numpy as np

    read = np.arange(len(position))
    if not len(read):
        return read
    grouped = np.lexsort((read, method, unit))
    ends = np.flatnonzero((np.diff(unit[grouped]) != 0) | (np.diff(method[grouped]) != 0))
    first = grouped[np.insert(ends + 1, 0, 0)]
    latest: Numbers = grouped[np.append(ends, len(grouped) - 1)]
    order: Numbers = latest[np.lexsort((first, unit[latest], position[latest]))]
    return order


class _Files:
    """Reads from any of many files with few of them open at a time: a system allows 1,024 and less."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._open: dict[int, int] = {}

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def read(self, number: int, offset: int, length: int) -> bytes:
        if number not in self._open:
            if len(self._open) >= MOST_OPEN:
                self.__exit__()
            self._open[number] = os.open(self._paths[number], os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._open[number], length, offset)


def _write_results(out: Path, lines: _Lines) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    schema = _schema(COLUMNS.values())
    with (
        replacing(out / "results.parquet") as table,
        replacing(out / "results.csv") as text,
        pyarrow.parquet.ParquetWriter(table, schema) as parquet,
        pyarrow.csv.CSVWriter(text, schema) as csv,
    ):
        blocks = (_parse(block, schema) for block in lines.blocks())
        while group := list(itertools.islice(blocks, ROW_GROUP)):
            for rows in group:
                csv.write_table(rows)
            parquet.write_table(pa.concat_tables(group))


def _parse(block: bytes, schema: pa.Schema) -> pa.Table:
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


def _schema(columns: Iterable[Column]) -> pa.Schema:
    """The table's types, with unit and meaning in each field, and what pandas needs to keep integers integers."""
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
    return pa.schema(fields, {"pandas": json.dumps(pandas)})


def _write_samples(out: Path) -> None:
    """samples.parquet, a row per sample: of each configuration those that were taken last."""
    import pyarrow.parquet

    files = part_files(out, ".samples")
    latest: dict[str, tuple[Path, int, int]] = {}
    for path in files:
        offset = 0
        with path.open("rb") as file:
            for raw in file:
                if values := decode(raw):
                    latest[values["unit"]] = (path, offset, len(raw))
                offset += len(raw)
    if not latest:
        return
    schema = _schema(SAMPLE_COLUMNS)
    with replacing(out / "samples.parquet") as table, pyarrow.parquet.ParquetWriter(table, schema) as parquet:
        for path, offset, length in latest.values():
            with path.open("rb") as file:
                file.seek(offset)
                parquet.write_table(_sample_rows(file.read(length), schema))


def _sample_rows(line: bytes, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    from ..timing.samples import Samples

    values = decode(line) or {"samples": []}
    samples = [Samples.from_dict(sample) for sample in values["samples"]]
    key = ConfigurationKey.of(values)
    rows = [row for sample in samples for row in sample.to_rows(key)]
    return pa.Table.from_pylist(rows, schema)


def _write_environments(out: Path) -> None:
    """environment.json: every environment that rows were measured in, by its id."""
    found = {}
    for path in sorted((out / "parts").glob("environment-*.json")):
        with contextlib.suppress(ValueError):
            found[path.stem.removeprefix("environment-")] = json.loads(path.read_bytes())
    with replacing(out / "environment.json") as file:
        file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
