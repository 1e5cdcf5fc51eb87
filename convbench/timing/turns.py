"""Samples that other processes take of their own methods when it is their turn, among those of this process."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, NoReturn

from ..facts.measure import Measure
from .clocks import Arm, Call, Clock, Gauged, HostTimes, Lost, Parted, Reading, Take
from .rounds import ArmFailed


class Answer(NamedTuple):
    """What another process answered, and what that took as seen from here: seconds on the wall, and CPU seconds of
    all its threads by the kernel's account (None where it does not tell). For `waited_s` of the seconds it, or this
    process, was ready to run while others had the core."""

    said: dict[str, Any]
    wall_s: float
    cpu_s: float | None
    waited_s: float = 0.0


class Elsewhere(ABC):
    """An arm's call that is made in another process. All that is asked of it may raise Lost."""

    parts = 0
    """Parts of a sample, where its clock has such."""

    @abstractmethod
    def ready(self, cuda_graph: bool) -> Mapping[str, Any]:
        """Gets ready for samples; `sample_s`, `warmup_s`, `max_calls`, `parts` and `cuda_graph` as the clock there has
        them."""

    @abstractmethod
    def sample(self, calls: int) -> Reading:
        """One sample."""

    @abstractmethod
    def host_times(self, calls: int) -> HostTimes | None:
        """As Clock.host_times."""

    def __call__(self) -> NoReturn:
        raise TypeError("a method in another process is sampled there, not called here")


class Turns:
    """A clock for arms of several processes: `local` takes the samples of this one, the others take their own.

    One sample at a time, waited for at once: two processes share the device. Without `local`, all arms are elsewhere.
    """

    batch_rounds = 1

    def __init__(self, measure: Measure, local: Clock | None = None) -> None:
        self._measure, self._local = measure, local
        self.sample_s = self.warmup_s = 0.0
        self.max_calls = 10**9
        if local is not None:
            self.sample_s, self.warmup_s, self.max_calls = local.sample_s, local.warmup_s, local.max_calls
        self.parts = local.parts if isinstance(local, Parted) else 0
        self._graphs: list[bool] = []
        self._readings: list[Reading] = []

    def now(self) -> float:
        return time.perf_counter()

    def context(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._local is None else self._local.context()

    def ready(self, arms: Sequence[Arm]) -> Sequence[Arm]:
        here = [arm for arm in arms if not isinstance(arm.call, Elsewhere)]
        ready = {arm.name: arm for arm in (self._local.ready(here) if self._local is not None else ())}
        graphs = self._measure.cuda_graph and not self._graph_error()
        self._graphs = [bool(self._local.conditions()["cuda_graph"])] if here and self._local is not None else []
        for arm in arms:
            if isinstance(arm.call, Elsewhere):
                try:
                    offered = arm.call.ready(graphs)
                except Lost as lost:
                    raise ArmFailed(arm.name, lost) from lost
                self.sample_s = max(self.sample_s, float(offered["sample_s"]))
                self.warmup_s = max(self.warmup_s, float(offered["warmup_s"]))
                self.max_calls = min(self.max_calls, int(offered["max_calls"]))
                self.parts = int(offered.get("parts", 0))
                self._graphs.append(bool(offered.get("cuda_graph", False)))
        return [ready.get(arm.name, arm) for arm in arms]

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        if isinstance(call, Elsewhere):
            call.parts = self.parts
            self._readings.append(call.sample(calls))
            return
        assert self._local is not None
        if isinstance(self._local, Parted):
            self._local.parts = self.parts
        self._local.submit(call, calls)
        self._readings += self._local.drain()

    def gauge(self) -> None:
        local: Any = self._local
        if isinstance(local, Gauged):
            local.gauge()

    def drain(self) -> list[Reading]:
        readings, self._readings = self._readings, []
        return readings

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        if isinstance(call, Elsewhere):
            return call.host_times(calls)
        return None if self._local is None else self._local.host_times(call, calls)

    def conditions(self) -> dict[str, Any]:
        here = {"cache": self._measure.cache, "time": self._measure.time}
        seen = here if self._local is None else self._local.conditions()
        return {**seen, "cuda_graph": bool(self._graphs) and all(self._graphs)}

    def _graph_error(self) -> str | None:
        return None if self._local is None else self._local.conditions().get("cuda_graph_error")
