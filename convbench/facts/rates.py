"""Figures that follow from a time: operations and bytes per second, and the share of the machine's ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .dtypes import DTYPES
from .record import IMPOSSIBLE
from .spec import Spec
from .units import time

RATES = ("tflops", "gbps", "ceiling_share")
"""Columns that follow from the time and what else is in the row."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a call computes and moves at least, and what the machine reached at most, where that is known.

    `flops`: operations of the direct algorithm; `moved`: bytes; the ceilings in TFLOP/s and GB/s; `least_s`: no
    algorithm takes less (limits.least_time). `doubted`: an earlier time was below that.
    """

    flops: int
    moved: int
    ceiling_tflops: float | None = None
    ceiling_gbps: float | None = None
    least_s: float | None = None
    doubted: bool = False

    @classmethod
    def of(cls, spec: Spec, ceilings: Mapping[str, float]) -> Work:
        """Of a configuration; `ceilings` by the names of their columns."""
        moved = spec.case.elements_moved(spec.wrt) * DTYPES[spec.dtype].bytes
        return cls(spec.case.flops(spec.wrt), moved, ceilings.get("ceiling_tflops"), ceilings.get("ceiling_gbps"))

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Work:
        """Of a row that has been timed before."""
        ceilings = row.get("ceiling_tflops"), row.get("ceiling_gbps")
        return cls(row["flops"], row["bytes"], *ceilings, row.get("least_s"), row.get("speed") == IMPOSSIBLE)

    def verdict(self, time_s: float | None) -> dict[str, Any]:
        """`speed` and `reason` of a time that no call can take, whatever it is compared with; else nothing to add."""
        if not time_s or not self.least_s or time_s >= self.least_s:
            return {"reason": None} if self.doubted else {}
        said = (
            f"{time(time_s)} a call is impossible: at the rates that this machine reached, no algorithm takes less "
            f"than {time(self.least_s)}"
        )
        return {"speed": IMPOSSIBLE, "reason": said}

    def rates(self, time_s: float | None) -> dict[str, Any]:
        """The table's columns flops, bytes, tflops, gbps, least_s and the ceilings', for a call that takes `time_s`.

        `ceiling_share` is the best possible time over the measured one, where the best possible time is the larger
        of flops / ceiling and bytes / ceiling (Williams, Waterman and Patterson, "Roofline", 2009). It can exceed 1
        for an algorithm with fewer operations than the direct one, or for data that stay in a cache.
        """
        row: dict[str, Any] = {
            "flops": self.flops,
            "bytes": self.moved,
            "ceiling_tflops": self.ceiling_tflops,
            "ceiling_gbps": self.ceiling_gbps,
        }
        if self.least_s is not None:
            row["least_s"] = self.least_s
        if not time_s:
            return row
        row["tflops"] = self.flops / time_s / 1e12
        row["gbps"] = self.moved / time_s / 1e9
        if self.ceiling_tflops and self.ceiling_gbps:
            least = max(self.flops / (self.ceiling_tflops * 1e12), self.moved / (self.ceiling_gbps * 1e9))
            row["ceiling_share"] = least / time_s
        return row
