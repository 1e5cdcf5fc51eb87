"""A sweep within a time budget: everything is measured a little, then what is least certain a little more.

Each further visit to a configuration adds pairs to those it has; its rows are written anew after each, so that an
interrupted sweep keeps what it learned.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from ..facts.rates import Work
from ..facts.record import Record, record
from ..facts.spec import Spec
from ..timing.allotment import FEWEST_PAIRS, Allotment, Visit
from ..timing.figures import figures
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
    records: list[Record] = field(default_factory=list)
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
            gain = _visit(session, cell, visit)
        except Interrupted:
            return
        width = cell.samples.widest(cell.spec.baseline) if cell.samples is not None else None
        visit_s = time.monotonic() - started - gain.once_s
        allotment.report(visit, gain.pairs, width, gain.sampling_s, visit_s)
        if first:
            observer.finish(cell.spec, cell.records)
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


def _visit(session: Session, cell: _Cell, visit: Visit[int]) -> _Gain:
    """Adds one visit's pairs to the cell and keeps its rows."""
    spec, first = cell.spec, cell.visits == 0
    changes: dict[str, Any] = {
        "looks": (max(visit.pairs, FEWEST_PAIRS),),
        "min_time_s": 0.0,
        "max_time_s": spec.measure.max_time_s if first else visit.most_s,
        "samples": True,
        "memory": first and spec.measure.memory,
    }
    measured = session.visit(replace(spec, measure=replace(spec.measure, **changes)), cell.visits)
    cell.visits += 1
    fresh = [Samples.from_dict(samples) for samples in measured.samples]
    added = fresh[0] if fresh and (cell.samples is None or set(fresh[0].arms) == set(cell.samples.arms)) else None
    if added is not None:
        # All of them anew: a median of medians would give the last pass half of the weight.
        cell.passes.append(added)
        cell.samples = Samples.merge(cell.passes)
    cell.records = _rows(cell, measured.records)
    kept = [] if cell.samples is None else [cell.samples.to_dict()]
    session.keep(cell.position, spec, Measured(cell.records, kept, measured.environments))
    if added is None:
        return _Gain(0, 0.0, measured.once_s)
    return _Gain(added.rounds, float(added.counters.get("sampling_s", added.measured_s)), measured.once_s)


def _rows(cell: _Cell, fresh: Sequence[Record]) -> list[Record]:
    """Accuracy and memory of the first visit, speed from all; a method that failed in this visit has failed."""
    rows = []
    for old, new in zip(cell.records or fresh, fresh, strict=True):
        failed = new["status"] != "ok" or new.get("accuracy") == "fail"
        row = {**(new if failed else old), "run_key": cell.spec.run_key}
        row["elapsed_s"] = new.get("elapsed_s", 0.0) + (old.get("elapsed_s", 0.0) if old is not new else 0.0)
        right = row["status"] == "ok" and row.get("accuracy") != "fail"
        if right and cell.samples is not None and row["method"] in cell.samples.arms:
            spec = cell.spec
            row.update(figures([cell.samples], row["method"], spec.baseline, spec.measure, Work.of_row(row)))
        rows.append(record(row))
    return rows
