"""A type of device that another package adds: asynchronous, with a queue, a peak of its own, and sometimes not there.

Its tensors are torch's CPU tensors; what works on them is a thread that takes one piece of work after another.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from time import perf_counter, sleep
from typing import Any

import torch

from convbench.devices.device import Device, Sharing, Switch, Work
from convbench.facts.measure import Measure
from convbench.timing.clocks import Arm, Call, HostTimes, Reading, Take
from convbench.timing.waiting_clock import WaitingClock

FULL_SPEED = [False]
"""What the switch `tf32` means here."""


class Queue:
    """A thread that does what it is given, in order; what was raised meanwhile is raised when it is waited for."""

    def __init__(self) -> None:
        self._work: queue.Queue[Callable[[], None]] = queue.Queue(maxsize=64)
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except BaseException as error:
                self._error = error
            self._work.task_done()

    def put(self, work: Callable[[], None]) -> None:
        self._work.put(work)

    def wait(self) -> None:
        self._work.join()
        error, self._error = self._error, None
        if error is not None:
            raise RuntimeError(str(error)) from error


_QUEUES: list[Queue] = []


def the_queue() -> Queue:
    if not _QUEUES:
        _QUEUES.append(Queue())
    return _QUEUES[0]


class Turtle(Device):
    work = Work((64, 128), 0.0, 2**16, 2**16, (1, 1, 25, 4, 9), 0.0, shapes=((2, 8, 16, 8, 3),) * 8)
    fingerprint = ("shell",)
    sharing = Sharing(("TURTLE_VISIBLE_DEVICES",), lambda: ["left", "right"])

    @property
    def placed(self) -> str:
        return "cpu"

    def missing(self) -> str | None:
        away = os.environ.get("TURTLE_AWAY")
        if away or self.index > 1:
            return f"no {self.name}: {away or 'there are two'}"
        return None

    def synchronize(self) -> None:
        the_queue().wait()

    def facts(self) -> dict[str, Any]:
        return {"gpu": "a turtle", "shell": os.environ.get("TURTLE_SHELL", "hard"), "full_speed": FULL_SPEED[0]}

    def cache_bytes(self) -> float:
        return 2.0**20

    def switches(self) -> Mapping[str, Switch]:
        return {"tf32": Switch(lambda: FULL_SPEED[0], lambda value: FULL_SPEED.__setitem__(0, value))}

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        result = call()
        return int(result.nbytes) + 1

    def clock(self, measure: Measure) -> TurtleClock:
        return TurtleClock(measure)

    def wall_clock(self, measure: Measure) -> TurtleWallClock:
        return TurtleWallClock(self.synchronize, measure)


class TurtleClock:
    """Times what its queue does, from when a sample begins there to when it ends.

    TURTLE_BREAKS=METHOD:raises or METHOD:hangs does that to a method's sample that is queued behind another one.
    """

    batch_rounds = 5
    max_calls = 1000

    def __init__(self, measure: Measure) -> None:
        self.sample_s = measure.gpu_sample_s
        self.warmup_s = measure.warmup_s
        self._readings: list[Reading] = []
        self._pending = 0
        self._broken, _, self._how = os.environ.get("TURTLE_BREAKS", "").partition(":")
        self._breaks: list[Call] = []

    def now(self) -> float:
        return perf_counter()

    def context(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def ready(self, arms: Sequence[Arm]) -> Sequence[Arm]:
        self._breaks = [arm.call for arm in arms if arm.name == self._broken]
        return arms

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        inference = torch.is_inference_mode_enabled()
        broken = self._pending > 0 and call in self._breaks
        self._pending += 1

        def sample() -> None:
            with torch.inference_mode(inference):
                if broken:
                    self._break()
                begun = perf_counter()
                for _ in range(calls):
                    last = call()
                spent_s = perf_counter() - begun
                if take is not None:
                    take(last)
            self._readings.append(Reading(spent_s / calls, spent_s))

        the_queue().put(sample)

    def _break(self) -> None:
        if self._how == "hangs":
            sleep(3600)
        raise RuntimeError("the turtle lay on its back")

    def drain(self) -> list[Reading]:
        self._pending = 0
        the_queue().wait()
        readings, self._readings = self._readings, []
        return readings

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        self.drain()
        begun = perf_counter()
        self.submit(call, calls)
        enqueued = perf_counter()
        self.drain()
        return HostTimes((enqueued - begun) / calls, (perf_counter() - begun) / calls)

    def conditions(self) -> dict[str, Any]:
        return {"cache": "hot", "cuda_graph": False, "throttle": "none"}


class TurtleWallClock(WaitingClock):
    """From an idle queue to an idle queue, by the host's clock.

    TURTLE_LAUNCH=METHOD:SECONDS is what launching one call of a method takes the host.
    """

    def ready(self, arms: Sequence[Arm]) -> Sequence[Arm]:
        method, _, seconds = os.environ.get("TURTLE_LAUNCH", "").partition(":")
        return [replace(arm, call=launched(arm.call, float(seconds) if arm.name == method else 0.0)) for arm in arms]

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        super().submit(call, calls, None if take is None else lambda launched: take(launched[0]))


def launched(call: Call, seconds: float) -> Call:
    """The call handed to the queue, which takes the host so long; what it returns holds the result in the end."""

    def launch() -> list[Any]:
        results: list[Any] = []
        inference, grad = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        def work() -> None:
            with torch.inference_mode(inference), torch.set_grad_enabled(grad):
                results.append(call())

        if seconds:
            sleep(seconds)
        the_queue().put(work)
        return results

    return launch
