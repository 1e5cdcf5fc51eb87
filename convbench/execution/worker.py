"""Runs configurations in a child process that may die, hang or run out of memory without taking the sweep along.

A child lives from one configuration to the next. When it dies or is late, what it was executing gets a row that
says so, and the configuration's other methods are run in a fresh child.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from .._version import __version__
from ..facts.case import InvalidValue
from ..facts.rates import Work
from ..facts.record import FAILED, Record, record
from ..facts.spec import Spec, Switches
from .child import Child, Death, Request
from .interrupt import Interrupt, Interrupted
from .stage import IDLE

ATTEMPTS = 3
"""So many children in a row may die before they take up a configuration; then something is wrong with all of them."""


@dataclass(slots=True)
class Measured:
    """One configuration's rows, one per arm in their order, and its raw samples, one per process.

    `environments` holds by their ids those of the child that have not been handed on before. `once_s` are the seconds
    that another run of the configuration would not take again: a child's start, the ceilings, the memory pass.
    """

    records: list[Record]
    samples: list[dict[str, Any]] = field(default_factory=list)
    environments: dict[str, Any] = field(default_factory=dict)
    once_s: float = 0.0


class Ceilings:
    """What is known of each device's ceilings, so that a run measures them once for each dtype and its switches."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, Switches], dict[str, float]] = {}

    def of(self, spec: Spec) -> dict[str, float]:
        return self._known.setdefault((spec.device, spec.dtype, spec.switches), {})


class Worker(Protocol):
    """What runs configurations; `process` seeds the order of the samples, so that another pass has another order."""

    def run(self, spec: Spec, process: int = 0) -> Measured: ...
    def close(self) -> None: ...


class Children:
    """The child in use and, from the first death on, the next one, which imports torch ahead of its turn.

    The next one is never started beside a configuration that is timed, unless that hangs: its import takes a
    core for a second or two. It cannot wait at a lower priority instead, because without privileges a process
    does not get its priority back.
    """

    def __init__(self, memory_limit: int | None, interrupt: Interrupt) -> None:
        self._memory_limit, self._interrupt = memory_limit, interrupt
        self._current: Child | None = None
        self._next: Child | None = None
        self._deaths = 0

    def current(self, timed: bool) -> Child:
        """A child that is ready, with nothing beside it that would disturb a timing."""
        for _ in range(ATTEMPTS):
            try:
                child = self._take()
                child.ready()
                self._look_ahead(timed)
                return child
            except Death as death:
                reason = death.reason
                self.died()
        raise InvalidValue("isolation", f"isolation=process: the child process cannot start: {reason}")

    def _take(self) -> Child:
        if self._current is None:
            self._current, self._next = self._next or self._new(), None
        return self._current

    def _look_ahead(self, timed: bool) -> None:
        if not timed and self._deaths:
            self.prepare()
        elif timed and self._next:
            self._next.ready()

    def _new(self) -> Child:
        return Child(self._memory_limit, self._interrupt)

    def prepare(self) -> None:
        """Starts the next child unless it has been."""
        if self._next is None:
            self._next = self._new()

    def died(self) -> None:
        """The child in use has ended by itself or by force; from now on the next one is kept ready."""
        self._deaths += 1
        self.drop()

    def drop(self) -> None:
        """Ends the child in use, if there is one."""
        if self._current:
            self._current.close()
            self._current = None

    def close(self) -> None:
        for child in (self._current, self._next):
            if child:
                child.close()
        self._current = self._next = None


class Isolated:
    """Runs configurations in child processes. Raises Interrupted, and InvalidValue where no child can be started."""

    def __init__(self, memory_limit: int | None, interrupt: Interrupt) -> None:
        self._children = Children(memory_limit, interrupt)
        self._environments: dict[tuple[str, Switches], str] = {}
        self._ceilings = Ceilings()

    def run(self, spec: Spec, process: int = 0) -> Measured:
        if spec.measure.enabled and spec.measure.processes > 1:
            return self._repeated(spec)
        return self._once(spec, spec.arms, process)

    def close(self) -> None:
        self._children.close()

    def _once(self, spec: Spec, arms: Sequence[str], process: int = 0) -> Measured:
        """A row for each of `arms`, from as many children as it takes: a death costs what died, the rest is run
        again."""
        result = Measured([])
        rows: dict[str, Record] = {}
        refused = 0
        while left := [arm for arm in arms if arm not in rows]:
            started = time.time()
            try:
                answer = self._ask(Request(spec, left, process, self._ceilings.of(spec)))
            except Death as death:
                refused += death.phase == IDLE
                if death.phase != IDLE or refused == ATTEMPTS:
                    rows.update(_failed(spec, left, vars(death), started))
                continue
            if failure := answer.get("failed"):
                rows.update(_failed(spec, left, failure, started))
                continue
            rows.update((row["method"], row) for row in answer["records"])
            result.samples, result.environments = answer["samples"], answer["environments"]
            result.once_s = answer["once_s"]
            self._ceilings.of(spec).update(answer["ceilings"])
        self._place(spec, rows.values())
        result.records = [rows[arm] for arm in arms]
        return result

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

    def _repeated(self, spec: Spec) -> Measured:
        """The configuration in as many fresh processes as it asks for, its speed columns taken from all of them.

        A method that fails in one of them has its row, and is not given the others' time to fail in as well.
        """
        runs: list[Measured] = []
        arms: Sequence[str] = spec.arms
        for process in range(spec.measure.processes):
            self._children.drop()
            runs.append(self._once(spec, arms, process))
            arms = [row["method"] for row in runs[-1].records if row["status"] not in FAILED]
            if not runs[-1].samples:
                break
        self._children.drop()
        return _combined(spec, runs)


def check_isolation(isolation: str, spec: Spec) -> None:
    """Raises InvalidValue where a configuration is to be repeated in fresh processes and there are to be none."""
    if isolation == "none" and spec.measure.enabled and spec.measure.processes > 1:
        raise InvalidValue(
            "isolation",
            f"isolation=none runs everything in one process, and measure={spec.measure.name} takes "
            f"{spec.measure.processes} fresh ones; use isolation=process or measure=default",
        )


def check_budget(budget_s: float | None, spec: Spec) -> None:
    """Raises InvalidValue where a time budget is to be divided among pairs that no single process takes."""
    if budget_s is not None and spec.measure.processes > 1:
        raise InvalidValue(
            "budget_s",
            f"budget_s={budget_s:g} divides the pairs of one process, and measure={spec.measure.name} takes "
            f"{spec.measure.processes} processes; use measure=default or leave budget_s out",
        )


NOT_APART = (
    "isolation=none: the method ran in the process that judged and timed it, so there is no verdict on its speed"
)


class InProcess:
    """Runs configurations in this process, for debugging: nothing is limited and nothing is survived.

    The user's own methods share the interpreter with their judge, and get no verdict on their speed.
    """

    def __init__(self) -> None:
        self._ceilings = Ceilings()

    def run(self, spec: Spec, process: int = 0) -> Measured:
        """Raises InvalidValue where the configuration is to be repeated in fresh processes."""
        from ..runner import run
        from ..timing.rounds import unmarked

        check_isolation("none", spec)
        result = run(spec, spec.arms, unmarked, process, self._ceilings.of(spec))
        for row in result.records:
            if ":" in row["method"] and row.pop("speed", None) is not None:
                row.setdefault("reason", NOT_APART)
        self._ceilings.of(spec).update(result.ceilings)
        environment = result.environment or {}
        told = {environment["environment_id"]: environment} if environment else {}
        return Measured(result.records, result.samples, told, result.once_s)

    def close(self) -> None:
        pass


def _failed(
    spec: Spec, left: Sequence[str], failure: Mapping[str, Any], started: float
) -> Iterable[tuple[str, Record]]:
    """Rows for the method that was executing, or for all that are left where it was none of them."""
    started_at = datetime.fromtimestamp(started, timezone.utc).isoformat(timespec="milliseconds")
    phase = f" ({failure['phase']})" if failure["phase"] else ""
    for method in left if failure["method"] < 0 else [left[failure["method"]]]:
        values = {
            "method": method,
            "status": failure["status"],
            "reason": failure["reason"] + phase,
            "convbench_version": __version__,
            "started_at": started_at,
            "elapsed_s": time.time() - started,
        }
        yield method, record({**spec.columns(), **values})


def _combined(spec: Spec, runs: Sequence[Measured]) -> Measured:
    """One result from several processes: accuracy of the first, speed of all, and what failed in any."""
    from ..timing.figures import figures
    from ..timing.samples import Samples

    samples = [sample for run in runs for sample in run.samples]
    parts = [Samples.from_dict(sample) for sample in samples]
    records = []
    for first in runs[0].records:
        rows = [row for run in runs for row in run.records if row["method"] == first["method"]]
        row = dict(next((r for r in rows if r["status"] != "ok" or r.get("accuracy") == "fail"), rows[0]))
        timed = [part for part in parts if {row["method"], spec.baseline} <= set(part.arms)]
        if row["status"] == "ok" and row.get("accuracy") != "fail" and len(timed) > 1:
            row.update(figures(timed, row["method"], spec.baseline, spec.measure, Work.of_row(row)))
        row["elapsed_s"] = sum(r.get("elapsed_s", 0.0) for r in rows)
        records.append(record(row))
    environments = {key: value for run in runs for key, value in run.environments.items()}
    return Measured(records, samples, environments)
