"""A host and a device with a queue between them: what torch.cuda does to time, without a device.

The device starts each piece of work when it is enqueued and everything before it has ended.
"""

# The names are torch's own.
# ruff: noqa: N802
from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from convbench.facts.measure import Measure
from convbench.timing.event_clock import EventClock
from convbench.timing.wall_clock import WallClock

CYCLES_PER_S = 1.5e9
RECORD_S = 1e-6
"""What recording an event costs the host."""
QUEUE = 1024
"""Pieces of work that may be queued; with as many before it, the host waits for the first of them to end."""


class Machine:
    """Stands in for torch.cuda. `host` and `device_free` are in seconds; `log` holds what was enqueued, in order."""

    def __init__(self, uuid: str | None = None, l2_bytes: int = 1000, clock_khz: int | None = None) -> None:
        self.host = 0.0
        self.free = {"default": 0.0, "timed": 0.0, "other": 0.0}
        self.busy: list[tuple[float, float]] = []
        self.current = "timed"
        self.log: list[str] = []
        self.cycles_per_s = CYCLES_PER_S
        self._ends: deque[float] = deque()
        self.waits = 0
        self.event_s = self.launch_s = 0.0
        self.capturing: list[Callable[[], None]] | None = None
        self.refuses_capture = False
        self._properties = {"L2_cache_size": l2_bytes} | ({"uuid": uuid} if uuid else {})
        self._properties |= {"clock_rate": clock_khz} if clock_khz else {}

    @property
    def device_free(self) -> float:
        """When all work on the timed stream is done."""
        return self.free["timed"]

    def enqueue(self, name: str, host_s: float, device_s: float, stream: str | None = None) -> None:
        """The host spends `host_s` to hand over work that keeps the device busy for `device_s`, on the current stream
        unless one is named. Streams wait only for the device, which does one piece of work at a time; sleeps and
        events are none. What is launched on another stream is not captured."""
        if self.capturing is not None and stream in (None, self.current):
            self.capturing.append(lambda: self.enqueue(name, 0.0, device_s))
            return
        self.host += host_s
        while self._ends and self._ends[0] <= self.host:
            self._ends.popleft()
        if len(self._ends) >= QUEUE:
            self.host = self._ends.popleft()
        stream = stream or self.current
        start = max(self.free[stream], self.host)
        if name not in ("sleep", "event"):
            self.busy = [(begun, end) for begun, end in self.busy if end > self.host]
            for begun, end in self.busy:
                if start + device_s > begun:
                    start = max(start, end)
            self._occupy(start, start + device_s)
        self.free[stream] = start + device_s
        self._ends.append(self.free[stream])
        self.log.append(name)

    def _occupy(self, start: float, end: float) -> None:
        """Times that touch become one, so that there are few of them."""
        for begun, ended in self.busy:
            if begun == end or ended == start:
                self.busy.remove((begun, ended))
                self._occupy(min(begun, start), max(ended, end))
                return
        self.busy = sorted([*self.busy, (start, end)])

    def kernel(self, name: str, host_s: float, device_s: float, stream: str | None = None) -> Callable[[], None]:
        return lambda: self.enqueue(name, host_s, device_s, stream)

    def wait(self, until: float) -> None:
        self.waits += 1
        self.host = max(self.host, until)

    def Stream(self, device: Any) -> Any:
        return SimpleNamespace(name="timed", synchronize=lambda: self.wait(self.device_free))

    def default_stream(self, device: Any) -> Any:
        return SimpleNamespace(name="default", synchronize=lambda: self.wait(self.free["default"]))

    def Event(self, enable_timing: bool) -> Event:
        assert enable_timing
        return Event(self)

    def CUDAGraph(self) -> Any:
        return SimpleNamespace(work=[])

    @contextmanager
    def graph(self, graph: Any, stream: Any) -> Iterator[None]:
        if self.refuses_capture:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.capturing = graph.work

        def replay() -> None:
            self.host += 2e-6
            if self.launch_s:
                self.enqueue("launch", 0.0, self.launch_s)
            for work in graph.work:
                work()

        graph.replay = replay
        try:
            yield
        finally:
            self.capturing = None
        if not graph.work:
            warnings.warn("The CUDA Graph is empty. This usually means that ...", stacklevel=2)

    @contextmanager
    def device(self, device: Any) -> Iterator[None]:
        yield

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        before, self.current = self.current, stream.name
        yield
        self.current = before

    def synchronize(self, device: Any) -> None:
        self.wait(max(self.free.values()))

    def get_device_properties(self, device: Any) -> Any:
        return SimpleNamespace(**self._properties)

    def _sleep(self, cycles: int) -> None:
        self.enqueue("sleep", 1e-6, cycles / self.cycles_per_s)


class Event:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.time = 0.0

    def record(self, stream: Any) -> None:
        self._machine.enqueue("event", RECORD_S, self._machine.event_s, stream.name)
        self.time = self._machine.free[stream.name]

    def query(self) -> bool:
        return self.time <= self._machine.host

    def synchronize(self) -> None:
        self._machine.wait(self.time)

    def elapsed_time(self, end: Event) -> float:
        assert end.time <= self._machine.host, "the host has not waited for the end of this sample"
        return (end.time - self.time) * 1e3


class SimulatedClock(EventClock):
    """The CUDA clock on a simulated machine, whose host time it reads."""

    def __init__(self, machine: Machine, measure: Measure, **words: Any) -> None:
        self.machine = machine
        super().__init__("cuda", measure, machine, **words)

    def now(self) -> float:
        return self.machine.host

    def _flush_buffer(self, size: int) -> Any:
        return SimpleNamespace(zero_=self.machine.kernel(f"flush {size}", 3e-6, 5e-5))


class SimulatedWallClock(SimulatedClock, WallClock):
    """The clock of wall time on a simulated machine."""
