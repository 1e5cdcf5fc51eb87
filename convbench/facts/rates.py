"""Figures that follow from a time: operations and bytes per second, and the share of the machine's ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .dtypes import DTYPES
from .record import IMPOSSIBLE
from .spec import Spec
from .units import time

SPARE_CPUS = 0.25
"""Cores beyond `threads` that nobody minds: what reads a clock, and what ends when a call does."""

RATES = ("tflops", "gbps", "ceiling_share")
"""Columns that follow from the time and what else is in the row."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a call computes and moves at least, and what the machine reached at most, where that is known.

    `flops`: operations of the direct algorithm; `moved`: bytes; the ceilings in TFLOP/s and GB/s; `least_s`: no
    algorithm takes less (limits.least_time). `threads` that a call may use, and the `cpus` that the row says were at
    work; `baseline_slowed` as the row has it.
    """

    flops: int
    moved: int
    ceiling_tflops: float | None = None
    ceiling_gbps: float | None = None
    least_s: float | None = None
    threads: int | None = None
    cpus: float | None = None
    baseline_slowed: float | None = None

    @classmethod
    def of(cls, spec: Spec, ceilings: Mapping[str, float]) -> Work:
        """Of a configuration; `ceilings` by the names of their columns."""
        moved = spec.case.elements_moved(spec.wrt) * DTYPES[spec.dtype].bytes
        return cls(
            spec.case.flops(spec.wrt),
            moved,
            ceilings.get("ceiling_tflops"),
            ceilings.get("ceiling_gbps"),
            threads=spec.switches.threads,
        )

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Work:
        """Of a row; what it does not say is unknown."""
        known: dict[str, Any] = {
            n: row.get(n) for n in ("ceiling_tflops", "ceiling_gbps", "least_s", "threads", "cpus", "baseline_slowed")
        }
        return cls(row["flops"], row["bytes"], **known)

    def verdict(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """`speed` and `reason` where there is something to say against the figures `found`; else nothing to add.

        A time below the least is impossible, whatever it is compared with. A method that had more cores than the row
        says is not faster than a baseline that had not, nor its equal: that is inconclusive. So is one beside which
        the baseline was slower than it is without it.
        """
        time_s = found["time_s"]
        if time_s and self.least_s and time_s < self.least_s:
            said = (
                f"{time(time_s)} a call is impossible: at the rates that this machine reached, no algorithm takes less "
                f"than {time(self.least_s)}"
            )
            return {"speed": IMPOSSIBLE, "reason": said}
        if (unlike := self.crowded(found) or self.slowed()) is not None:
            flattered = found.get("speed") in ("faster", "equivalent")
            return {"reason": unlike} | ({"speed": "inconclusive"} if flattered else {})
        return {}

    def slowed(self) -> str | None:
        """What to say of a method beside which the baseline was slower; None where it was not or nobody knows."""
        if self.baseline_slowed is None:
            return None
        return (
            f"the baseline took at least {self.baseline_slowed:.2f} times as long beside it as before it was called "
            "and after it had ended"
        )

    def crowded(self, found: Mapping[str, Any]) -> str | None:
        """What to say of a method that used more cores than it was given; None where it did not or nobody knows."""
        cpus = self.cpus if found.get("cpus") is None else found["cpus"]
        if cpus is None or self.threads is None or cpus <= self.threads + SPARE_CPUS:
            return None
        return f"its calls kept {cpus:.1f} cores busy where threads={self.threads}"

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
