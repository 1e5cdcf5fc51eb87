"""The columns of a list of cases: their names, which of them decide something, and how a cell is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..facts.case import AXES, COLUMN_PREFIX, PER_AXIS, SAME
from ..facts.record import COLUMNS, SETTING
from ..facts.settings import owned

NOT_READ = frozenset({"method", "measure", "config_id", "run_key"})
"""Setting columns of a table that say how its rows came about, not what to compute."""

LABELS = "labels"
"""The table's own column of labels, a JSON object."""


def _integer(cell: str) -> int:
    """`3`, and `3.0` as data frames with gaps write it."""
    number = float(cell)
    if not number.is_integer():
        raise ValueError(cell)
    return int(number)


def _integers(cell: str) -> int | list[int]:
    """`3`, or one integer per axis: `3x5`, `3 5`, `[3,5]`."""
    numbers = [_integer(part) for part in cell.strip("[]").replace("x", " ").replace(",", " ").split()]
    if not numbers:
        raise ValueError(cell)
    return numbers[0] if len(numbers) == 1 else numbers


def _padding(cell: str) -> int | list[int] | str:
    """The same, or the word that torch resolves."""
    return SAME if cell == SAME else _integers(cell)


def _truth(cell: str) -> bool:
    words = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    if cell.lower() not in words:
        raise ValueError(cell)
    return words[cell.lower()]


Reader = tuple[Callable[[str], Any], str]
"""How a cell is read (ValueError if it cannot be) and what it must be."""
_OF_TYPE: dict[type, Reader] = {
    int: (_integer, "a whole number"),
    bool: (_truth, "true or false"),
    str: (str, "a word"),
}

AXIS_COLUMNS = {f"{prefix}_{axis}": (key, axis) for key, prefix in COLUMN_PREFIX.items() for axis in AXES}
"""`kernel_h` → ("kernel", "h")"""

READERS: dict[str, Reader] = {
    **{s.name: _OF_TYPE[s.type] for s in owned("case") if not s.per_axis},
    **{c.name: _OF_TYPE[c.type] for c in SETTING if c.name not in NOT_READ | {LABELS}},
    **dict.fromkeys(PER_AXIS, (_integers, "a whole number, or one per axis as in 3x5")),
    "padding": (_padding, "a whole number, one per axis as in 3x5, or same"),
    **dict.fromkeys(AXIS_COLUMNS, _OF_TYPE[int]),
    "bias": _OF_TYPE[bool],
}
"""The columns that decide something."""


def column_of(key: str, axis: str) -> str:
    return f"{COLUMN_PREFIX[key]}_{axis}"


def setting_of(column: str) -> str:
    return AXIS_COLUMNS[column][0] if column in AXIS_COLUMNS else column


def is_result(column: str) -> bool:
    return column in COLUMNS and column not in READERS and column != LABELS


@lru_cache(4096)
def value_of(column: str, cell: str) -> Any:
    return READERS[column][0](cell)
