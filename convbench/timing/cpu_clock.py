"""Wall time on the host, which on a CPU is the device."""

from __future__ import annotations

import ctypes
from itertools import repeat
from pathlib import Path
from statistics import median
from time import perf_counter_ns, process_time_ns
from typing import Any, NamedTuple

from ..facts.measure import Measure
from . import sample_size
from .clocks import Call, HostClock, HostTimes, Reading, Take
from .yardstick import Yardstick

PARTS = sample_size.PARTS
"""Parts of a sample until somebody says otherwise, as rounds.py does: see sample_size.py."""


PATIENCE = 20
"""A sample ends with the part in which it has taken so many times as long as samples should. With more threads than
idle cores a call can take a thousand times as long as the fastest one, which decided how many calls a sample holds."""


class CpuClock(HostClock):
    """Wall time of the calling thread by the monotonic performance counter; nothing is subtracted for the clock.

    With cold caches every call has its own reading, after a buffer of twice the last-level cache was written.
    """

    def __init__(self, device: str, measure: Measure) -> None:
        super().__init__()
        self.parts = PARTS
        self.sample_s = measure.sample_s
        self.warmup_s = measure.warmup_s
        self.cold = measure.cache == "cold"
        # A cold call costs a flush of some milliseconds outside the timed region: few of them per sample, and fewer
        # than there are parts.
        self.max_calls = 3 if self.cold else 10**9
        self._flush = (ctypes.c_char * (2 * last_level_cache_bytes()))() if self.cold else None
        self._preempted = usage().switches
        self._yardstick = Yardstick()

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        before = usage()
        read = self._read(call, calls, take)
        after = usage()
        self._readings.append(
            Reading(
                median([part.wall_s / part.calls for part in read]),
                sum(part.wall_s for part in read),
                cpu_s=sum(part.cpu_s for part in read),
                call_cpu_s=median([part.cpu_s / part.calls for part in read]),
                switches=_grown(before.switches, after.switches),
                minor_faults=_grown(before.minor_faults, after.minor_faults),
                major_faults=_grown(before.major_faults, after.major_faults),
                calls=sum(part.calls for part in read),
            )
        )

    def _read(self, call: Call, calls: int, take: Take | None) -> list[Part]:
        """Every part of a sample; the last one alone where PATIENCE has run out and its result is to be taken."""
        parts = max(1, min(calls, self.parts))
        *sizes, last = (calls // parts + (part < calls % parts) for part in range(parts))
        read: list[Part] = []
        for size in sizes:
            read.append(self._part(call, size))
            if sum(part.wall_s for part in read) > PATIENCE * self.sample_s:
                break
        if take is not None:
            read.append(self._taken(call, last, take))
        elif len(read) == len(sizes):
            read.append(self._part(call, last))
        return read

    def _part(self, call: Call, calls: int) -> Part:
        self._empty_caches()
        # The CPU's clock outside of the wall's: reading it is a call of the system.
        begun, start = process_time_ns(), perf_counter_ns()
        for _ in repeat(None, calls):
            call()
        wall = perf_counter_ns() - start
        return Part(calls, wall * 1e-9, (process_time_ns() - begun) * 1e-9)

    def _taken(self, call: Call, calls: int, take: Take) -> Part:
        """A part whose last result is handed on; giving its memory back is timed, as it is in every other call."""
        self._empty_caches()
        begun, start = process_time_ns(), perf_counter_ns()
        for _ in repeat(None, calls - 1):
            call()
        last = call()
        returned, used = perf_counter_ns(), process_time_ns()
        take(last)
        resumed, again = process_time_ns(), perf_counter_ns()
        del last
        wall = returned - start + perf_counter_ns() - again
        return Part(calls, wall * 1e-9, (used - begun + process_time_ns() - resumed) * 1e-9)

    def _empty_caches(self) -> None:
        if self._flush is not None:
            ctypes.memset(self._flush, 0, len(self._flush))

    def gauge(self) -> None:
        self._yardstick.sample()

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        return None

    def conditions(self) -> dict[str, Any]:
        """`preempted`: involuntary context switches of this process since the clock was made, which say how much to
        expect of the machine; None where the system does not tell. `control_s`: see yardstick.py."""
        return {
            "cache": "cold" if self.cold else "hot",
            "cuda_graph": False,
            "control_s": self._yardstick.time_s,
            "preempted": _grown(self._preempted, usage().switches),
        }


def last_level_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Size of the first core's largest cache as Linux reports it; 64 MiB where it does not, larger than most."""
    sizes = []
    for file in folder.glob("index*/size"):
        text = file.read_text().strip()
        unit = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KMG")) * unit)
    return max(sizes, default=64 * 2**20)


class Part(NamedTuple):
    """A part of a sample: its calls, and the seconds that they took together."""

    calls: int
    wall_s: float
    cpu_s: float


class Usage(NamedTuple):
    """What the system counts of this process, all threads together; None where it does not tell."""

    switches: int | None = None
    minor_faults: int | None = None
    major_faults: int | None = None


def usage() -> Usage:
    """Involuntary context switches and page faults since the process began."""
    try:
        import resource
    except ImportError:  # Windows has no such module
        return Usage()
    told = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(told.ru_nivcsw, told.ru_minflt, told.ru_majflt)


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
