"""What the first touch of a page takes, measured: the kernel finds one, empties it and maps it."""

from __future__ import annotations

import ctypes
import mmap
from functools import cache
from time import perf_counter

from .cpu_clock import usage

PAGES = 256
"""Touched at a time: half a millisecond, within which others seldom take the core."""

GOES = 20
"""Of which the fastest counts, for the first touch and for the next. The first ones of a virtual machine's memory take
ten times as long: its host has to find the pages, too."""


@cache
def seconds() -> float | None:
    """Seconds for each page, without the write itself, measured once in a process; None where nobody counts faults."""
    goes = [_touched() for _ in range(GOES)]
    faults = min(go[0] for go in goes)
    return max(min(go[1] for go in goes) - min(go[2] for go in goes), 0.0) / faults if faults else None


def _touched() -> tuple[int, float, float]:
    """Faults of the first write to PAGES, and the seconds of that write and of the next one."""
    size = PAGES * mmap.PAGESIZE
    with mmap.mmap(-1, size) as memory:
        whole = (ctypes.c_char * size).from_buffer(memory)
        before, begun = usage().minor_faults, perf_counter()
        ctypes.memset(whole, 1, size)
        written = perf_counter()
        after, again = usage().minor_faults, perf_counter()
        ctypes.memset(whole, 1, size)
        ended = perf_counter()
        del whole
    return (after or 0) - (before or 0), written - begun, ended - again
