"""Wall time on the host, which on a CPU is the device."""

from __future__ import annotations

import ctypes
from itertools import repeat
from pathlib import Path
from statistics import median
from time import perf_counter, perf_counter_ns, process_time
from typing import Any

from ..facts.spec import Measure
from .clocks import Call, HostClock, HostTimes, Reading, Take

PARTS = 21
"""Parts of a sample on a CPU, each with its own reading; the sample's time is that of the median part. Of 10 ms they
are half a millisecond each, a sixth of the shortest time slice that Linux gives, so that most run uninterrupted even
when two processes share the core: at 2.5 processes per core the medians of A/A pairs were off by 0.2% with parts and
by 6% without. It also leaves out the first calls after the change of arms, which took up to twice as long."""


class CpuClock(HostClock):
    """Wall time of the calling thread by the monotonic performance counter; nothing is subtracted for the clock.

    With cold caches every call has its own reading, after a buffer of twice the last-level cache was written.
    """

    def __init__(self, device: str, measure: Measure) -> None:
        super().__init__()
        self.sample_s = measure.sample_s
        self.warmup_s = measure.warmup_s
        self.cold = measure.cache == "cold"
        # A cold call costs a flush of some milliseconds outside the timed region: few of them per sample, and fewer
        # than there are parts.
        self.max_calls = 3 if self.cold else 10**9
        self._flush = (ctypes.c_char * (2 * last_level_cache_bytes()))() if self.cold else None
        self._preempted = _involuntary_switches()

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        parts = min(calls, PARTS)
        sizes = [calls // parts + (part < calls % parts) for part in range(parts)]
        begun_cpu, begun = process_time(), perf_counter()
        spent = [self._part(call, size) for size in sizes[:-1]]
        spent.append(self._part(call, sizes[-1]) if take is None else self._taken(call, sizes[-1], take))
        per_call = median([seconds / size for seconds, size in zip(spent, sizes, strict=True)])
        cpus = (process_time() - begun_cpu) / (perf_counter() - begun)
        self._readings.append(Reading(per_call, sum(spent), cpu_s=cpus * sum(spent)))

    def _part(self, call: Call, calls: int) -> float:
        if self._flush is not None:
            ctypes.memset(self._flush, 0, len(self._flush))
        start = perf_counter_ns()
        for _ in repeat(None, calls):
            call()
        return (perf_counter_ns() - start) * 1e-9

    def _taken(self, call: Call, calls: int, take: Take) -> float:
        """A part whose last result is handed on; giving its memory back is timed, as it is in every other call."""
        if self._flush is not None:
            ctypes.memset(self._flush, 0, len(self._flush))
        start = perf_counter_ns()
        for _ in repeat(None, calls - 1):
            call()
        last = call()
        returned = perf_counter_ns()
        take(last)
        again = perf_counter_ns()
        del last
        return (returned - start + perf_counter_ns() - again) * 1e-9

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        return None

    def conditions(self) -> dict[str, Any]:
        """`preempted`: involuntary context switches of this process since the clock was made, which say how much to
        expect of the machine; None where the system does not tell."""
        before, now = self._preempted, _involuntary_switches()
        return {
            "cache": "cold" if self.cold else "hot",
            "cuda_graph": False,
            "preempted": None if before is None or now is None else now - before,
        }


def last_level_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Size of the first core's largest cache as Linux reports it; 64 MiB where it does not, larger than most."""
    sizes = []
    for file in folder.glob("index*/size"):
        text = file.read_text().strip()
        unit = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KMG")) * unit)
    return max(sizes, default=64 * 2**20)


def _involuntary_switches() -> int | None:
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
