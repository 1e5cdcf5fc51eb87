"""What is counted of one arm while it is sampled, beside its times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .clocks import Reading

LATE_SHARE = 0.1
"""Share of samples in which the device may have waited for the host that makes an arm `launch_bound`; a median of
which a tenth is disturbed moves by a few percentiles at most, and more is worth a word."""


@dataclass(slots=True)
class Tally:
    """Sums over samples; `spent_s` are the seconds inside timed regions. None: nobody counted."""

    samples: int = 0
    calls: int = 0
    late: int = 0
    spent_s: float = 0.0
    cpu_s: float = 0.0
    minor_faults: int | None = None
    major_faults: int | None = None

    def add(self, reading: Reading, calls: int) -> None:
        """One sample that came to hold `calls` calls."""
        self.samples += 1
        self.calls += calls
        self.late += reading.late
        self.spent_s += reading.spent_s
        self.cpu_s += reading.cpu_s or 0.0
        if reading.minor_faults is not None:
            self.minor_faults = (self.minor_faults or 0) + reading.minor_faults
        if reading.major_faults is not None:
            self.major_faults = (self.major_faults or 0) + reading.major_faults

    @property
    def launch_bound(self) -> bool:
        return self.late >= LATE_SHARE * self.samples

    def columns(self) -> dict[str, Any]:
        """The columns of record.SPEED that are counted: each is told of one call, but for `measured_s` and `cpus`."""
        known = self.cpu_s > 0 and self.spent_s > 0
        return {
            "measured_s": self.spent_s,
            "cpus": self.cpu_s / self.spent_s if known else None,
            "call_cpu_s": self.cpu_s / self.calls if known else None,
            "minor_faults": None if self.minor_faults is None else self.minor_faults / self.calls,
            "major_faults": None if self.major_faults is None else self.major_faults / self.calls,
        }
