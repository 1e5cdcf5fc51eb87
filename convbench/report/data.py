"""The rows and environments of one or more runs, and the axes along which their configurations differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..facts.case import COLUMN_PREFIX
from ..facts.key import KEY_COLUMNS
from ..facts.record import COLUMNS
from ..facts.settings import SETTINGS
from ..results.files import environments
from ..results.table import load, table_files
from ..results.wording import (
    CASE_COLUMNS,
    CASE_SETTINGS,
    RUN_SETTINGS,
    case_name,
    labels_of,
    say,
    value_of,
)

AXES = (*CASE_SETTINGS, *RUN_SETTINGS, "baseline", "method")
"""What a sweep can vary, by the names that a person writes."""

NOT_IN_LABELS = ("run", "method", "baseline", "measure")


@dataclass(frozen=True)
class Runs:
    """`table`: the rows of all runs, one after the other, with what `add_axes` adds and the number of each row's
    `configuration`, of which runs that are compared have one each. `environments`: (run's name,
    environment); a run has one for every fingerprint it was measured under. `axes`: names of the columns
    whose values differ between rows. `labels`: columns made from a cases file's further columns.
    """

    names: tuple[str, ...]
    table: pd.DataFrame
    environments: tuple[tuple[str, Mapping[str, Any]], ...]
    axes: tuple[str, ...]
    labels: tuple[str, ...]


def read_runs(paths: Sequence[Path]) -> Runs:
    """The runs at `paths` (folders or tables, as `table.load` takes them); raises InvalidValue."""
    names = run_names(paths)
    tables = [load(path) for path in paths]
    for name, table in zip(names, tables, strict=True):
        table["run"] = pd.Series(name, index=table.index, dtype="string")
    table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    table["configuration"] = table.groupby(["run", *KEY_COLUMNS], sort=False, dropna=False).ngroup()
    labels = add_axes(table)
    environments = [(name, one) for name, path in zip(names, paths, strict=True) for one in read_environments(path)]
    return Runs(names, table, tuple(environments), swept(table, labels), labels)


def run_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The folders' own names where these tell them apart, else the paths as given, numbered where even those agree."""
    for names in ([path.resolve().name for path in paths], [str(path) for path in paths]):
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(f"{path} ({i})" for i, path in enumerate(paths, 1))


def read_environments(path: Path) -> list[Mapping[str, Any]]:
    """What the environment.json beside each of the run's tables says, equal ones once.

    A file that is missing or damaged gives none: the table stands without it.
    """
    found: list[Mapping[str, Any]] = []
    for folder in dict.fromkeys(file.parent for file in table_files(path)):
        found += [one for one in environments(folder).values() if one not in found]
    return found


def add_axes(table: pd.DataFrame) -> tuple[str, ...]:
    """Adds to `table` what a person would call the axes; returns the names of those from a cases file's labels.

    Added are one column for every setting with a value per spatial axis (`kernel`: 9, or "3×5"), `case`
    (the case's short name), one column for every label, and `label`, which tells a configuration from the others.
    """
    for setting in COLUMN_PREFIX:
        table[setting] = numbers_where_possible(per_distinct(table, SETTINGS[setting].columns, value_in(setting)))
    case_columns = [column for setting in CASE_SETTINGS for column in SETTINGS[setting].columns]
    table["case"] = per_distinct(table, case_columns, lambda row: case_name(dict(row)))
    labels = add_labels(table)
    varying = [axis for axis in swept(table, labels) if axis not in NOT_IN_LABELS]
    case_axes = [axis for axis in varying if axis in CASE_SETTINGS]
    if len(case_axes) > CASE_COLUMNS or not varying:
        varying = [*(a for a in varying if a in labels), "case", *(a for a in varying if a in RUN_SETTINGS)]
    table["label"] = per_distinct(table, varying, label_of)
    return labels


def value_in(setting: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda row: value_of(setting, dict(row))


def numbers_where_possible(column: pd.Series[Any]) -> pd.Series[Any]:
    """As Int64 where every value is a whole number."""
    whole = column.dropna().str.fullmatch(r"\d+").all()
    return column.astype("Int64") if whole else column


def per_distinct(
    table: pd.DataFrame, columns: Sequence[str], of: Callable[[Mapping[str, Any]], str | None]
) -> pd.Series[Any]:
    """`of` the known values of `columns` in every row, called once for every distinct combination."""
    known: dict[tuple[Any, ...], str | None] = {}
    out = []
    for key in zip(*(plain(table[column]) for column in columns), strict=True):
        if key not in known:
            known[key] = of({name: v for name, v in zip(columns, key, strict=True) if v is not None})
        out.append(known[key])
    return pd.Series(out, index=table.index, dtype="string")


def plain(column: pd.Series[Any]) -> list[Any]:
    """The column as Python's own values, None where unknown."""
    return column.astype(object).where(column.notna(), None).tolist()


def add_labels(table: pd.DataFrame) -> tuple[str, ...]:
    """A column for every key of the JSON objects in `labels`; `label.` comes before a key that is a column's name."""
    texts = plain(table["labels"])
    parsed = {text: labels_of({"labels": text}) for text in dict.fromkeys(texts)}
    keys = dict.fromkeys(key for labels in parsed.values() for key in labels)
    names = {key: f"label.{key}" if key in table.columns or key in ("label", *COLUMNS) else key for key in keys}
    for key, name in names.items():
        table[name] = pd.Series([parsed[text].get(key) for text in texts], index=table.index, dtype="string")
    return tuple(names.values())


def swept(table: pd.DataFrame, labels: Sequence[str]) -> tuple[str, ...]:
    """The axes with more than one value in `table`."""
    return tuple(axis for axis in ("run", *labels, *AXES) if table[axis].nunique() > 1)


def label_of(row: Mapping[str, Any]) -> str:
    """`kernel 9 · bfloat16 · wrt weight`."""
    return " · ".join(say(axis, value) for axis, value in row.items())
