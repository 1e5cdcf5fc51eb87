"""The host's processor."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import perf_counter, process_time
from typing import Any

from ..facts.measure import Measure
from ..timing import page_faults
from ..timing.clocks import Clock
from ..timing.cpu_clock import CpuClock, last_level_cache_bytes
from .device import REPEATS, Device, Underneath, Work


class Cpu(Device):
    # The matrices are 48 MiB in float32 at most, all three together. Of a comparison's dozen float64 temporaries,
    # 512 KiB each stay in the caches and within the allocator's reach: blocks of 2²² elements took eight times as long,
    # most of it for pages mapped anew. The canary is the notebook's input gradient as a convolution, some 20 µs.
    work = Work(
        products=(256, 512, 1024, 2048),
        long_enough_s=0.02,
        copy_bytes=2**27,
        block=2**16,
        canary=(1, 1, 25, 4, 9),
        canary_s=0.0,
        shapes=(
            (1, 4, 8, 4, 3),
            (1, 8, 16, 8, 3),
            (1, 16, 16, 16, 3),
            (1, 16, 28, 32, 3),
            (2, 32, 28, 32, 3),
            (4, 32, 28, 32, 3),
            (4, 32, 28, 64, 3),
            (8, 32, 28, 64, 3),
        ),
    )
    is_host = True
    activity = "CPU"

    def missing(self) -> str | None:
        return None

    def synchronize(self) -> None:
        pass

    def cache_bytes(self) -> float:
        return last_level_cache_bytes()

    def fault_s(self) -> float | None:
        return page_faults.seconds()

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        """By the running sum of torch's allocations and frees, so without a library's private scratch memory. None
        where torch was built without its profiler."""
        import torch

        if not torch.profiler.kineto_available():
            return None
        with torch.autograd.profiler.profile(profile_memory=True) as profile:
            result = call()
        del result
        events = [e for e in profile.kineto_results.events() if e.name() == "[memory]"]
        held = peak = 0
        for event in sorted(events, key=lambda e: e.start_ns()):
            held += event.nbytes()
            peak = max(peak, held)
        return peak

    def kernels(self, call: Callable[[], Any]) -> Underneath | None:
        from .kernels import operations

        names = operations(call)
        return None if names is None else Underneath(names)

    def marked(self, name: str) -> AbstractContextManager[float]:
        from .marks import on_cpu

        return on_cpu(name)

    def clock(self, measure: Measure) -> Clock:
        return CpuClock(self.name, measure)

    def fastest(self, call: Callable[[], Any]) -> float:
        """On a busy machine a product longer than a time slice is interrupted every time, where a method's call is
        not: CPU seconds of all threads count where they are fewer."""
        import torch

        call()
        best, threads = math.inf, torch.get_num_threads()
        for _ in range(REPEATS):
            start, start_cpu = perf_counter(), process_time()
            call()
            seconds = perf_counter() - start
            best = min(best, seconds, max((process_time() - start_cpu) / threads, 1e-9))
        return best
