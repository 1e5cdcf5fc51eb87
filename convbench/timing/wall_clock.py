"""Wall time on a CUDA device: of batches of calls, from an idle device until it has finished them."""

from __future__ import annotations

from typing import Any

from ..facts.timed_as import WALL_TIME
from .clocks import Call, HostTimes, Reading, Take
from .cuda_graphs import Replay
from .event_clock import EventClock, repeated

SAMPLES = 5.0
"""A sample is so many times as long as one between events: the wait for the device, some 20 µs, is in each."""


class WallClock(EventClock):
    """What a program that launches its calls as they come has to wait: the longer of launching and computing them.

    The stream, the graphs and the flushed caches are those of the clock of device time. With cold caches every call is
    waited for, so that its time is a latency.
    """

    batch_rounds = 1

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        self.sample_s *= SAMPLES
        self._taken: list[Reading] = []

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        spent_s = 0.0
        for batch in [1] * calls if self.cold else [calls]:
            if self._flush is not None:
                self._flush.zero_()
            self._wait()
            begun = self.now()
            last = call.many(batch) if isinstance(call, Replay) else repeated(call, batch)
            self._wait()
            spent_s += self.now() - begun
        if take is not None:
            take(last)
        self._taken.append(Reading(spent_s / calls, spent_s))

    def drain(self) -> list[Reading]:
        readings, self._taken = self._taken, []
        if self._nvml is not None and readings:
            self._nvml.read()
        return readings

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        self._wait()
        begun = self.now()
        repeated(call, calls)
        enqueued = self.now()
        self._wait()
        return HostTimes((enqueued - begun) / calls, (self.now() - begun) / calls)

    def conditions(self) -> dict[str, Any]:
        return {**super().conditions(), "time": WALL_TIME}

    def _wait(self) -> None:
        """For every stream: what a call leaves on another one is part of what it costs."""
        self._cuda.synchronize(self._device)
