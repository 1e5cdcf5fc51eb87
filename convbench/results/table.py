"""The finished table as a tidy DataFrame with right types, and its rows as plain records."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..facts.plain import NEUTRALISED
from ..facts.record import COLUMNS, Record
from ..facts.values import InvalidValue
from . import run_file
from .column_types import COLUMN_TYPES
from .naming import labels_of
from .schema import opened
from .unmerged import read_from

if TYPE_CHECKING:
    import pandas as pd

STAMPED = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+|-\d+)?")
"""What a run's folder is called where no other name was given."""

FILES = ("results.parquet", "results.csv")
PIECE = 8192
"""Rows that are held at a time where a table need not be held as a whole: some 50 MB."""

NEEDED = ("config_id", "method", "status")
"""Columns without which a file is no table of convbench."""


def load(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of a run: one row per configuration × method, every column of `record.COLUMNS` in its order.

    `path` is the folder that a sweep wrote (its `out=`) or is writing, a results.parquet or results.csv, or a folder
    whose subfolders are the shards of one run, which are put together. Integers are Int64, numbers Float64,
    flags boolean, texts string; unknown is <NA>. Columns that an older table lacks are all <NA>; columns
    that this version does not know stay, at the end. The labels of a cases file (`labels`, a JSON object) are columns
    as well, after all others: `layer`, or `label.dtype` where a column has the name. Raises InvalidValue, a ValueError.
    """
    return with_labels(whole(path))


def whole(path: str | os.PathLike[str]) -> pd.DataFrame:
    """As `load`, with the columns of the file alone."""
    import pandas as pd

    path = Path(path)
    tables = [typed(read(file)) for file in table_files(path)]
    if not tables:
        raise none_found(path)
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


def with_labels(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column for every key of the JSON objects in `labels`; unknown is <NA>."""
    import pandas as pd

    parsed = {text: labels_of({"labels": text}) for text in table["labels"].dropna().unique()}
    names = dict.fromkeys(key for labels in parsed.values() for key in labels)
    columns = {
        f"label.{key}" if key in table else key: table["labels"]
        .map({text: labels.get(key) for text, labels in parsed.items()})
        .astype("string")
        for key in names
    }
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1) if columns else table


def none_found(path: Path) -> InvalidValue:
    fault = "holds no results.parquet" if path.exists() else "does not exist"
    return InvalidValue("DIR", f"{path} {fault}; give the folder that a sweep wrote (its out=)")


def unreadable(file: Path, error: Exception) -> InvalidValue:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InvalidValue("DIR", f"{file} cannot be read as a table ({reason}); run the sweep again")


def not_a_table(file: Path, missing: str) -> InvalidValue:
    return InvalidValue("DIR", f"{file} is not a table of convbench: it has no column {missing}")


def pieces(path: Path) -> Iterator[pd.DataFrame]:
    """The table that `load` reads, PIECE rows at a time, in the memory of one piece. Raises InvalidValue as `load`."""
    files = table_files(path)
    if not files:
        yield whole(path)
    further = dict.fromkeys(name for file in files for name in _columns(file) if name not in COLUMNS)
    for file in files:
        for piece in _read(file, PIECE):
            yield typed(piece).reindex(columns=[*COLUMNS, *further])


def _columns(file: Path) -> list[str]:
    return list(next(_read(file, 1)).columns)


def table_files(path: Path) -> list[Path]:
    """The table at or in `path`, or those of its subfolders (the shards of one run); empty where there is none.

    Of a sweep that is running or was killed it is one made from its part files, in a folder of its own.
    """
    if not path.is_dir():
        return [path] if path.is_file() else []
    here = _table_in(path)
    if here:
        return [here]
    # A link beside the folders (`latest`) names one of them once more.
    folders = [f for f in sorted(path.iterdir()) if f.is_dir() and not f.is_symlink() and _table_in(f)]
    if len(folders) > 1 and (whole := [f for f in folders if _is_whole(f)]):
        raise InvalidValue(
            "DIR",
            f"{path} holds {len(folders)} runs, and {whole[0].name} is a whole one: they are not the shards of one "
            f"sweep; give the folder of one of them, such as {path / 'latest'} for the last, or several to `report`",
        )
    return [file for folder in folders if (file := _table_in(folder))]


def _is_whole(folder: Path) -> bool:
    """Whether a folder holds a run of its own: its run.json names no shard or, without one, its name is a time."""
    share = run_file.is_share(folder)
    return bool(STAMPED.fullmatch(folder.name)) if share is None else not share


def _table_in(folder: Path) -> Path | None:
    """The table of a folder, or one made from its part files where a sweep has not ended."""
    place = read_from(folder)
    return next((place / name for name in FILES if (place / name).is_file()), None)


def read(file: Path) -> pd.DataFrame:
    """The rows of one results.parquet or results.csv; raises InvalidValue for a file that is no such table."""
    (table,) = _read(file, None)
    return table


def _read(file: Path, rows: int | None) -> Iterator[pd.DataFrame]:
    """The rows of one file, so many at a time or all at once; one empty table where there are none."""
    try:
        for table in _of_csv(file, rows) if file.suffix == ".csv" else _of_parquet(file, rows):
            if missing := [name for name in NEEDED if name not in table]:
                raise not_a_table(file, missing[0])
            yield table
    except InvalidValue:
        raise
    except Exception as error:  # a damaged file makes its readers raise anything
        raise unreadable(file, error) from error


def _of_parquet(file: Path, rows: int | None) -> Iterator[pd.DataFrame]:
    import pyarrow as pa

    with opened(file) as parquet:
        if rows is None:
            yield parquet.read().to_pandas(types_mapper=_nullable)
            return
        empty = parquet.schema_arrow.empty_table()
        batches = (pa.Table.from_batches([batch]) for batch in parquet.iter_batches(rows))
        for table in batches if parquet.metadata.num_rows else [empty]:
            yield table.to_pandas(types_mapper=_nullable)


def _nullable(kind: Any) -> Any:
    """The type by which pandas can hold a column with unknown values; None where Arrow's own way is as good."""
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_integer(kind) and pa.types.is_signed_integer(kind):
        return pd.Int64Dtype()
    if pa.types.is_floating(kind):
        return pd.Float64Dtype()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pd.StringDtype()
    return pd.BooleanDtype() if pa.types.is_boolean(kind) else None


def _of_csv(file: Path, rows: int | None) -> Iterator[pd.DataFrame]:
    import pandas as pd

    read = pd.read_csv(file, dtype="string", keep_default_na=False, na_values=[""], chunksize=rows or sys.maxsize)
    with read:
        for table in read:
            for name in table.columns:
                table[name] = table[name].str.replace(NEUTRALISED, r"\1", regex=True)
            yield table


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the columns of `record.COLUMNS` first, in their order and types; raises InvalidValue."""
    import pandas as pd

    columns = {}
    for name, column in COLUMNS.items():
        dtype = COLUMN_TYPES[column.type].pandas
        try:
            columns[name] = _column(table, name, dtype)
        except (TypeError, ValueError) as error:
            raise InvalidValue(
                "DIR",
                f"column {name} holds something that is not of type {column.type.__name__} ({error}); "
                "run the sweep again",
            ) from error
    further = {name: table[name] for name in table.columns if name not in COLUMNS}
    return pd.DataFrame({**columns, **further}, index=table.index)


def _column(table: pd.DataFrame, name: str, dtype: Any) -> pd.Series[Any]:
    import pandas as pd

    if name not in table:
        table = pd.DataFrame({name: pd.array([pd.NA] * len(table), dtype=dtype)}, index=table.index)
    column: Any = table[name]
    text = isinstance(column.dtype, pd.StringDtype)
    if text and dtype == "boolean":
        column = column.str.lower().map({"true": True, "false": False, "1": True, "0": False})
    elif text and dtype in ("Int64", "Float64"):
        column = pd.to_numeric(column)
    out: pd.Series[Any] = column.astype(dtype)
    return out


def framed(rows: Sequence[Record]) -> pd.DataFrame:
    """Rows as `load` gives them."""
    import pandas as pd

    return typed(pd.DataFrame(list(rows)))


def records(table: pd.DataFrame, names: Sequence[str] = tuple(COLUMNS)) -> list[Record]:
    """The rows as dicts of Python's own values: those of `names` that are columns, without the unknown ones."""
    names = [name for name in names if name in table]
    columns = [table[name].astype(object).where(table[name].notna(), None).tolist() for name in names]
    return [
        {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for values in zip(*columns, strict=True)
    ]
