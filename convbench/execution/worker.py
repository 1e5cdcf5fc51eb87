"""Runs configurations in a child process that may die, hang or run out of memory without taking the sweep along.

A child lives from one configuration to the next. When it dies or is late, what it was executing gets a row that
says so, and the configuration's other methods are run in a fresh child.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from .._version import __version__
from ..facts.record import FAILED, Record, record
from ..facts.spec import Spec, Switches
from ..failures.kept import FOLDER, Told, keep, reproducer
from ..timing.samples import Samples
from . import culprits
from .child import Death, Request
from .children import ATTEMPTS, Children
from .interrupt import Interrupt, Interrupted
from .measured import Ceilings, Measured
from .stage import IDLE


class Isolated:
    """Runs configurations in child processes. Raises Interrupted, and InvalidValue where no child can be started."""

    apart = True

    def __init__(self, memory_limit: int | None, interrupt: Interrupt, out: Path | None = None) -> None:
        self._children = Children(memory_limit, interrupt)
        self._failures = None if out is None else out / FOLDER
        self.used = False
        self._environments: dict[tuple[str, Switches], str] = {}
        self._ceilings = Ceilings()

    def run(self, spec: Spec, process: int = 0, arms: Sequence[str] | None = None) -> Measured:
        self.used = True
        return self._once(spec, spec.arms if arms is None else arms, process)

    def fresh(self) -> None:
        """What comes next runs in a child that has run nothing."""
        self._children.drop()
        self.used = False

    def doing(self) -> str:
        return self._children.doing()

    def close(self) -> None:
        self._children.close()

    def _once(self, spec: Spec, arms: Sequence[str], process: int = 0) -> Measured:
        """A row for each of `arms`, from as many children as it takes: a death costs what died of its own doing, the
        rest is run again."""
        result = Measured([])
        rows: dict[str, Record] = {}
        notes: dict[str, str] = {}
        refused = 0
        while left := [arm for arm in arms if arm not in rows]:
            started = time.time()
            fresh = self._children.fresh
            answer = self._try(self._request(spec, left, process))
            if failure := answer.get("failed"):
                refused += failure["phase"] == IDLE
                if failure["phase"] == IDLE and refused < ATTEMPTS:
                    continue
                found = culprits.find(left, _first(spec, left), failure, fresh, partial(self._trial, spec, process))
                for method, end in found.died.items():
                    rows[method] = self._kept(spec, end, _failed(spec, method, end, started))
                notes |= found.notes
                for lived in found.lived.values():
                    # Its samples are no part of the configuration's, which were taken beside each other.
                    alone = Measured(list(self._taken(spec, lived, result).values()), _samples(lived))
                    rows.update((row["method"], row) for row in alone.rows(spec))
            else:
                rows.update(self._taken(spec, answer, result))
                result.samples = _samples(answer)
        self._place(spec, rows.values())
        for arm, note in notes.items():
            rows[arm].setdefault("reason", note)
        result.found = [rows[arm] for arm in arms]
        return result

    def _kept(self, spec: Spec, end: Mapping[str, Any], row: Record) -> Record:
        """The row of what died, with the folder that is kept of it."""
        if self._failures is not None:
            told = Told(end.get("traceback", ""), end.get("words", ""))
            row["failure"] = keep(self._failures, row, reproducer(spec, row["method"], row), told)
        return record(row)

    def _taken(self, spec: Spec, answer: Mapping[str, Any], result: Measured) -> dict[str, Record]:
        """The answer's rows by method; what else it found goes to where it belongs, except for its samples."""
        result.environments |= answer["environments"]
        result.once_s = answer["once_s"]
        self._ceilings.of(spec).update(answer["ceilings"])
        return {row["method"]: row for row in answer["records"]}

    def afresh(self, specs: Sequence[Spec], times: int) -> tuple[int, Measured]:
        """Runs configurations one after the other, `times` over, in a process that does nothing else.

        What one of them does to the memory of its process may show in another, and later. Ends with the first that is
        not well; returns the place of the last that ran, and what was found of it.
        """
        self._children.drop()
        measured = Measured([])
        try:
            for _ in range(times):
                for place, spec in enumerate(specs):
                    measured = self._only_once(spec)
                    if any(row["status"] in FAILED or row.get("accuracy") == "fail" for row in measured.found):
                        return place, measured
        finally:
            self._children.drop()
        return len(specs) - 1, measured

    def _only_once(self, spec: Spec) -> Measured:
        """A row for every arm; where the process dies, each says how: nothing is run again."""
        started, result = time.time(), Measured([])
        self._children.prepare()
        answer = self._try(Request(spec, spec.arms, 0, self._ceilings.of(spec)))
        if failure := answer.get("failed"):
            result.found = [_failed(spec, arm, failure, started) for arm in spec.arms]
            self._place(spec, result.found)
        else:
            result.found = list(self._taken(spec, answer, result).values())
            result.samples = _samples(answer)
        return result

    def _trial(self, spec: Spec, process: int, methods: Sequence[str]) -> Mapping[str, Any]:
        """The answer for these methods of a fresh child that does nothing else."""
        self._children.drop()
        answer = self._try(self._request(spec, methods, process))
        self._children.drop()
        return answer

    def _request(self, spec: Spec, methods: Sequence[str], process: int) -> Request:
        failures = None if self._failures is None else str(self._failures)
        return Request(spec, methods, process, self._ceilings.of(spec), failures=failures)

    def _try(self, request: Request) -> Mapping[str, Any]:
        """The child's answer; `failed` is also what a death comes to."""
        try:
            return self._ask(request)
        except Death as death:
            return {"failed": vars(death)}

    def _place(self, spec: Spec, rows: Collection[Record]) -> None:
        """Gives the rows of children that died the environment that the others were measured in."""
        where = (spec.device, spec.switches)
        found = next((row["environment_id"] for row in rows if "environment_id" in row), self._environments.get(where))
        if found is not None:
            self._environments[where] = found
            for row in rows:
                if row["status"] in FAILED:
                    row.setdefault("environment_id", found)

    def _ask(self, request: Request) -> dict[str, Any]:
        begun = time.monotonic()
        child = self._children.current(timed=request.spec.measure.enabled)
        start_s = time.monotonic() - begun
        try:
            answer = child.run(request, self._children.prepare)
        except (Death, Interrupted):
            self._children.died()
            raise
        # After an illegal access every CUDA call of the process fails; why else it is `spent`, see runner.Result.
        if answer.get("spent") or (answer.get("failed") and request.spec.device != "cpu"):
            self._children.drop()
        if "once_s" in answer:
            answer["once_s"] += start_s
        return answer


def _samples(answer: Mapping[str, Any]) -> list[Samples]:
    return [Samples.from_dict(samples) for samples in answer["samples"]]


def _first(spec: Spec, methods: Sequence[str]) -> str:
    """The method that a child runs before the others, see runner.run."""
    return spec.baseline if spec.baseline in methods else methods[0]


def _failed(spec: Spec, method: str, failure: Mapping[str, Any], started: float) -> Record:
    """The row of a method that failed like this."""
    phase = f" ({failure['phase']})" if failure["phase"] else ""
    values = {
        "method": method,
        "status": failure["status"],
        "reason": failure["reason"] + phase,
        "convbench_version": __version__,
        "started_at": datetime.fromtimestamp(started, timezone.utc).isoformat(timespec="milliseconds"),
        "elapsed_s": time.time() - started,
    }
    return record({**spec.columns(), **values})
