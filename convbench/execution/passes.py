"""Several passes over a sweep, each in a fresh process, so that an interval says what a process typically finds.

A pass measures every configuration once. After the first there is a row for each, and every further one makes its
interval that of one process more. A child is started for each pass, and not for each configuration.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ..facts.record import Record, record
from ..facts.spec import Spec
from .interrupt import Interrupt, Interrupted
from .measured import Measured
from .outcome import Observer


class Session(Protocol):
    """What runs a configuration and what keeps its rows."""

    interrupt: Interrupt

    def passes(self, spec: Spec) -> int: ...
    def taken(self, spec: Spec) -> int: ...
    def begin_pass(self) -> None: ...
    def add(self, position: int, spec: Spec, process: int) -> list[Record]: ...


def run_passes(session: Session, todo: Sequence[tuple[int, Spec]], observer: Observer) -> None:
    """Measures each of `todo` in as many processes as it lacks, or until the session is interrupted.

    First those that lack the most, so that all are soon in the same pass. One that begins anew, as nothing goes with
    what there is of it, catches up.
    """
    taken = {position: session.taken(spec) for position, spec in todo}
    last = max((session.passes(spec) for _, spec in todo), default=0)
    for _ in range(last * (last + 1)):  # and not for ever, where samples cannot be read back
        if not taken:
            return
        number = min(taken.values())
        due = [(position, spec) for position, spec in todo if taken.get(position) == number]
        if last > 1:
            session.begin_pass()
        observer.passing(number, last, len(due))
        for position, spec in in_order(due, number):
            if session.interrupt.signal is not None:
                return
            # Where it is there twice, the other one may have been measured meanwhile.
            if session.taken(spec) == number:
                observer.start(spec)
                try:
                    rows = session.add(position, spec, number)
                except Interrupted:
                    return
                observer.finish(spec, rows)
            taken[position] = session.taken(spec)
            if not taken[position]:  # it has all, or none of its methods is timed
                del taken[position]


def in_order(due: Sequence[tuple[int, Spec]], number: int) -> list[tuple[int, Spec]]:
    """The first pass in the sweep's order; each later one in an order of its own.

    What a configuration finds in its process (the allocator's free blocks, above all) is what those before it left, and
    would otherwise be the same in every pass.
    """
    return list(due) if number == 0 else random.Random(number).sample(due, len(due))


def joined(spec: Spec, earlier: Measured, now: Measured) -> Measured:
    """One result from those of several processes: accuracy of the first, samples of all, and what failed in any."""
    fresh = {row["method"]: row for row in now.found}
    found = []
    for old in earlier.found:
        new = fresh.get(old["method"], old)
        failed = new is not old and (new["status"] != "ok" or new.get("accuracy") == "fail")
        row = {**new, **spec.columns()} if failed else dict(old)
        if new is not old:
            row["elapsed_s"] = old.get("elapsed_s", 0.0) + new.get("elapsed_s", 0.0)
        found.append(record(row))
    return replace(now, found=found, samples=[*earlier.samples, *now.samples])


def elsewhere(earlier: Measured, now: Measured) -> bool:
    """Whether a process had another environment than those before it: one row must not be of two."""
    was, is_now = ({row["environment_id"] for row in m.found if "environment_id" in row} for m in (earlier, now))
    return bool(was and is_now and was != is_now)


def left_to_time(found: Sequence[Record]) -> list[str]:
    """Methods that a further process is to measure. One that failed, or is wrong and so not timed, is not given the
    others' time to be so again."""
    return [row["method"] for row in found if row["status"] == "ok" and row.get("accuracy") != "fail"]
