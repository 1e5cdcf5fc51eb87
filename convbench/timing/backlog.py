"""How long a device sleeps before a sample, so that the host has enqueued all of it when the device wakes."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from .clocks import Call

BACKLOG = 2.5
"""The device sleeps this many times as long as the host takes to enqueue a sample: the host's time varies by less than
a factor of two from sample to sample."""

MAX_BACKLOG_S = 0.05
"""Longer sleeps would be most of the run; an arm that needs one is `launch_bound`."""

REMEMBERED = 5
"""Enqueue times of an arm whose median sets its next backlog: the first call's one-off costs are forgotten soon."""

CALIBRATION_CYCLES = 10_000_000
"""Some 5 ms of sleep, 10,000 times the events' resolution."""


class Backlog:
    """The sleeps of one clock. `cuda` is torch.cuda or what has its interface; where that has no `_sleep`, nothing ever
    sleeps. `most_cycles_per_s`: of the clock that sleeps count, at its highest; 0 where that is not told."""

    def __init__(self, cuda: Any, stream: Any, most_cycles_per_s: float) -> None:
        self._cuda, self._stream = cuda, stream
        self._most_cycles_per_s = most_cycles_per_s
        self._cycles_per_s = 0.0
        self._enqueue_s: dict[int, deque[float]] = {}

    @property
    def sleeps(self) -> bool:
        """Whether the device can be told to."""
        return self._cycles_per_s > 0

    def forget(self) -> None:
        """How long any call took to enqueue."""
        self._enqueue_s.clear()

    def calibrate(self) -> None:
        """How many cycles a second has; by the second of two sleeps, so that the device is awake, and no fewer than at
        the highest clock: by that of an idle device sleeps would be too short once it is at work."""
        if not hasattr(self._cuda, "_sleep"):
            return
        for _ in range(2):
            start, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
            start.record(self._stream)
            self._cuda._sleep(CALIBRATION_CYCLES)
            end.record(self._stream)
            end.synchronize()
        seconds = float(start.elapsed_time(end)) * 1e-3
        self._cycles_per_s = max(CALIBRATION_CYCLES / max(seconds, 1e-6), self._most_cycles_per_s)

    def seconds(self, call: Call, calls: int) -> float:
        """What a sample of so many calls needs; 0 where nothing is known of the call yet."""
        seen = self._enqueue_s.get(id(call))
        if not seen:
            return 0.0
        return min(BACKLOG * sorted(seen)[len(seen) // 2] * calls, MAX_BACKLOG_S)

    def sleep(self, seconds: float) -> bool:
        """Whether there was anything to sleep for."""
        if seconds <= 0 or not self.sleeps:
            return False
        self._cuda._sleep(math.ceil(seconds * self._cycles_per_s))
        return True

    def saw(self, call: Call, enqueue_s: float, waited: bool) -> None:
        """What enqueueing a call took; `waited`: behind a sleep that the device had left before all was enqueued.

        A call that waits for the device has waited for the sleep, which the next would then contain. What the sleep
        came from is forgotten bit by bit; when all is, the call is enqueued without one and seen anew.
        """
        seen = self._enqueue_s.setdefault(id(call), deque(maxlen=REMEMBERED))
        if waited:
            seen.popleft()
        else:
            seen.append(enqueue_s)
