"""A sweep within a time budget: everything is measured a little, then what is least certain a little more.

Each further visit to a configuration adds pairs to those it has; its rows are written anew after each, so that an
interrupted sweep keeps what it learned.
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
from .outcome import Observer
from .worker import Measured, check_budget


class Session(Protocol):
    """What runs a configuration and what keeps its rows."""

    interrupt: Interrupt

    def visit(self, spec: Spec, process: int = 0) -> Measured: ...
    def keep(self, position: int, spec: Spec, measured: Measured) -> list[Record]: ...


@dataclass(slots=True)
class _Cell:
    """One configuration: its place in the table, and what its visits brought; `samples` are its `passes` as
    one, by what was timed."""

    position: int
    spec: Spec
    found: list[Record] = field(default_factory=list)
    passes: dict[str, list[Samples]] = field(default_factory=dict)
    samples: dict[str, Samples] = field(default_factory=dict)
    visits: int = 0

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
    """Measures all of `todo` for the minimum of pairs, then the widest intervals until `budget_s` is spent.

    Warns once where the minimum alone takes longer; it is measured all the same. Raises InvalidValue for
    configurations that repeat their pairs in fresh processes: those have no single series of pairs that could
    be continued.
    """
    if not todo:
        return
    for _, spec in todo:
        check_budget(budget_s, spec)
    begun, warned = time.monotonic(), False
    cells = {n: _Cell(position, spec) for n, (position, spec) in enumerate(todo)}
    allotment = Allotment(budget_s, max(spec.measure.looks[0] for _, spec in todo), cells)
    while visit := allotment.next(time.monotonic() - begun):
        cell = cells[visit.key]
        if session.interrupt.signal is not None:
            return
        observer.start(cell.spec)
        first = cell.visits == 0
        started = time.monotonic()
        try:
            gain, rows = _visit(session, cell, visit)
        except Interrupted:
            return
        visit_s = time.monotonic() - started - gain.once_s
        allotment.report(visit, gain.pairs, cell.widest, gain.sampling_s, visit_s)
        if first:
            observer.finish(cell.spec, rows)
        if first and not warned and time.monotonic() - begun > budget_s:
            warned = True
            observer.warn(
                f"budget_s={budget_s:g} ran out before every configuration had its minimum; "
                "the minimum is measured anyway",
                "give more time, fewer configurations, or measure=quick",
            )


class _Gain(NamedTuple):
    """What a visit brought: its pairs, how long their sampling took, and what no further visit will take again."""

    pairs: int
    sampling_s: float
    once_s: float


def _visit(session: Session, cell: _Cell, visit: Visit[int]) -> tuple[_Gain, list[Record]]:
    """Adds one visit's pairs to the cell and keeps its rows, which it returns as well."""
    spec, first = cell.spec, cell.visits == 0
    changes: dict[str, Any] = {
        "looks": (max(visit.pairs, FEWEST_PAIRS),),
        "min_time_s": 0.0,
        "max_time_s": spec.measure.max_time_s if first else visit.most_s,
        "memory": first and spec.measure.memory,
        "kernels": first and spec.measure.kernels,
    }
    measured = session.visit(replace(spec, measure=replace(spec.measure, **changes)), cell.visits)
    cell.visits += 1
    added = [samples for samples in measured.samples if cell.add(samples)]
    cell.found = _found(cell, measured.found)
    kept = list(cell.samples.values())
    rows = session.keep(cell.position, spec, replace(measured, found=cell.found, samples=kept))
    pairs = next((samples.rounds for samples in added if samples.timed_as == CALL), 0)
    sampling_s = math.fsum(float(samples.counters.get("sampling_s", samples.measured_s)) for samples in added)
    return _Gain(pairs, sampling_s if pairs else 0.0, measured.once_s), rows


def _found(cell: _Cell, fresh: Sequence[Record]) -> list[Record]:
    """Accuracy and memory of the first visit; a method that failed in this visit has failed."""
    found = []
    for old, new in zip(cell.found or fresh, fresh, strict=True):
        failed = new["status"] != "ok" or new.get("accuracy") == "fail"
        elapsed_s = new.get("elapsed_s", 0.0) + (old.get("elapsed_s", 0.0) if old is not new else 0.0)
        found.append({**(new if failed else old), "run_key": cell.spec.run_key, "elapsed_s": elapsed_s})
    return found
