"""How many calls a sample holds, and in how many parts it is read: alike for arms of any length.

A part that is shorter than a time slice mostly runs uninterrupted on a busy core, and one that is longer never does.
The median of short parts therefore leaves out what other processes take, and a long call cannot. Two arms are disturbed
alike only where their parts are equally long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

PARTS = 21
"""Parts of a sample of short calls. Of 10 ms they are half a millisecond each, a sixth of the shortest time slice that
Linux gives, so that most run uninterrupted even when two processes share the core: at 2.5 processes per core the
medians of A/A pairs were off by 0.2% with parts and by 6% without. It also leaves out the first calls after the change
of arms, which took up to twice as long."""

FEWEST_CALLS = 3
"""Calls in a sample at least, where a sample holds more than one: a median of three leaves out the first call after
the change of arms."""

LONGEST_PART_S = 0.1
"""Parts are not made longer than this for the sake of a longer call: some thirty time slices, in which a core's other
processes have had their turns several times over; a second of a short method's calls for each of a slow one's would
leave no time for pairs."""


MOSTLY_WAITING = 20
"""A call that seems to take so many times its CPU time also waits for something of its own."""


def undisturbed(seconds: float, cpu_s: float | None, switches: int | None) -> float:
    """Seconds per call, without what others took of the core where the system says that they did (Reading's fields).

    Of a long call every one may be interrupted while the samples' lengths are found, and of short ones some never are.
    """
    if not switches or cpu_s is None:
        return seconds
    return min(seconds, max(cpu_s, seconds / MOSTLY_WAITING))


class Size(NamedTuple):
    """Of one arm's samples: calls, in so many parts."""

    calls: int
    parts: int


def alone(seconds: float, sample_s: float, max_calls: int) -> int:
    """Calls of `seconds` each that make at least `sample_s`; one where a call is longer."""
    if seconds >= sample_s:
        return 1
    enough = math.ceil(sample_s / seconds) if seconds > 0 else max_calls
    return min(max(enough, FEWEST_CALLS), max_calls)


def alike(seconds: Sequence[float], sample_s: float, max_calls: int) -> list[Size]:
    """Sizes of the samples of arms whose calls take `seconds`, all in as many parts of about the same length.

    A part is as long as the longest call, or the PARTSth part of `sample_s` where all calls are shorter, and at most
    LONGEST_PART_S. An arm whose single call is longer than a part has one call in each. Parts are of an odd number: the
    median is then one of them.
    """
    part_s = min(max(sample_s / PARTS, *seconds), LONGEST_PART_S)
    parts = 1 if part_s >= sample_s else max(FEWEST_CALLS, math.ceil(sample_s / part_s - 1e-9))
    parts = min(parts if parts % 2 else parts + 1, max_calls)
    return [
        Size(parts * max(1, min(round(part_s / t) if t > 0 else max_calls, max_calls // parts)), parts) for t in seconds
    ]
