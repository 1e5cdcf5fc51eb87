"""What timing rests on, measured: events, the clock's step, sleeps, the queue, launches and the flush."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any

import torch

from ...devices import device_of
from ...facts.measure import Measure
from ...facts.spec import Switches
from ...measurement.switches import switched
from ...timing.clocks import Arm
from ...timing.event_clock import MAX_CALLS, RESOLUTION_S, flush_bytes
from ..asking import Cannot

PAIRS = 400
SLEEPS = (1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000)
"""Cycles; the shortest is half a millisecond on a fast clock, a thousand times the step of events."""
IDLE_S = 2.0
"""After this long without work a device has begun to lower its clock."""
LAUNCHES = 3000
"""More than any driver queues."""
READ_BYTES = 2**23
"""Of a cache that several machines share, one has no more than a part for itself."""
WAKING, READS = 5, 15
FLUSHES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)


def host_clock(device: str) -> dict[str, Any]:
    """`cost_s` and `step_s` of the host's clock: the median time between two readings, and the least."""
    readings = [perf_counter() for _ in range(20_000)]
    steps = [b - a for a, b in pairwise(readings)]
    return {"cost_s": median(steps), "step_s": min((step for step in steps if step > 0), default=math.nan)}


def event_pair(device: str) -> dict[str, Any]:
    """Between two events with nothing between: `pair_s`, the median, and `longest_s`; `step_s`, the least difference of
    two readings of pairs with up to six kernels between; `resolution_s`, what the program takes it for."""
    cuda = _interface(device)
    with cuda.device(device):
        pairs = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(2 * PAIRS)]
        smallest = _smallest(device)
        _sleep(cuda, 0.01)
        for number, (start, end) in enumerate(pairs):
            start.record()
            for _ in range(number % 7 if number >= PAIRS else 0):
                smallest()
            end.record()
        cuda.synchronize(device)
        seconds = [start.elapsed_time(end) * 1e-3 for start, end in pairs]
    levels = sorted(set(seconds))
    steps = [b - a for a, b in pairwise(levels) if b - a > 1e-12]
    empty = seconds[:PAIRS]
    return {
        "pair_s": median(empty),
        "longest_s": max(empty),
        "step_s": min(steps, default=math.nan),
        "resolution_s": RESOLUTION_S,
    }


def sleeps(device: str, warm: bool) -> dict[str, Any]:
    """`cycles_per_s` of sleeps of several lengths, after work or after idling."""
    cuda = _interface(device)
    with cuda.device(device):
        if warm:
            _busy(device, 1.0)
        else:
            cuda.synchronize(device)
            time.sleep(IDLE_S)
        found = {cycles: cycles / _between(cuda, lambda c=cycles: cuda._sleep(c)) for cycles in SLEEPS}  # type: ignore[misc]
    return {"cycles_per_s": {str(cycles): rate for cycles, rate in found.items()}}


def queue(device: str) -> dict[str, Any]:
    """`depth`: launches that the host makes while the device sleeps, until it has to wait; `launch_s`: one of them;
    `calls`: in a sample at most."""
    cuda = _interface(device)
    with cuda.device(device):
        smallest = _smallest(device)
        for _ in range(100):
            smallest()
        cuda.synchronize(device)
        awake = cuda.Event(enable_timing=True)
        _sleep(cuda, 0.3)
        awake.record()
        took, depth = [], LAUNCHES
        for number in range(LAUNCHES):
            begun = perf_counter()
            smallest()
            took.append(perf_counter() - begun)
            # Where the device woke meanwhile, the host has waited for it.
            if awake.query():
                depth = number
                break
        cuda.synchronize(device)
    return {"depth": depth, "launch_s": median(took), "longest_s": max(took), "calls": MAX_CALLS}


def launches(device: str) -> dict[str, Any]:
    """Seconds on the device of the smallest kernel, launched one by one (`stream_s`) and in a graph (`graph_s`), and
    the host's for either (`stream_host_s`, `graph_host_s`)."""
    cuda = _interface(device)
    calls = 64
    stream = cuda.Stream(device)
    with cuda.device(device), cuda.stream(stream):
        smallest = _smallest(device)

        def by_stream() -> None:
            for _ in range(calls):
                smallest()

        by_stream()
        cuda.synchronize(device)
        stream_s, host_s = _queued(cuda, by_stream)
        out = {"stream_s": stream_s / calls, "stream_host_s": host_s / calls}
        if hasattr(cuda, "CUDAGraph"):
            graph = cuda.CUDAGraph()
            with cuda.graph(graph, stream=stream):
                by_stream()
            graph.replay()
            cuda.synchronize(device)
            graph_s, graph_host_s = _queued(cuda, graph.replay)
            out |= {"graph_s": graph_s / calls, "graph_host_s": graph_host_s / calls}
    return out


def flush(device: str) -> dict[str, Any]:
    """`read_s`: seconds of reading a quarter of the last cache, scattered, after writing k times its size, by k."""
    on, cuda = device_of(device), _interface(device)
    size = on.cache_bytes()
    if not math.isfinite(size):
        raise Cannot("the size of its last cache is not known")
    elements = int(size) // 16
    with cuda.device(device):
        data = torch.ones(elements, device=device)
        where = torch.randperm(elements, device=device)[: elements // 4].to(torch.int64)
        written = torch.empty(int(max(FLUSHES) * size), dtype=torch.uint8, device=device)
        times: dict[float, list[float]] = {k: [] for k in FLUSHES}
        # In turns, and the first ones left out: a device that wakes up takes longer, whatever is in its cache.
        for _ in range(WAKING + READS):
            for k in FLUSHES:
                data.take(where)
                # So that the host is ahead: the device would wait for it between the events.
                _sleep(cuda, 3e-4)
                if k:
                    written[: int(k * size)].zero_()
                times[k].append(_between(cuda, lambda: data.take(where)))
        found = {f"{k:g}": median(seconds[WAKING:]) for k, seconds in times.items()}
        own = flush_bytes(cuda.get_device_properties(device)) / size
    return {"read_s": found, "own": own, "cache_bytes": size}


def cold_and_hot(device: str) -> dict[str, Any]:
    """`hot_s` and `cold_s` of reading what the last cache holds easily, by the clock that methods are timed with."""
    from ...timing import rounds
    from ...timing.speed_columns import columns

    on = device_of(device)
    size = on.cache_bytes()
    if not math.isfinite(size):
        raise Cannot("the size of its last cache is not known")
    data = torch.ones(min(int(size) // 4, READ_BYTES) // 4, device=on.placed)
    out: dict[str, Any] = {}
    for cache in ("hot", "cold"):
        measure = Measure(looks=(10, 20), half_width=0.05, min_time_s=0.05, max_time_s=3.0, cache=cache)
        clock = on.clock(measure)
        # On one thread of a CPU: several would wait for each other wherever another program has one of the cores.
        with switched(Switches(threads=1), device), clock.context():
            samples = rounds.measure([Arm("read", data.sum)], "read", measure, clock, 0, rounds.unmarked)
        row = columns(samples, "read", "read", measure)
        out |= {f"{cache}_s": row["time_s"], f"{cache}_is": row["cache"]}
    return out


def clock_told(device: str) -> dict[str, Any]:
    """What the clock says of the device's state beside the times: `throttle`, `clock_mhz`."""
    on = device_of(device)
    clock = on.clock(Measure())
    with clock.context():
        a = torch.ones(1024, 1024, device=on.placed)
        for _ in range(3):
            clock.submit(lambda: a @ a, 10)
            clock.submit(lambda: a @ a, 10)
            clock.drain()
    seen = clock.conditions()
    return {name: seen.get(name) for name in ("throttle", "clock_mhz")}


def _interface(device: str) -> Any:
    interface = device_of(device).interface()
    assert interface is not None
    return interface


def _smallest(device: str) -> Callable[[], Any]:
    """The smallest kernel. (Filling with zeros may be no kernel but a memset.)"""
    x = torch.zeros(1, device=device)
    return lambda: x.add_(1)


def _sleep(cuda: Any, seconds: float) -> None:
    """About so long, or not at all: the fastest clock in use is 3 GHz."""
    if hasattr(cuda, "_sleep"):
        cuda._sleep(int(seconds * 2e9))


def _between(cuda: Any, work: Callable[[], Any]) -> float:
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    start.record()
    work()
    end.record()
    end.synchronize()
    return max(float(start.elapsed_time(end)) * 1e-3, 1e-9)


def _queued(cuda: Any, work: Callable[[], Any], repeats: int = 21) -> tuple[float, float]:
    """Median seconds on the device, the host being ahead, and on the host."""
    seconds, host = [], []
    for _ in range(repeats):
        _sleep(cuda, 2e-3)
        start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        start.record()
        begun = perf_counter()
        work()
        host.append(perf_counter() - begun)
        end.record()
        end.synchronize()
        seconds.append(float(start.elapsed_time(end)) * 1e-3)
    return median(seconds), median(host)


def _busy(device: str, seconds: float) -> None:
    a = torch.ones(2048, 2048, device=device)
    until = perf_counter() + seconds
    while perf_counter() < until:
        for _ in range(10):
            a @ a
        device_of(device).synchronize()
