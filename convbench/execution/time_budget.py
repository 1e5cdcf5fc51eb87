"""A sweep within a time budget: everything is measured a little, then what is least certain a little more.

Each further visit to a configuration adds pairs to those it has; its rows are written anew after each, so that an
interrupted sweep keeps what it learned. Where it is to be measured in several processes, each of them has an equal
share of the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from ..facts.record import Record
from ..facts.spec import Spec
from ..facts.timed_as import CALL
from ..timing.allotment import FEWEST_PAIRS, Allotment, Visit
from ..timing.samples import Samples
from .interrupt import Interrupt, Interrupted
from .measured import Measured
from .outcome import Observer
from .passes import elsewhere, joined, left_to_time


class Session(Protocol):
    """What runs a configuration and what keeps its rows."""

    interrupt: Interrupt

    def passes(self, spec: Spec) -> int: ...
    def taken(self, spec: Spec) -> int: ...
    def begin_pass(self) -> None: ...
    def earlier(self, spec: Spec, processes: int) -> Measured | None: ...
    def visit(self, spec: Spec, process: int = 0, arms: Sequence[str] | None = None) -> Measured: ...
    def keep(self, position: int, spec: Spec, measured: Measured, left: int = 0) -> list[Record]: ...


SEEDS = 1000
"""Visits of one process that have an order of samples of their own, before they would have that of the next process."""


@dataclass(slots=True)
class _Cell:
    """One configuration: its place in the table, and what was found of it. `before` is what earlier processes found,
    `passes` the visits of the present one and `samples` those as one, by what was timed."""

    position: int
    spec: Spec
    before: Measured | None = None
    found: list[Record] = field(default_factory=list)
    passes: dict[str, list[Samples]] = field(default_factory=dict)
    samples: dict[str, Samples] = field(default_factory=dict)
    visits: int = 0
    process: int = 0

    @property
    def measured(self) -> Measured:
        """All processes so far, the present one included."""
        now = Measured(self.found, [replace(samples, process=self.process) for samples in self.samples.values()])
        return now if self.before is None else joined(self.spec, self.before, now)

    def next_process(self) -> None:
        """What was found counts as an earlier process's from here on."""
        self._go_on(self.measured, self.process + 1)

    def begin_anew(self) -> None:
        """What was found counts no more."""
        self._go_on(None, 0)

    def _go_on(self, before: Measured | None, process: int) -> None:
        self.before, self.process = before, process
        self.found, self.passes, self.samples, self.visits = [], {}, {}, 0

    @property
    def widest(self) -> float | None:
        """The largest half-width by any way of timing; None where something has no interval yet."""
        widths = [samples.widest(self.spec.baseline) for samples in self.samples.values()]
        known = [width for width in widths if width is not None]
        return max(known) if known and len(known) == len(widths) else None

    def add(self, samples: Samples) -> bool:
        """One pass more; whether it goes with those that are there, which had the same arms."""
        earlier = self.samples.get(samples.timed_as)
        if earlier is not None and set(earlier.arms) != set(samples.arms):
            return False
        # All of them anew: a median of medians would give the last pass half of the weight.
        passes = self.passes.setdefault(samples.timed_as, [])
        passes.append(samples)
        self.samples[samples.timed_as] = Samples.merge(passes)
        return True


def run_within(budget_s: float, session: Session, todo: Sequence[tuple[int, Spec]], observer: Observer) -> None:
    """Measures all of `todo` for the minimum of pairs, then the widest intervals until `budget_s` is spent; the same in
    each further process, with what is left of the time.

    Warns once where the minimum alone takes longer; it is measured all the same, in one process.
    """
    if not todo:
        return
    begun = time.monotonic()
    cells = [_begun(session, position, spec) for position, spec in todo]
    last = max(session.passes(cell.spec) for cell in cells)
    minimum_s = 0.0
    while left := [cell for cell in cells if cell.process < session.passes(cell.spec)]:
        number = min(cell.process for cell in left)
        due = [cell for cell in left if cell.process == number]
        share_s = (budget_s - (time.monotonic() - begun)) / (last - number)
        if share_s < minimum_s:
            _settle(session, left)
            return
        if last > 1:
            session.begin_pass()
        observer.passing(number, last, len(due))
        spent_s = _one_pass(share_s, session, due, observer)
        if session.interrupt.signal is not None or spent_s is None:
            return
        if minimum_s == 0.0 and spent_s > share_s:
            more = f" in one of {last} processes" if last > 1 else ""
            observer.warn(
                f"budget_s={budget_s:g} ran out before every configuration had its minimum{more}; "
                "the minimum is measured anyway",
                "give more time, fewer configurations, or measure=quick",
            )
        minimum_s = spent_s
        for cell in due:
            if not cell.samples or cell.process + 1 == session.passes(cell.spec):
                cell.process = last
            else:
                cell.next_process()


def _begun(session: Session, position: int, spec: Spec) -> _Cell:
    """A configuration with what earlier processes found of it."""
    taken = session.taken(spec)
    before = session.earlier(spec, taken) if taken else None
    return _Cell(position, spec, before, process=taken if before is not None else 0)


def _settle(session: Session, left: Sequence[_Cell]) -> None:
    """Writes the rows of these once more, as those of configurations that nothing more is measured of."""
    for cell in left:
        if cell.before is not None:
            session.keep(cell.position, cell.spec, cell.before)


def _one_pass(budget_s: float, session: Session, due: Sequence[_Cell], observer: Observer) -> float | None:
    """Measures all of `due` in one process; returns the seconds that the minimum took, None after an interruption."""
    begun, minimum_s = time.monotonic(), 0.0
    cells = dict(enumerate(due))
    allotment = Allotment(budget_s, max(cell.spec.measure.looks[0] for cell in due), cells)
    while visit := allotment.next(time.monotonic() - begun):
        cell = cells[visit.key]
        if session.interrupt.signal is not None:
            return None
        observer.start(cell.spec)
        first = cell.visits == 0
        started = time.monotonic()
        try:
            gain, rows = _visit(session, cell, visit)
        except Interrupted:
            return None
        visit_s = time.monotonic() - started - gain.once_s
        allotment.report(visit, gain.pairs, cell.widest, gain.sampling_s, visit_s)
        if first:
            minimum_s = time.monotonic() - begun
            observer.finish(cell.spec, rows)
    return minimum_s


class _Gain(NamedTuple):
    """What a visit brought: its pairs, how long their sampling took, and what no further visit will take again."""

    pairs: int
    sampling_s: float
    once_s: float


def _visit(session: Session, cell: _Cell, visit: Visit[int]) -> tuple[_Gain, list[Record]]:
    """Adds one visit's pairs to the cell and keeps its rows, which it returns as well."""
    measured = _measured(session, cell, visit)
    if cell.before is not None and elsewhere(cell.before, measured):
        told = measured.environments  # a child tells each environment once
        cell.begin_anew()
        measured = _measured(session, cell, visit)
        measured.environments = {**told, **measured.environments}
    cell.visits += 1
    added = [samples for samples in measured.samples if cell.add(samples)]
    cell.found = _found(cell, measured.found)
    left = session.passes(cell.spec) - cell.process - 1 if cell.samples else 0
    rows = session.keep(cell.position, cell.spec, replace(measured, **_whole(cell)), left)
    pairs = next((samples.rounds for samples in added if samples.timed_as == CALL), 0)
    sampling_s = math.fsum(float(samples.counters.get("sampling_s", samples.measured_s)) for samples in added)
    return _Gain(pairs, sampling_s if pairs else 0.0, measured.once_s), rows


def _measured(session: Session, cell: _Cell, visit: Visit[int]) -> Measured:
    """What one visit finds."""
    spec, first = cell.spec, cell.visits == 0
    changes: dict[str, Any] = {
        "looks": (max(visit.pairs, FEWEST_PAIRS),),
        "min_time_s": 0.0,
        "max_time_s": spec.measure.max_time_s if first else visit.most_s,
        "memory": first and spec.measure.memory,
        "kernels": first and spec.measure.kernels,
    }
    changed = replace(spec, measure=replace(spec.measure, **changes))
    arms = None if cell.before is None else left_to_time(cell.before.found)
    return session.visit(changed, cell.process * SEEDS + cell.visits, arms)


def _whole(cell: _Cell) -> dict[str, Any]:
    whole = cell.measured
    return {"found": whole.found, "samples": whole.samples}


def _found(cell: _Cell, fresh: Sequence[Record]) -> list[Record]:
    """Accuracy and memory of the first visit; a method that failed in this visit has failed."""
    found = []
    for old, new in zip(cell.found or fresh, fresh, strict=True):
        failed = new["status"] != "ok" or new.get("accuracy") == "fail"
        elapsed_s = new.get("elapsed_s", 0.0) + (old.get("elapsed_s", 0.0) if old is not new else 0.0)
        found.append({**(new if failed else old), "run_key": cell.spec.run_key, "elapsed_s": elapsed_s})
    return found
