"""A sweep within a time budget: everything is measured a little, then what is least certain a little more.

Each further visit to a configuration adds pairs to those it has; its rows are written anew after each, so that an
interrupted sweep keeps what it learned.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from ..facts.record import Record
from ..facts.spec import Spec
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
    """One configuration: its place in the table, and what its visits brought; `samples` are its `passes` as one."""

    position: int
    spec: Spec
    found: list[Record] = field(default_factory=list)
    passes: list[Samples] = field(default_factory=list)
    samples: Samples | None = None
    visits: int = 0


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
        width = cell.samples.widest(cell.spec.baseline) if cell.samples is not None else None
        visit_s = time.monotonic() - started - gain.once_s
        allotment.report(visit, gain.pairs, width, gain.sampling_s, visit_s)
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
    added = measured.samples[0] if measured.samples else None
    if added is not None and cell.samples is not None and set(added.arms) != set(cell.samples.arms):
        added = None
    if added is not None:
        # All of them anew: a median of medians would give the last pass half of the weight.
        cell.passes.append(added)
        cell.samples = Samples.merge(cell.passes)
    cell.found = _found(cell, measured.found)
    kept = [] if cell.samples is None else [cell.samples]
    rows = session.keep(cell.position, spec, replace(measured, found=cell.found, samples=kept))
    if added is None:
        return _Gain(0, 0.0, measured.once_s), rows
    return _Gain(added.rounds, float(added.counters.get("sampling_s", added.measured_s)), measured.once_s), rows


def _found(cell: _Cell, fresh: Sequence[Record]) -> list[Record]:
    """Accuracy and memory of the first visit; a method that failed in this visit has failed."""
    found = []
    for old, new in zip(cell.found or fresh, fresh, strict=True):
        failed = new["status"] != "ok" or new.get("accuracy") == "fail"
        elapsed_s = new.get("elapsed_s", 0.0) + (old.get("elapsed_s", 0.0) if old is not new else 0.0)
        found.append({**(new if failed else old), "run_key": cell.spec.run_key, "elapsed_s": elapsed_s})
    return found
