"""A clock that runs beside the method it times, held against what can be seen from another process.

Two things a method may do to look faster than it is show there: reading less on its clock than went by, and doing
less in a loop of calls than in a single one. What other processes do can look like either, so that what is seen once is
no proof: it must be there in a second look, in samples that nothing disturbed. Pure arithmetic on samples; no clock, no
process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, median_low
from typing import NamedTuple

from ..facts.units import time
from .clocks import Reading

SHARE = 1.3
"""What goes by outside may exceed what the inner clock read by this factor: entering contexts, reading the clock."""

LOOP_S, ALONE_S = 1e-3, 3e-3
"""And by this much beside what an empty request took, for a loop and for a single call: code that had left the caches,
and the operands' copying. A busy machine showed 0.3 and 1.6 ms; waiting is not in it, as CPU seconds know none."""

BYTES_PER_S = 5e8
"""A result is copied at least so fast, into pages that may be new."""

SINGLE = 2.0
"""A single call on new values may take this many times as long as one in a loop: caches, and the branches in them."""

SINGLE_S = 5e-5
"""And by so much: the first call after a change of operands finds the code of the copy in the caches, not its own."""


AGAIN, ENOUGH = 12, 4
"""Single calls in a second look, and how many of them must be undisturbed to prove anything: where the lower quartile
of so many is too slow, one is."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One sample of `calls` calls: what the clock beside the method read, and what the request took, seen from outside.

    `anew`: on operands that no call had seen. `warm`: the request made one call more, which the clock did not read.
    `disturbed`: the process was taken off its core in between.
    """

    calls: int
    reading: Reading
    outer_s: float
    anew: bool = False
    warm: bool = False
    disturbed: bool = False

    @property
    def claimed_s(self) -> float:
        """What all calls of the request took if the reading is right."""
        return self.reading.spent_s + (self.reading.seconds if self.warm else 0.0)


class Doubt(NamedTuple):
    """What speaks against a method's times. `proved`: nothing that other processes do explains it."""

    reason: str
    proved: bool


def doubt(first: Sequence[Taken], again: Sequence[Taken], empty_s: float, result_bytes: int) -> Doubt | None:
    """What is left of a contradiction in the samples `first` after a second look, `again`; None for nothing.

    Of the second look's single calls those count that nothing disturbed, and are held against the slower of the two
    looks' loops. A method that takes much longer in the loops of the second look may have been found out, or the
    machine may have become slower.
    """
    calm = [one for one in again if not (one.anew and one.calls == 1 and one.disturbed)]
    loop, later = (median([one.reading.seconds for one in _loops(look)]) for look in (first, again))
    singles = len(_singles(calm))
    if singles < ENOUGH:
        disturbed = len(_singles(again)) - singles
        said = f"other processes had its core during {disturbed} of {len(_singles(again))} single calls on new values"
        return Doubt(said, proved=False)
    if (reason := contradiction(calm, empty_s, result_bytes, loop)) is not None:
        return Doubt(reason, proved=True)
    if later > SINGLE * loop:
        said = (
            f"a call in a loop of {first[-1].calls} took {time(loop)} at first and {time(later)} when looked at again"
        )
        return Doubt(said, proved=False)
    return None


def _loops(taken: Sequence[Taken]) -> list[Taken]:
    return [one for one in taken if one.calls == taken[-1].calls and not (one.anew and one.calls == 1)]


def _singles(taken: Sequence[Taken]) -> list[Taken]:
    return [one for one in taken if one.anew and one.calls == 1]


def contradiction(taken: Sequence[Taken], empty_s: float, result_bytes: int, loop_s: float = 0.0) -> str | None:
    """Why the readings cannot be believed, with both figures; None where they can.

    `taken` are the samples of one method in the order taken, `empty_s` what a request without calls takes. The
    samples that are as long as the last one count, and the single calls on operands that were new. A call in a loop is
    known to take up to `loop_s`.
    """
    if not taken:
        return None
    loops, singles = _loops(taken), _singles(taken)
    extra_s = empty_s + 2 * result_bytes / BYTES_PER_S
    for ones, fixed_s in ((loops, LOOP_S), (singles, ALONE_S)):
        if ones and median_low([one.outer_s - one.claimed_s * SHARE for one in ones]) > extra_s + fixed_s:
            claimed, seen = median([one.claimed_s for one in ones]), median([one.outer_s for one in ones])
            return (
                f"its clock cannot be right: {ones[0].calls} calls took {time(claimed)} by the clock in the method's "
                f"process and {time(seen)} as seen from outside"
            )
    if not loops or not singles:
        return None
    loop = max(loop_s, median([one.reading.seconds for one in loops]))
    # A single call has no parts of which the median would leave out what other processes had of the core; from outside
    # it took no more than the request without the call before it. On a busy core most single calls are disturbed, and
    # each that was not shows how fast new values can be computed: the lower quartile tells, not the median.
    took = sorted(min(one.reading.seconds, max(0.0, one.outer_s - loop * one.warm)) for one in singles)
    single = took[(len(took) - 1) // 4]
    if single > SINGLE * loop + SINGLE_S:
        return (
            f"a call on new values took {time(single)} and one in a loop of {loops[0].calls} {time(loop)}: "
            "what was timed is not what computes the gradient"
        )
    return None
