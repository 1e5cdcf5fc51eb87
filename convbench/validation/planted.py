"""What `validate` measures of calls that are not alike: one against counted many, and one beside what empties caches.

Each trial takes another kernel and another count, so that neither is the short one alone that everything else is of.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from itertools import repeat
from typing import NamedTuple

from ..timing.clocks import Call
from ..timing.cpu_clock import last_level_cache_bytes


class Plan(NamedTuple):
    """A call of at least `call_s` seconds, and how many of them another arm's call makes."""

    call_s: float
    k: int


PLANS = (Plan(2e-4, 4), Plan(3e-3, 4), Plan(2e-4, 32), Plan(1e-3, 32))
"""From what fits into a part of a sample to what many time slices of a busy core do not hold."""

LOOKS = 2
"""Of those that `measure` has: whether an interval holds a counted ratio needs no narrow one."""

BESIDE_TRIES, BESIDE_PAIRS = 2, 10
"""Beside what empties the caches, which takes tens of milliseconds a call: in each process's first tries."""

LARGEST_BATCH = 2**14


def lengthened(make: Callable[[int], Call], call_s: float) -> Call:
    """The call on the host for the smallest doubled batch with which it takes `call_s` of CPU time."""
    batch = 1
    while True:
        call = make(batch)
        if batch >= LARGEST_BATCH or min(_seconds(call) for _ in repeat(None, 3)) >= call_s:
            return call
        batch *= 2


def _seconds(call: Call) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def times(call: Call, k: int) -> Call:
    """A call that makes `k` of them; of one in the same way, so that what the loop takes is in both.

    No result is kept: beside one that lives, the next call gets other memory, and of some megabytes that is touched
    anew. Four such calls took 1.6 times as long.
    """

    def several() -> None:
        for _ in repeat(None, k):
            call()

    return several


def emptying() -> Call:
    """Writes twice what the host's last-level cache holds, as a large method's call does to its rivals."""
    buffer = (ctypes.c_char * (2 * last_level_cache_bytes()))()
    return lambda: ctypes.memset(buffer, 1, len(buffer))
