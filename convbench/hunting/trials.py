"""Runs points: each is a row of the run's tables, and none is run again that a run before this one has measured."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..execution.culprits import ELSEWHERE
from ..execution.interrupt import Interrupted
from ..execution.measured import Measured
from ..facts.record import FAILED, Record
from ..facts.spec import Spec
from ..results.unmerged import read_from
from .objective import Objective
from .point import Asked, Point, environment_of

AGAIN = 3
"""How often a point is run in the process of the others where crashes are hunted for: damage shows late."""
ALONE = 12
"""How often a point is run in a process of its own before it is held to be well."""
SUSPECTS = 32
"""Points before a death that are looked at where the one that died is well by itself."""


class Stopped(Exception):
    """Nothing more is to be tried: a signal came, or the time is up."""


class Session(Protocol):
    """What runs configurations and keeps their rows (execution/execute.py)."""

    def settled(self, spec: Spec) -> bool: ...
    def visit(self, spec: Spec, process: int = 0) -> Measured: ...
    def afresh(self, specs: Sequence[Spec], times: int) -> tuple[int, Measured]: ...
    def keep(self, position: int, spec: Spec, measured: Measured) -> list[Record]: ...
    def restart(self) -> None: ...


@dataclass
class Trials:
    """`known` are the rows of runs before, by the names of their configurations; `stop` raises Stopped when nothing
    more is to be run. `count` are the points that were run or found among those; `suspects` what had run in the process
    that died last, the last one itself included."""

    session: Session
    objective: Objective
    stop: Any
    known: dict[str, list[Record]]
    count: int = 0
    reused: int = 0
    unmeasured: int = 0
    suspects: list[Spec] = field(default_factory=list)
    _variables: dict[str, str | None] = field(default_factory=dict)
    _before: list[Spec] = field(default_factory=list)

    def tried(self, asked: Asked, point: Point, kind: str) -> list[Record]:
        """The rows of a point, run in the process that others ran in."""
        spec = asked.spec(point, kind)
        rows = self._reused(spec)
        if rows is None:
            self._surround(point)
            rows = self._run(spec)
        failed = [row for row in rows if row["status"] in FAILED]
        self.unmeasured += bool(failed)
        self._before.append(spec)
        if failed or any(died_elsewhere(row) for row in rows):
            self._before, died_after = [], self._before
            self.suspects = died_after[-SUSPECTS:]
        return rows

    def _run(self, spec: Spec) -> list[Record]:
        measured = Measured([])
        for _ in range(AGAIN if self.objective.name == "crash" else 1):
            measured = self._visited(spec)
            if any(row["status"] in FAILED or died_elsewhere(row) for row in measured.found):
                break
        return self._kept(spec, measured)

    def alone(self, asked: Asked, point: Point, kind: str, **settings: Any) -> list[Record]:
        """The rows of a point in a fresh process that does nothing else, again and again unless it is timed."""
        spec = asked.spec(point, kind, **settings)
        rows = self._reused(spec)
        if rows is not None:
            return rows
        self._surround(point)
        times = 1 if self.objective.timed else ALONE
        return self._kept(spec, self._guarded(lambda: self.session.afresh([spec], times))[1])

    def culprit(self, specs: Sequence[Spec]) -> Spec | None:
        """Which of these configurations ends a fresh process in which it runs over and over; None where none does.

        Halves are tried, the later one first, so that it takes a dozen processes at most.
        """
        while len(specs) > 1:
            middle = len(specs) // 2
            found = next((half for half in (specs[middle:], specs[:middle]) if self._deadly(half)), None)
            if found is None:
                return None
            specs = found
            if len(specs) == 1:
                return specs[0]
        return specs[0] if specs and self._deadly(specs) else None

    def _deadly(self, specs: Sequence[Spec]) -> bool:
        self.stop()
        _, measured = self._guarded(lambda: self.session.afresh(specs, ALONE))
        return any(row["status"] in FAILED for row in measured.found)

    def _reused(self, spec: Spec) -> list[Record] | None:
        """The rows that are there already; counts the point, and raises Stopped where none may be run any more."""
        self.stop()
        self.count += 1
        rows = self.known.get(spec.key.unit) if self.session.settled(spec) else None
        self.reused += rows is not None
        return rows

    def _visited(self, spec: Spec) -> Measured:
        measured: Measured = self._guarded(lambda: self.session.visit(spec))
        return measured

    def _guarded(self, act: Any) -> Any:
        try:
            return act()
        except Interrupted:
            raise Stopped from None

    def _kept(self, spec: Spec, measured: Measured) -> list[Record]:
        rows = self.session.keep(self.count, spec, measured)
        self.known[spec.key.unit] = rows
        return rows

    def _surround(self, point: Point) -> None:
        """Gives the processes to come the variables of a point; those of before end where they had others."""
        wanted = environment_of(point)
        if wanted == self._variables:
            return
        for name, value in wanted.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._variables, self._before = wanted, []
        self.session.restart()


def died_elsewhere(row: Mapping[str, Any]) -> bool:
    """Whether a process died in a method that is well by itself."""
    return str(row.get("reason") or "").startswith(ELSEWHERE)


def rows_of(out: Path) -> dict[str, list[Record]]:
    """What a folder's runs have measured, by the names of the configurations."""
    import pyarrow.parquet

    from ..facts.configuration_key import ConfigurationKey

    place = read_from(out) / "results.parquet"
    found: dict[str, list[Record]] = {}
    if place.is_file():
        for row in pyarrow.parquet.read_table(place).to_pylist():
            known = {key: value for key, value in row.items() if value is not None}
            found.setdefault(ConfigurationKey.of(known).unit, []).append(known)
    return found


@contextmanager
def kept_environment() -> Iterator[None]:
    """Gives this process its environment variables back afterwards."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
