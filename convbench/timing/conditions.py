"""What is observed beside the times, and how several passes or processes say it as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

ALONE = ("alone_s", "alone_low_s", "alone_high_s")

OBSERVED = (
    *("measured_s", "cpus", "call_cpu_s", "minor_faults", "major_faults"),
    *ALONE,
    *("enqueue_s", "wall_s", "latency_s", "launch_bound"),
)
"""Columns of one method that do not follow from its times."""

CONDITIONS = (
    *("cuda_graph_error", "event_s", "launches_wait", "throttle", "clock_mhz", "highest_mhz", "preempted"),
    "control_s",
)
"""Columns that say under which conditions all methods were timed; None where it was not observed."""


def _throttle(values: Sequence[str]) -> str:
    """Every reason that any of the values names; `none` where that is all they say (see nvml.Nvml.seen)."""
    named = sorted({reason for value in values for reason in value.split(", ")} - {"none"})
    return ", ".join(named) or "none"


_TOGETHER: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    **dict.fromkeys(("measured_s", "warmup_s", "sampling_s", "elapsed_s"), math.fsum),
    "preempted": sum,
    **dict.fromkeys(("enqueue_s", "wall_s", "latency_s", "cpus", "call_cpu_s", "minor_faults", "major_faults"), median),
    **dict.fromkeys(("clock_mhz", "highest_mhz", "event_s", "engine_s", "control_s", *ALONE), median),
    "throttle": _throttle,
    "launch_bound": any,
    "cuda_graph": all,
}
"""What disturbed one of them is told of all, and what is a merit only where all had it."""


def together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What passes or processes observed, as one: sums, medians, and of what is in no list the last known value.

    What some of them do not know is left to the others; None of what none of them knows.
    """
    seen: dict[str, list[Any]] = {}
    for part in parts:
        for key, value in part.items():
            seen.setdefault(key, []).extend([] if value is None else [value])
    return {key: _TOGETHER.get(key, _last)(values) if values else None for key, values in seen.items()}


def _last(values: Sequence[Any]) -> Any:
    return values[-1]
