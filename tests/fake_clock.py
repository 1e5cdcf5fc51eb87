"""The clock of the tests of the sampling logic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from convbench.facts.measure import Measure
from convbench.timing.clocks import Arm, Call, HostTimes, Reading, Take


class FakeClock:
    """A clock on which time passes only as told.

    `cost(call, calls, now)` returns the seconds that a sample takes; `overhead_s` passes after each.
    """

    batch_rounds = 1
    max_calls = 10**9

    def __init__(self, cost: Callable[[Call, int, float], float], measure: Measure, overhead_s: float = 0.0) -> None:
        self.sample_s = measure.sample_s
        self.warmup_s = measure.warmup_s
        self.time = 0.0
        self._cost, self._overhead_s = cost, overhead_s
        self._readings: list[Reading] = []

    def now(self) -> float:
        return self.time

    def context(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def ready(self, arms: Sequence[Arm]) -> Sequence[Arm]:
        return arms

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        seconds = self._cost(call, calls, self.time)
        self.time += seconds + self._overhead_s
        self._readings.append(Reading(seconds / calls, seconds))

    def drain(self) -> list[Reading]:
        readings, self._readings = self._readings, []
        return readings

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        return None

    def conditions(self) -> dict[str, Any]:
        return {"cache": "hot", "cuda_graph": False}
