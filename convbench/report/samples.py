"""The raw samples that a page holds, for whoever looks at one row closely: its times in the order of measuring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ..facts.configuration_key import KEY_COLUMNS, ConfigurationKey
from ..facts.timed_as import CALL
from ..facts.values import InvalidValue
from ..results.files import readable
from ..results.rows import Rows
from ..results.table import table_files

MOST = 100_000
"""Samples that a page holds, about 1 MB: of a longer run those of its first configurations."""

DIGITS = 4

NAMES = (*KEY_COLUMNS, "method", "process", "round", "position", "time_s")


def samples_of(rows: Rows, paths: Sequence[Path], names: Sequence[str]) -> dict[str, list[float]]:
    """`configuration method` → its times in seconds, in the order in which they were measured; see core.js.

    A run that kept no samples has none here, nor has one whose samples.parquet is damaged: the table stands alone.
    """
    number = _numbers(rows)
    found: dict[str, list[float]] = {}
    count = 0
    for path, run in zip(paths, names, strict=True):
        for file in (table.with_name("samples.parquet") for table in table_files(path)):
            for key, times in _read(file):
                place = number.get((run, *key[:3]))
                count += len(times)
                if place is not None and count <= MOST:
                    found[f"{place} {key[3]}"] = times
    return found


def _numbers(rows: Rows) -> dict[tuple[str | None, ...], int]:
    """(run, the configuration's key) → its number on the page."""
    numbers, first = np.unique(rows.codes("configuration")[0], return_index=True)
    keyed = rows.take(first.tolist(), ("run", *KEY_COLUMNS))
    pairs = zip(numbers.tolist(), keyed, strict=True)
    return {(row.get("run"), *ConfigurationKey.of(row)): place for place, row in pairs}


def _calls(file: Path) -> list[tuple[str, str, str]] | None:
    """What leaves only the samples of calls, where the file has others as well."""
    return [("timed_as", "=", CALL)] if "timed_as" in pq.read_schema(file).names else None


def _read(file: Path) -> list[tuple[tuple[str | None, ...], list[float]]]:
    """((config_id, run_key, labels, method), times) of a samples.parquet; none where there is no such file."""
    if not file.is_file():
        return []
    try:
        with readable(file, ""):
            table = pq.read_table(file, columns=list(NAMES), filters=_calls(file))
            table = table.sort_by([(n, "ascending") for n in NAMES[4:7]])
            rows = [table.column(name).to_pylist() for name in (*NAMES[:4], "time_s")]
    except InvalidValue:
        return []
    out: dict[tuple[str | None, ...], list[float]] = {}
    for *key, time_s in zip(*rows, strict=True):
        out.setdefault(tuple(key), []).append(float(f"{time_s:.{DIGITS}g}"))
    return list(out.items())
