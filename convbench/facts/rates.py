"""Figures that follow from a time: operations and bytes per second, and the share of the machine's ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .dtypes import DTYPES
from .spec import Spec

RATES = ("tflops", "gbps", "ceiling_share")
"""Columns that follow from the time and what else is in the row."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a call computes and moves at least, and what the machine reached at most, where that is known.

    `flops`: operations of the direct algorithm; `moved`: bytes; the ceilings in TFLOP/s and GB/s.
    """

    flops: int
    moved: int
    ceiling_tflops: float | None = None
    ceiling_gbps: float | None = None

    @classmethod
    def of(cls, spec: Spec, ceilings: Mapping[str, float]) -> Work:
        """Of a configuration; `ceilings` by the names of their columns."""
        moved = spec.case.elements_moved(spec.wrt) * DTYPES[spec.dtype].bytes
        return cls(spec.case.flops(spec.wrt), moved, ceilings.get("ceiling_tflops"), ceilings.get("ceiling_gbps"))

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Work:
        """Of a row that has been timed before."""
        return cls(row["flops"], row["bytes"], row.get("ceiling_tflops"), row.get("ceiling_gbps"))

    def rates(self, time_s: float | None) -> dict[str, Any]:
        """The table's columns flops, bytes, tflops, gbps and the ceilings', for a call that takes `time_s`.

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
        if not time_s:
            return row
        row["tflops"] = self.flops / time_s / 1e12
        row["gbps"] = self.moved / time_s / 1e9
        if self.ceiling_tflops and self.ceiling_gbps:
            least = max(self.flops / (self.ceiling_tflops * 1e12), self.moved / (self.ceiling_gbps * 1e9))
            row["ceiling_share"] = least / time_s
        return row
