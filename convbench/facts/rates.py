"""Figures that follow from a time: operations and bytes per second, and the share of the machine's ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RATES = ("tflops", "gbps", "ceiling_share")
"""Columns that follow from the time and what else is in the row."""


def rates(
    flops: int, moved: int, time_s: float | None, ceiling_tflops: float | None, ceiling_gbps: float | None
) -> dict[str, Any]:
    """The table's columns flops, bytes, tflops, gbps and the ceilings'.

    `ceiling_share` is the best possible time over the measured one, where the best possible time is the larger
    of flops / ceiling and bytes / ceiling (Williams, Waterman and Patterson, "Roofline", 2009). It can exceed 1
    for an algorithm with fewer operations than the direct one, or for data that stay in a cache.
    """
    row: dict[str, Any] = {
        "flops": flops,
        "bytes": moved,
        "ceiling_tflops": ceiling_tflops,
        "ceiling_gbps": ceiling_gbps,
    }
    if not time_s:
        return row
    row["tflops"] = flops / time_s / 1e12
    row["gbps"] = moved / time_s / 1e9
    if ceiling_tflops and ceiling_gbps:
        least = max(flops / (ceiling_tflops * 1e12), moved / (ceiling_gbps * 1e9))
        row["ceiling_share"] = least / time_s
    return row


def with_rates(row: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """New speed columns for a row that has been timed, and its rates, which change as its time does."""
    ceilings = row.get("ceiling_tflops"), row.get("ceiling_gbps")
    return {**columns, **rates(row["flops"], row["bytes"], columns["time_s"], *ceilings)}
