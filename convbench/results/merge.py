"""The tables of a folder, made from its part files in bounded memory and moved into place whole."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from array import array
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..facts.configuration_key import ConfigurationKey
from ..facts.record import COLUMNS, SAMPLE_COLUMNS
from .arrow import for_people, parse, schema_of
from .earlier import Earlier, Mark, mark_of
from .files import UNFINISHED, replacing
from .folder import refused
from .lines import decode, decode_head
from .origin import carried_rows, generation_of, lost_generation, merged_from, write_origin
from .parts import SAMPLES, part_files, reading

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.int64]

BLOCK = 1024
"""Rows held at once: some 3 MB of text and columns."""
ROW_GROUP = 8
"""Blocks whose columns are stored together."""
MOST_OPEN = 64


def merge(out: Path) -> int:
    """Writes `out`/results.parquet, results.csv, environment.json and, where samples were kept, samples.parquet.

    Each is written beside its place and then moved there, so that a reader sees the old table or the new
    one. Rows of the old table whose part files have gone or were damaged since are carried along. Returns how many
    rows the part files hold.
    Raises InvalidValue where they cannot be written.
    """
    try:
        for stale in out.glob(f".*{UNFINISHED}"):
            stale.unlink(missing_ok=True)
        lines = _Lines(part_files(out))
        carried = _Carried.of(out, lines)
        _write_results(out, lines, carried)
        sizes = {path.name: size for path, size in zip(lines.files, lines.sizes, strict=True)}
        sizes |= _write_samples(out)
        _write_environments(out)
        write_origin(out, sizes, lines.unreadable, len(carried.places))
        return len(lines.order)
    except OSError as error:
        raise refused(out, error) from error


class _Lines:
    """Where the rows of the table are: file, offset and length of each, in the table's order. 60 bytes a row.

    `doubtful` is the highest generation of a file with a damaged line, which may have replaced a row before it.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        import numpy as np

        self.files = files
        self.sizes: list[int] = []
        self.unreadable = 0
        self.doubtful = -1
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
        with reading(path) as file:
            for raw in file:
                line = decode_head(raw)
                if line:
                    unit = names.setdefault(line.unit, len(names))
                    method = names.setdefault(line.method, len(names))
                    found.extend((line.position, unit, method, number, offset, len(raw)))
                else:
                    self.unreadable += 1
                    if raw.endswith(b"\n"):
                        self.doubtful = max(self.doubtful, generation_of(path))
                offset += len(raw)
        self.sizes.append(offset)

    def named(self, name: str) -> int:
        """The number of a unit or method in `order`; −1 for one that has no row."""
        return self._names.get(name, -1)

    def give_way(self, marks: Mapping[tuple[int, int], Mark], doubtful: int, known: Mapping[str, int]) -> None:
        """Leaves out rows of which the table that is there, by its `marks`, has another one, if they stood in the first
        `known` bytes of a file of a generation up to `doubtful`: what replaced them may be lost."""
        import numpy as np

        with _Files(self.files) as files:
            stay = [
                generation_of(self.files[file]) > doubtful
                or offset >= known.get(self.files[file].name, 0)
                or (unit, method) not in marks
                or mark_of(decode(files.read(file, offset, length)) or {}) == marks[unit, method]
                for _, unit, method, file, offset, length in self.order.tolist()
            ]
        self.order = self.order[np.array(stay, bool)]

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


@dataclass(frozen=True, slots=True)
class _Carried:
    """Rows of the table that is there which no part file replaces: their places in it."""

    table: Earlier | None = None
    places: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, out: Path, lines: _Lines) -> _Carried:
        """None where the part files are as they were when the table was made; lines that it knew already, and that
        something lost may have replaced, give way to its rows."""
        known = merged_from(out)
        doubtful = max(lines.doubtful, lost_generation(out))
        if known and doubtful < 0 and not carried_rows(out):
            return cls()
        table = Earlier.read(out / "results.parquet")
        if table is None:
            return cls()
        keys = [(lines.named(unit), lines.named(method)) for unit, method in table.keys]
        lines.give_way(dict(zip(keys, table.marks, strict=True)), doubtful, known)
        replaced = {(unit, method) for _, unit, method, *_ in lines.order.tolist()}
        return cls(table, [place for place, key in enumerate(keys) if key not in replaced])

    def blocks(self, schema: pa.Schema) -> Iterator[pa.Table]:
        for start in range(0, len(self.places), BLOCK):
            assert self.table is not None
            yield self.table.rows(self.places[start : start + BLOCK], schema)


def _write_results(out: Path, lines: _Lines, carried: _Carried) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    schema = schema_of(COLUMNS.values())
    with (
        replacing(out / "results.parquet") as table,
        replacing(out / "results.csv") as text,
        pyarrow.parquet.ParquetWriter(table, schema, write_page_checksum=True) as parquet,
        pyarrow.csv.CSVWriter(text, schema) as csv,
    ):
        blocks = itertools.chain((parse(block, schema) for block in lines.blocks()), carried.blocks(schema))
        while group := list(itertools.islice(blocks, ROW_GROUP)):
            for rows in group:
                csv.write_table(for_people(rows))
            parquet.write_table(pa.concat_tables(group))


def _write_samples(out: Path) -> dict[str, int]:
    """samples.parquet, a row per sample: of each configuration those that were taken last, and those of the table that
    is there which no part file has. Returns the sizes of the files that they were read from."""
    import pyarrow.parquet

    latest: dict[str, tuple[Path, int, int]] = {}
    sizes: dict[str, int] = {}
    for path in part_files(out, SAMPLES):
        offset = 0
        with reading(path) as file:
            for raw in file:
                if (values := decode(raw)) and not values.get("passing"):
                    latest[values["unit"]] = (path, offset, len(raw))
                offset += len(raw)
        sizes[path.name] = offset
    if not latest:
        return sizes
    schema = schema_of(SAMPLE_COLUMNS)
    left = _samples_left(out, latest, schema)
    with (
        replacing(out / "samples.parquet") as table,
        pyarrow.parquet.ParquetWriter(table, schema, write_page_checksum=True) as parquet,
    ):
        for path, offset, length in latest.values():
            with reading(path) as file:
                file.seek(offset)
                parquet.write_table(_sample_rows(file.read(length), schema))
        if left is not None:
            parquet.write_table(left)
    return sizes


def _samples_left(out: Path, latest: Container[str], schema: pa.Schema) -> pa.Table | None:
    """Samples of the table that is there whose part file has gone, and that were not taken again."""
    gone = [n for n in merged_from(out) if n.endswith(SAMPLES) and not (out / "parts" / n).is_file()]
    table = Earlier.read(out / "samples.parquet") if gone else None
    if table is None:
        return None
    return table.rows([place for place, (unit, _) in enumerate(table.keys) if unit not in latest], schema)


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
