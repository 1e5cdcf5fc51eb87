"""Device time between CUDA events, with a backlog of work so that the host's launching is not in it."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from statistics import median
from time import perf_counter
from typing import Any

import torch

from ..facts.measure import Measure
from . import nvml
from .backlog import Backlog
from .clocks import Arm, Call, HostTimes, Lost, Reading, Take
from .cuda_graphs import Replay, captured
from .rounds import ArmFailed

MAX_CALLS = 256
"""Calls in a sample at most: the driver queues about a thousand launches, and then the host waits for the device.
Where a call launches more than a few kernels, warming up finds that out and takes fewer."""

MAX_COLD_CALLS = 16
"""Calls in a sample with cold caches at most: each has a flush before it, which takes longer than most calls."""

RESOLUTION_S = 5e-7
"""Resolution of CUDA events (cudaEventElapsedTime); a shorter time reads as this, never as 0."""

SHORT_SLEEP_S = 1e-3
"""Where nothing is known yet of how long a call takes to enqueue."""

EMPTY_PAIRS = 20
"""Pairs of events with nothing between them whose median says what a pair itself takes."""

DEFAULT_L2_BYTES = 2**27
"""Where torch does not tell the size of the L2 cache; larger than any device's in use (126 MiB on a B200)."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A queued sample: start and end events of its parts, and whether the device was seen to be at work on it before
    the host had enqueued all of it."""

    calls: int
    parts: list[tuple[Any, Any]]
    late: bool


class EventClock:
    """Times batches of calls on a stream of its own; ten rounds are queued before the host waits for them.

    Before each sample the device is put to sleep long enough for the host to enqueue the whole of it. The start event
    is asked at the end of enqueueing: if the device has passed it already, it may have waited for the host since.
    `cuda` is torch.cuda or what has its interface, as torch.xpu does; without a `_sleep`, as there, the device does
    not wait for the host. `cache_bytes`: of a cache beyond the L2 cache, which alone torch tells. `counts_cycles`: its
    sleep counts the clock that torch tells. `waiting`: environment variables that, set to 1, make every launch wait.
    """

    batch_rounds = 10

    def __init__(
        self,
        device: str,
        measure: Measure,
        cuda: Any = torch.cuda,
        *,
        cache_bytes: int = 0,
        counts_cycles: bool = True,
        waiting: tuple[str, ...] = (),
    ) -> None:
        self._cuda = cuda
        self._device = torch.device(device)
        self.sample_s = measure.gpu_sample_s
        self.warmup_s = measure.gpu_warmup_s
        self.cold = measure.cache == "cold"
        self.max_calls = MAX_COLD_CALLS if self.cold else MAX_CALLS
        self._wants_graphs = measure.cuda_graph
        self._graphs: dict[int, Replay] = {}
        self._graph_error: str | None = None
        self._stream = _stream(cuda, self._device)
        properties = cuda.get_device_properties(self._device)
        self._flush = self._flush_buffer(flush_bytes(properties, cache_bytes)) if self.cold else None
        self._nvml = nvml.open_device(str(properties.uuid)) if hasattr(properties, "uuid") else None
        kilohertz = getattr(properties, "clock_rate", 0) if counts_cycles else 0  # where torch tells it
        self._backlog = Backlog(cuda, self._stream, 1e3 * kilohertz)
        self._spare: list[Any] = [cuda.Event(enable_timing=True) for _ in range(64)]
        self._pending: list[_Pending] = []
        self._warm_at = math.inf
        self._event_s: float | None = None
        self._launches_wait = next((f"{name}=1" for name in waiting if os.environ.get(name) == "1"), None)

    def now(self) -> float:
        return perf_counter()

    @contextmanager
    def context(self) -> Iterator[None]:
        # Streams do not wait for each other: the problem was made on the default one, and results are read there.
        self._cuda.synchronize(self._device)
        with self._cuda.device(self._device), self._cuda.stream(self._stream):
            yield
        self._stream.synchronize()

    def ready(self, arms: Sequence[Arm]) -> Sequence[Arm]:
        """With CUDA graphs: every arm's call captured, to be replayed; the arms as they are if one cannot be."""
        self._backlog.calibrate()
        self._backlog.forget()
        # Graphs of an earlier start would keep their memory, and their calls' places in it may be others' by now.
        self._graphs, self._graph_error = {}, None
        self._warm_at = self.now() + self.warmup_s
        if not self._wants_graphs:
            return arms
        try:
            # With an inference-mode arm first, torch 2.9 refuses to capture autograd ("Inplace update to inference
            # tensor outside InferenceMode").
            for a in sorted(range(len(arms)), key=lambda a: _infers(arms[a])):
                self._graphs[a] = self._captured(arms[a])
        except ArmFailed:
            raise
        except Exception as error:  # a method may raise anything when it is captured, and be right all the same
            self._graphs, self._graph_error = {}, " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._stream.synchronize()
            return arms
        return [replace(arm, call=self._graphs[a]) for a, arm in enumerate(arms)]

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        idle = not self._pending
        if idle and self.now() >= self._warm_at:
            self._take_its_measure()
        slept = self._backlog.sleep(self._backlog.seconds(call, calls))
        begun = self.now()
        parts, last = self._cold_parts(call, calls) if self.cold else self._hot_part(call, calls)
        enqueue_s = self.now() - begun
        late = bool(parts[0][0].query())
        self._pending.append(_Pending(calls, parts, late))
        if take is not None:
            take(last)
        del last
        # With work queued before it, the host may have waited for room in the queue.
        if idle:
            self._backlog.saw(call, enqueue_s / calls, waited=slept and late)

    def drain(self) -> list[Reading]:
        pending, self._pending = self._pending, []
        if not pending:
            return []
        # One look per batch, since it takes up to a millisecond; before the wait, while the device is at work.
        if self._nvml is not None and len(pending) > 1:
            self._nvml.read()
        pending[-1].parts[-1][1].synchronize()
        readings = [self._reading(p) for p in pending]
        self._spare.extend(event for p in pending for part in p.parts for event in part)
        return readings

    def _reading(self, sample: _Pending) -> Reading:
        spent_s = sum(self._seconds(*part) for part in sample.parts)
        return Reading(spent_s / sample.calls, spent_s, sample.late)

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        self.submit(call, calls)
        seen_s = self.drain()[0].spent_s
        self._cuda.synchronize(self._device)
        start = self.now()
        repeated(call, calls)
        enqueued = self.now()
        self._stream.synchronize()
        ended = self.now()
        self._cuda.synchronize(self._device)
        done = self.now()
        unseen_s = max(done - ended, (done - enqueued) - seen_s, self._on_default_stream(call, calls))
        return HostTimes((enqueued - start) / calls, (done - start) / calls, max(0.0, unseen_s) / calls)

    def _on_default_stream(self, call: Call, calls: int) -> float:
        """Seconds of work that calls on the timed stream leave on the default one, which a plain launch goes to: it
        waits there behind a sleep until all of it is enqueued. 0 where the sleep was over before."""
        if not self._backlog.sleeps:
            return 0.0
        default = self._cuda.default_stream(self._device)
        asleep, after = self._event(), self._event()
        with self._cuda.stream(default):
            self._backlog.sleep(max(self._backlog.seconds(call, calls), SHORT_SLEEP_S))
            asleep.record(default)
        repeated(call, calls)
        late = bool(asleep.query())
        after.record(default)
        self._cuda.synchronize(self._device)
        seconds = self._seconds(asleep, after)
        self._spare += [asleep, after]
        return 0.0 if late else seconds

    def conditions(self) -> dict[str, Any]:
        """`cuda_graph` is what was done; `cuda_graph_error` why it was not, where it was asked for."""
        seen = self._nvml.seen() if self._nvml is not None else nvml.UNSEEN
        return {
            "cache": "cold" if self.cold else "hot",
            "cuda_graph": bool(self._graphs),
            "cuda_graph_error": self._graph_error,
            "event_s": self._event_s,
            "launches_wait": self._launches_wait,
            **seen,
        }

    def _part(self, call: Call, calls: int) -> tuple[tuple[Any, Any], Any]:
        start, end = self._event(), self._event()
        start.record(self._stream)
        last = call.many(calls) if isinstance(call, Replay) else repeated(call, calls)
        end.record(self._stream)
        return (start, end), last

    def _hot_part(self, call: Call, calls: int) -> tuple[list[tuple[Any, Any]], Any]:
        part, last = self._part(call, calls)
        return [part], last

    def _cold_parts(self, call: Call, calls: int) -> tuple[list[tuple[Any, Any]], Any]:
        parts, last = [], None
        for _ in range(calls):
            self._flush.zero_()  # type: ignore[union-attr]
            part, last = self._part(call, 1)
            parts.append(part)
        return parts, last

    def _event(self) -> Any:
        return self._spare.pop() if self._spare else self._cuda.Event(enable_timing=True)

    def _seconds(self, start: Any, end: Any) -> float:
        return max(float(start.elapsed_time(end)) * 1e-3, RESOLUTION_S)

    def _take_its_measure(self) -> None:
        """Once the device is warm: what it sleeps by now, and what stands between two events with nothing between."""
        self._warm_at = math.inf
        self._backlog.calibrate()
        # Behind a sleep, so that the host's recording is not in it.
        self._backlog.sleep(EMPTY_PAIRS * 1e-4)
        pairs = [(self._event(), self._event()) for _ in range(EMPTY_PAIRS)]
        for pair in pairs:
            for event in pair:
                event.record(self._stream)
        pairs[-1][1].synchronize()
        self._event_s = median([self._seconds(*pair) for pair in pairs])
        self._spare += [event for pair in pairs for event in pair]

    def _captured(self, arm: Arm) -> Replay:
        try:
            return captured(arm, self._cuda, self._stream)
        except Lost as lost:
            raise ArmFailed(arm.name, lost) from lost

    def _flush_buffer(self, size: int) -> Any:
        return torch.empty(size, dtype=torch.int8, device=self._device)


def repeated(call: Call, calls: int) -> Any:
    """What the last of so many calls returns; what the others do is given back at once."""
    for _ in repeat(None, calls - 1):
        call()
    return call()


@functools.cache
def _stream(cuda: Any, device: torch.device) -> Any:
    """One per device and process: cuBLAS keeps a workspace for every stream, and torch's allocator what was freed."""
    return cuda.Stream(device=device)


def _infers(arm: Arm) -> bool:
    with arm.context():
        return torch.is_inference_mode_enabled()


def flush_bytes(properties: Any, cache_bytes: int = 0) -> int:
    """Twice the last cache, so that writing as much leaves nothing else in it."""
    return 2 * max(cache_bytes, getattr(properties, "L2_cache_size", 0) or DEFAULT_L2_BYTES)
