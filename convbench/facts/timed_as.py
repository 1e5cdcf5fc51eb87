"""What is timed of a method: its call, or the same computation as a training step has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CALL, WALL, BACKWARD = "call", "wall", "backward"
"""`call`: what the method returns, called by itself. `wall`: the same calls by the host's clock, from an idle device
until it has finished them, on devices with a queue. `backward`: the same as the backward of an autograd.Function, by
autograd's engine and, on devices with a queue, by the host's clock; a method that goes through autograd anyhow is timed
as it is."""

DEVICE_TIME, WALL_TIME = "device", "wall"
"""Values of measure.time: which of the two a call's figures and verdict are of."""

MEASURED = (
    *("time_s", "time_low_s", "time_high_s"),
    *("speedup", "speedup_low", "speedup_high", "speedup_mode_low", "speedup_mode_high"),
    *("speed", "converged", "disturbed"),
    *("mean_s", "mean_speedup", "mean_speedup_low", "mean_speedup_high", "mean_differs"),
)
"""Columns of a call that each other way of timing has as well."""

COLUMN_OF = {
    WALL: {
        "time_s": "wall_s",
        "time_low_s": "wall_low_s",
        "time_high_s": "wall_high_s",
        **{name: f"wall_{name}" for name in ("speedup", "speedup_low", "speedup_high", "speed")},
    },
    BACKWARD: {name: f"backward_{name}" for name in MEASURED},
}
"""Way of timing → the columns that hold its figures."""

OF_OTHERS = tuple(column for names in COLUMN_OF.values() for column in names.values())


def of(column: str, timed_as: str) -> str:
    """The column that holds such a figure for this way of timing."""
    return COLUMN_OF[timed_as][column] if timed_as != CALL else column


def led(row: Mapping[str, Any], timed_as: str) -> dict[str, Any]:
    """The row with the figures of this way of timing in the places of a call's, whose speedup stands beside them as
    `call_speedup`; what was not timed so has no figures."""
    if timed_as == CALL:
        return dict(row)
    figures = {name: row.get(column) for name, column in COLUMN_OF[timed_as].items()}
    return {k: v for k, v in {**row, **figures, "call_speedup": row.get("speedup")}.items() if v is not None}
