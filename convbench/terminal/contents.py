"""What the final table is about: its lines, and the columns that name a configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from ..facts.configuration_key import ConfigurationKey
from ..facts.record import Record
from ..facts.settings import SETTINGS
from ..results.naming import (
    CASE_COLUMNS,
    CASE_SETTINGS,
    LABEL_WIDTH,
    LABELS_UNSAID,
    case_name,
    labels_of,
    text_of,
    told_apart,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One configuration: its rows by method."""

    rows: dict[str, Record]

    @property
    def any_row(self) -> Record:
        return next(iter(self.rows.values()))


@dataclass(frozen=True, slots=True)
class Content:
    """What the table shows. `settings` are those that vary; `accuracy` is the one verdict of all rows, if it is one.

    `in_training`: some rows have the figures of a training step in the places of a call's (facts/timed_as.led). `wall`:
    some have the wall time of their calls beside the device's.
    """

    lines: Sequence[Line]
    methods: Sequence[str]
    baseline: str | None
    settings: Sequence[str]
    timed: bool
    accuracy: str | None = None
    labels: Sequence[str] = field(default_factory=tuple)
    in_training: bool = False
    wall: bool = False


Setting = tuple[str, Callable[[Record], str]]
"""Head of a column and what it shows of a row."""


def label_names(lines: Sequence[Line]) -> list[str]:
    """Labels worth a column: short, not the same everywhere, and part of a configuration's name."""
    values: dict[str, set[str]] = {}
    for line in lines:
        for name, value in labels_of(line.any_row).items():
            values.setdefault(name, set()).add(value)
    named = {n: seen for n, seen in values.items() if n not in LABELS_UNSAID}
    return [n for n, seen in named.items() if len(seen) > 1 and max(map(len, seen)) <= LABEL_WIDTH]


def setting_columns(content: Content) -> list[Setting]:
    """The columns that name a configuration: labels, then what varies; many case settings become one column.

    Lines that would look the same (other methods or another measurement, long labels) get one more column.
    """
    out: list[Setting] = [(name, _label(name)) for name in content.labels]
    case = [s for s in content.settings if s in CASE_SETTINGS]
    if len(case) > CASE_COLUMNS:
        out.append(("case", lambda row: case_name(row, case)))
    else:
        out.extend((SETTINGS[s].head or s, _setting(s)) for s in case)
    out.extend((SETTINGS[s].head or s, _setting(s)) for s in content.settings if s not in CASE_SETTINGS)
    rows = {ConfigurationKey.of(line.any_row): line.any_row for line in content.lines}
    tails = told_apart({key: tuple(show(row) for _, show in out) for key, row in rows.items()}, rows)
    if any(tails.values()):
        out.append(("differs in", lambda row: tails[ConfigurationKey.of(row)]))
    return out


def _label(name: str) -> Callable[[Record], str]:
    return lambda row: labels_of(row).get(name, "")


def _setting(name: str) -> Callable[[Record], str]:
    return lambda row: text_of(name, row)


def headings(content: Content) -> list[Text]:
    """What names each configuration."""
    settings = setting_columns(content)
    named = [[f"{head} {value}" for head, show in settings if (value := show(line.any_row))] for line in content.lines]
    return [Text(" · ".join(words), style="heading") for words in named]


def entries(line: Line, content: Content) -> list[tuple[str, Record]]:
    """The methods of a line and their rows, its baseline first; one entry where one reason stopped all of them."""
    own = line.any_row.get("baseline")
    methods = sorted((m for m in content.methods if m in line.rows), key=lambda m: m != own)
    if len(methods) > 1 and len({(row.get("status"), row.get("reason")) for row in line.rows.values()}) == 1:
        if line.any_row.get("status") != "ok":
            return [(f"all {len(methods)}", line.any_row)]
    return [(method, line.rows[method]) for method in methods]
