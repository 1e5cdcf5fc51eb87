"""The rows and environments of one or more runs, and the axes along which their configurations differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..facts.case import COLUMN_PREFIX
from ..facts.configuration_key import KEY_COLUMNS, ConfigurationKey
from ..facts.record import COLUMNS
from ..facts.settings import SETTINGS
from ..results.files import environments
from ..results.finished import read_run, together
from ..results.naming import (
    CASE_COLUMNS,
    CASE_SETTINGS,
    LABELS_UNSAID,
    RUN_SETTINGS,
    case_name,
    labels_of,
    say,
    told_apart,
    value_of,
)
from ..results.origin import damaged_lines
from ..results.rows import Rows
from ..results.run_file import command_of
from ..results.table import table_files
from .samples import samples_of

AXES = (*CASE_SETTINGS, *RUN_SETTINGS, "baseline", "method")
"""What a sweep can vary, by the names that a person writes."""

NOT_IN_LABELS = ("run", "method", "baseline", "measure")


@dataclass(frozen=True)
class Runs:
    """`rows`: those of all runs, one after the other, with what `add_axes` adds and the number of each row's
    `configuration`, of which runs that are compared have one each. `parts`: the runs' own rows. `environments`: (run's
    name, environment); a run has one for every fingerprint it was measured under. `axes`: names of the columns whose
    values differ between rows. `labels`: columns made from a cases file's further columns. `damaged`: lines of part
    files that could not be read. `commands`: (run's name, the command that measured it), where run.json says it.
    `samples`: as samples.py has them.
    """

    names: tuple[str, ...]
    rows: Rows
    parts: tuple[Rows, ...]
    environments: tuple[tuple[str, Mapping[str, Any]], ...]
    axes: tuple[str, ...]
    labels: tuple[str, ...]
    damaged: int
    commands: tuple[tuple[str, str], ...] = ()
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)


def read_runs(paths: Sequence[Path]) -> Runs:
    """The runs at `paths` (folders or tables, as `table.load` takes them); raises InvalidValue."""
    names = run_names(paths)
    parts = tuple(read_run(path) for path in paths)
    rows = together(parts)
    rows.add("run", np.repeat(np.arange(len(parts)), [part.count for part in parts]), names)
    rows.add_numbers("configuration", rows.groups(("run", *KEY_COLUMNS)))
    labels = add_axes(rows)
    tell_apart(rows)
    found = [(name, one) for name, path in zip(names, paths, strict=True) for one in read_environments(path)]
    damaged = sum(damaged_lines(folder) for path in paths for folder in {file.parent for file in table_files(path)})
    said = [
        (name, command_of(file.parent)) for name, path in zip(names, paths, strict=True) for file in table_files(path)
    ]
    commands = tuple((name, command) for name, command in said if command is not None)
    return Runs(
        names, rows, parts, tuple(found), swept(rows, labels), labels, damaged, commands, samples_of(rows, paths, names)
    )


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


def add_axes(rows: Rows) -> tuple[str, ...]:
    """Adds to `rows` what a person would call the axes; returns the names of those from a cases file's labels.

    Added are one column for every setting with a value per spatial axis (`kernel`: 9, or "3×5"), `case`
    (the case's short name), one column for every label, and `label`, which tells a configuration from the others.
    """
    for setting in COLUMN_PREFIX:
        add(rows, setting, SETTINGS[setting].columns, value_in(setting))
        numbers_where_possible(rows, setting)
    case_columns = [column for setting in CASE_SETTINGS for column in SETTINGS[setting].columns]
    add(rows, "case", case_columns, lambda row: case_name(dict(row)))
    labels = add_labels(rows)
    varying = [axis for axis in swept(rows, labels) if axis not in NOT_IN_LABELS]
    case_axes = [axis for axis in varying if axis in CASE_SETTINGS]
    if len(case_axes) > CASE_COLUMNS or not varying:
        varying = [*(a for a in varying if a in labels), "case", *(a for a in varying if a in RUN_SETTINGS)]
    add(rows, "label", varying, label_of)
    return labels


def value_in(setting: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda row: value_of(setting, dict(row))


def numbers_where_possible(rows: Rows, name: str) -> None:
    """As integers where every value is a whole number."""
    codes, values = rows.codes(name)
    if all(value is None or re.fullmatch(r"\d+", value) for value in values):
        rows.add(name, codes, [None if value is None else int(value) for value in values])


def tell_apart(rows: Rows) -> None:
    """Adds to labels that several configurations of a run would share what tells these apart (`measure=quick`, …)."""
    numbers, first = np.unique(rows.codes("configuration")[0], return_index=True)
    shown = list(zip(*(rows.cells(name, first.tolist()) for name in ("run", "label")), strict=True))
    if len(set(shown)) == len(shown):
        return
    known = ("run", "measure", *KEY_COLUMNS)
    configurations = {(run, *ConfigurationKey.of(row)): row for run, row in _of_runs(rows, first.tolist(), known)}
    tails = told_apart(dict(zip(configurations, shown, strict=True)), configurations)
    names = [" · ".join(filter(None, (label, tail))) for (_, label), tail in zip(shown, tails.values(), strict=True)]
    rows.add("label", np.searchsorted(numbers, rows.codes("configuration")[0]), names)


def _of_runs(rows: Rows, indexes: Sequence[int], names: Sequence[str]) -> list[tuple[Any, dict[str, Any]]]:
    return [(row.get("run"), row) for row in rows.take(indexes, names)]


def add(rows: Rows, name: str, columns: Sequence[str], of: Callable[[Mapping[str, Any]], Any]) -> None:
    """A column that holds `of` the known values of `columns`, called once for every distinct combination."""
    group = rows.groups(columns)
    first = np.unique(group, return_index=True)[1]
    made = [of(row) for row in rows.take(first.tolist(), columns)]
    values = list(dict.fromkeys(made))
    place = {value: i for i, value in enumerate(values)}
    rows.add(name, np.array([place[value] for value in made], np.int64)[group], values)


def add_labels(rows: Rows) -> tuple[str, ...]:
    """A column for every key of the JSON objects in `labels`; `label.` comes before a key that is a column's name."""
    parsed = {text: labels_of({"labels": text}) for text in rows.values("labels")}
    keys = dict.fromkeys(key for labels in parsed.values() for key in labels)
    taken = ("run", "configuration", "case", "label", *COLUMN_PREFIX, *COLUMNS)
    names = {key: f"label.{key}" if key in taken else key for key in keys}
    for key, name in names.items():
        add(rows, name, ("labels",), lambda row, key=key: parsed[row["labels"]].get(key) if "labels" in row else None)  # type: ignore[misc]
    return tuple(names.values())


def swept(rows: Rows, labels: Sequence[str]) -> tuple[str, ...]:
    """The axes with more than one value in `rows`."""
    named = [label for label in labels if label not in LABELS_UNSAID]
    return tuple(axis for axis in ("run", *named, *AXES) if len(rows.values(axis)) > 1)


def label_of(row: Mapping[str, Any]) -> str:
    """`kernel 9 · bfloat16 · wrt weight`."""
    return " · ".join(say(axis, value) for axis, value in row.items())
