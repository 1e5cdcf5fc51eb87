"""Wall time of batches of calls that are waited for: a clock for devices that tell no times themselves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

from ..facts.measure import Measure
from ..facts.timed_as import WALL_TIME
from .clocks import Call, HostClock, HostTimes, Reading, Take

MAX_CALLS = 256
"""Calls in a sample at most: a queue holds about a thousand launches, after which the host waits for room in it."""


class WaitingClock(HostClock):
    """From an idle device to an idle device, by the host's clock: what the host takes to enqueue is in it, where it is
    slower than the device, and so is one wait a sample.

    With measure.cache=cold nothing is flushed; `cache` says hot all the same, as it says what was done.
    """

    max_calls = MAX_CALLS

    def __init__(self, synchronize: Callable[[], None], measure: Measure) -> None:
        super().__init__()
        self._synchronize = synchronize
        # The host's wait is in every sample, and takes some 20 µs; of 10 ms that is a five-hundredth.
        self.sample_s = measure.sample_s
        self.warmup_s = measure.gpu_warmup_s

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        self._synchronize()
        start = self.now()
        for _ in repeat(None, calls - 1):
            call()
        last = call()
        self._synchronize()
        spent_s = self.now() - start
        if take is not None:
            take(last)
        self._readings.append(Reading(spent_s / calls, spent_s))

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        self._synchronize()
        start = self.now()
        for _ in repeat(None, calls):
            call()
        enqueued = self.now()
        self._synchronize()
        return HostTimes((enqueued - start) / calls, (self.now() - start) / calls)

    def conditions(self) -> dict[str, Any]:
        return {"cache": "hot", "cuda_graph": False, "time": WALL_TIME}
