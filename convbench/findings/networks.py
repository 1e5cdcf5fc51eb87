"""The networks in a table: which rows are one network's layers under one setting, for network_totals.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ..facts.configuration_key import ConfigurationKey
from ..facts.record import Record
from ..facts.settings import SETTINGS
from ..facts.timed_as import BACKWARD, CALL, OF_OTHERS, led
from ..facts.wrt import OUTPUT, parts_of
from ..results.naming import CASE_SETTINGS, labels_of, value_of
from ..results.rows import Rows
from .network_totals import Line, Total, total_of

READ = (
    *(column for setting in SETTINGS.values() for column in setting.columns),
    *("config_id", "run_key", "labels", "method", "baseline", "status", "accuracy", "started_at"),
    *("time_s", "time_low_s", "time_high_s", "speedup", "speedup_low", "speedup_high", "speed"),
    *OF_OTHERS,
)
"""Columns that totals follow from."""
OBSERVED = tuple(name for name, setting in SETTINGS.items() if setting.observed)


def of(rows: Rows) -> list[Total]:
    """The totals of a table; none where no line says how often it occurs."""
    codes, values = rows.codes("labels")
    counted = {code for code, labels in enumerate(values) if labels and count_of(labels_of({"labels": labels}))}
    if not counted:
        return []
    return totals(rows.take([at for at, code in enumerate(codes.tolist()) if code in counted], READ))


def count_of(labels: Mapping[str, str]) -> int | None:
    """How many layers a line stands for; None where it does not say so."""
    text = labels.get("count", "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def totals(records: Sequence[Record]) -> list[Total]:
    """One for each network and setting, in the table's order; rows whose labels have no `count` are left out."""
    counted = [(row, labels) for row in _as_used(records) if count_of(labels := labels_of(row))]
    found = []
    # The forward pass, where it was measured as well, is no part of the whole backward.
    for (network, _), rows in _split(counted, _network_and_pass).items():
        axes = _axes(rows)
        for values, own in _split(rows, lambda row, labels, axes=axes: _setting(row, axes)).items():
            *setting, (_, baseline) = values
            total = total_of(network, setting, baseline, _lines(own))
            if total is not None:
                found.append(total)
    return found


def _network_and_pass(row: Record, labels: Mapping[str, str]) -> tuple[str, bool]:
    return labels.get("network") or labels.get("suite", ""), row.get("wrt") == OUTPUT


Labelled = tuple[Record, Mapping[str, str]]


def _split(rows: Sequence[Labelled], key: Any) -> dict[Any, list[Labelled]]:
    parts: dict[Any, list[Labelled]] = defaultdict(list)
    for row, labels in rows:
        parts[key(row, labels)].append((row, labels))
    return parts


def _as_used(records: Sequence[Record]) -> list[Record]:
    """Rows with the figures that answer whether training would be faster, as far as their configuration has them; and
    with the conditions that were observed in it, of which a row that was not timed says nothing."""
    used = {ConfigurationKey.of(row) for row in records if row.get("backward_time_s") is not None}
    conditions: dict[ConfigurationKey, Record] = {}
    for row in records:
        conditions.setdefault(ConfigurationKey.of(row), {}).update(
            {name: row[name] for name in OBSERVED if name in row}
        )
    keyed = [(ConfigurationKey.of(row), row) for row in records]
    return [led({**conditions[key], **row}, BACKWARD if key in used else CALL) for key, row in keyed]


def _axes(rows: Sequence[Labelled]) -> list[str]:
    """The settings that were swept: most lines of the list have several values of them.

    One that differs between the lines alone is part of the network, as the dtype of a layer under autocast is, or the
    size of one that is called twice. So are gradients, unless one of them is in two of its values, as it would count
    twice. Without a layer's name, lines are told apart by their cases.
    """
    named = all("layer" in labels for _, labels in rows)
    free = [name for name in SETTINGS if name != "wrt"]
    line = ["labels"] if named else ["labels", *CASE_SETTINGS]
    groups = _split(rows, lambda row, labels: (*(_value(name, row) for name in line), row.get("wrt")))

    def several(name: str) -> int:
        return sum(len({value_of(name, row) for row, _ in group}) > 1 for group in groups.values())

    swept = [name for name in free if 2 * several(name) > len(groups)]
    wrts: dict[Any, set[str]] = defaultdict(set)
    for row, _ in rows:
        wrts[tuple(_value(name, row) for name in ("labels", *free))].add(row.get("wrt", ""))
    twice = any(len(parts := [p for wrt in each for p in parts_of(wrt)]) > len(set(parts)) for each in wrts.values())
    return [*swept, "wrt"] if twice else swept


def _value(name: str, row: Record) -> Any:
    return value_of(name, row) if name in SETTINGS else row.get(name)


def _setting(row: Record, axes: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    return *((name, value_of(name, row)) for name in axes), ("baseline", row.get("baseline", ""))


def _lines(rows: Sequence[Labelled]) -> list[Line]:
    """Of rows of one configuration and method the one that began last."""
    found: dict[Any, dict[str, Labelled]] = defaultdict(dict)
    for row, labels in rows:
        methods = found[row.get("config_id"), row.get("labels")]
        before = methods.get(row["method"])
        if before is None or str(before[0].get("started_at", "")) <= str(row.get("started_at", "")):
            methods[row["method"]] = row, labels
    return [_line(methods) for methods in found.values()]


def _line(methods: Mapping[str, Labelled]) -> Line:
    row, labels = next(iter(methods.values()))
    count = count_of(labels)
    assert count is not None
    name = labels.get("layer") or labels.get("name") or str(row.get("config_id", ""))
    return Line(name, str(row.get("wrt", "")), count, {method: one for method, (one, _) in methods.items()})
