"""Runs configurations one after another, survives what they do, and keeps every row that was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..facts import units
from ..facts.record import Record
from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..results import store
from ..results.merge import merge
from .commits import Commits
from .in_process import InProcess
from .interrupt import Interrupt, StopNow
from .measured import Measured, Worker
from .outcome import Observer, Outcome
from .passes import elsewhere, joined, left_to_time, run_passes
from .source import code_key
from .time_budget import run_within
from .worker import Isolated


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where rows go and how configurations are run.

    `isolation` is process or none; `memory_limit` in bytes above what the child needs for itself;
    `retry` is none or failed; `budget_s` is what all configurations together may take,
    which then share the pairs among them.
    """

    out: Path
    isolation: str = "process"
    memory_limit: int | None = None
    retry: str = "none"
    budget_s: float | None = None


class Session:
    """What lasts from the first configuration to the last: the child, the part file, what is known to be done."""

    def __init__(self, run: RunOptions, interrupt: Interrupt, owner: bool = False) -> None:
        self.run, self.interrupt, self._owner = run, interrupt, owner
        self.index = store.Index(run.out)
        self._codes: dict[str, str] = {}
        self._begun: set[str] = set()
        self._begun_anew: set[str] = set()
        self._commits = Commits()
        self._rows, self._samples = store.Part(run.out, store.ROWS), store.Part(run.out, store.SAMPLES)
        self._worker: Worker = _worker_of(run, interrupt)

    def codes(self, spec: Spec) -> Mapping[str, str]:
        """Method → hash of its source, for the arms of `spec` and whatever was asked for before."""
        for arm in spec.arms:
            if arm not in self._codes:
                self._codes[arm] = code_key(arm)
        return self._codes

    def entries(self, spec: Spec) -> list[store.Entry] | None:
        return self.index.entries(spec, self.codes(spec))

    def settled(self, spec: Spec) -> bool:
        """Whether this configuration has all its rows and none that is to be measured again."""
        return store.settled(self.entries(spec), self.run.retry)

    def passes(self, spec: Spec) -> int:
        """How many processes are to measure a configuration; with isolation=none there is this one alone."""
        return spec.measure.passes if self.run.isolation == "process" else 1

    def taken(self, spec: Spec) -> int:
        """How many processes have measured it already; 0 where it is to be measured anew."""
        retry = None if spec.key.unit in self._begun else self.run.retry
        left = store.passes_left(self.entries(spec), retry)
        return 0 if not left else max(0, self.passes(spec) - left)

    def begin_pass(self) -> None:
        """A fresh child for what comes next; before it the tables of what there is, where the folder is our own."""
        if self._worker.used:
            if self._owner:
                self.merge()
            self._worker.fresh()

    def add(self, position: int, spec: Spec, process: int) -> list[Record]:
        """Measures one configuration in one more process and appends its rows, which are of all of them so far.

        Where the environment is another one than that of the rows that there are, it begins anew; once in a session, as
        one that changes all the time would never end. Raises Interrupted, and InvalidValue when it cannot.
        """
        told: Mapping[str, Any] = {}
        before = self.earlier(spec, process) if process else None
        if before is not None:
            now = self.visit(spec, process, left_to_time(before.found))
            if not elsewhere(before, now):
                return self._keep_all(position, spec, joined(spec, before, now), bool(now.samples), process)
            told = now.environments  # a child tells each environment once
            if spec.key.unit in self._begun_anew:
                return self.keep(position, spec, replace(before, environments=dict(told)))
            self._begun_anew.add(spec.key.unit)
        whole = self.visit(spec)
        whole.environments = {**told, **whole.environments}
        return self._keep_all(position, spec, whole, bool(whole.samples), 0)

    def _keep_all(self, position: int, spec: Spec, whole: Measured, timed: bool, process: int) -> list[Record]:
        return self.keep(position, spec, whole, self.passes(spec) - process - 1 if timed else 0)

    def earlier(self, spec: Spec, processes: int) -> Measured | None:
        """What the first `processes` processes found; None where it cannot be read any more."""
        found = self.index.earlier(spec, processes)
        return None if found is None else Measured(found.rows, found.samples, apart=self._worker.apart)

    def visit(self, spec: Spec, process: int = 0, arms: Sequence[str] | None = None) -> Measured:
        """Runs one configuration, or some of its arms, and keeps nothing. Raises as `add` does.

        Memory and kernels are looked at in the first process alone: they are the same in all.
        """
        self._rows.open()
        if process:
            spec = replace(spec, measure=replace(spec.measure, memory=False, kernels=False))
        return self._worker.run(spec, process, arms)

    def afresh(self, specs: Sequence[Spec], times: int) -> tuple[int, Measured]:
        """As Isolated.afresh; keeps nothing. Raises InvalidValue without child processes, and what `measure` raises."""
        if not isinstance(self._worker, Isolated):
            raise InvalidValue("isolation", "isolation=none has no fresh processes; leave it out")
        self._rows.open()
        return self._worker.afresh(specs, times)

    def restart(self) -> None:
        """Ends the processes in use: those to come start with the environment variables of now."""
        self._worker.close()
        self._worker = _worker_of(self.run, self.interrupt)

    def keep(self, position: int, spec: Spec, measured: Measured, left: int = 0) -> list[Record]:
        """Appends the rows of what was measured, and returns them; earlier ones of the configuration count no more.

        `left`: further processes that are to measure it.
        """
        unit, codes = spec.key.unit, self.codes(spec)
        rows = [row | self._commits.columns(row["method"]) for row in measured.rows(spec)]
        lines = [store.encode(position, unit, codes[row["method"]], row, left) for row in rows]
        passing = left > 0 and not spec.measure.samples
        kept = spec.measure.samples or passing
        parts = [part.to_dict() for part in measured.samples] if kept else []
        samples = store.encode_samples(spec, parts, passing) if parts else b""
        with ExitStack() as steps:
            # The last to be entered is done first, and all are done whatever becomes of those before.
            for key, environment in measured.environments.items():
                steps.callback(store.keep_environment, self.run.out, key, environment, self._rows)
            steps.callback(self._rows.append, b"".join(lines))
            # Before the rows: whoever finds rows finds their samples.
            if samples:
                steps.callback(self._keep_samples, samples)
        self.index.add(unit, rows, codes, left)
        self._begun.add(unit)
        places = store.places(self._rows.path, self._rows.end, lines)
        held = store.places(self._samples.path, self._samples.end, [samples])[0] if samples else None
        self.index.passed(zip(lines, places, strict=True), held)
        return rows

    def _keep_samples(self, line: bytes) -> None:
        self._samples.open()
        self._samples.append(line)

    def doing(self) -> str:
        """What the child is at: the method and its phase, or what is done for all of them."""
        return self._worker.doing()

    def merge(self) -> None:
        """Makes the tables. Raises InvalidValue where they cannot be made, or lack rows that were measured."""
        faults = [fault for fault in (self._rows.secured(), self._samples.secured()) if fault]
        found = merge(self.run.out)
        if faults:
            raise faults[0]
        missing = self.index.rows - found
        if missing > 0:
            raise InvalidValue(
                "out",
                f"out={self.run.out}: {units.count(missing, 'row')} that had been measured are in no part file any "
                "more: another program has taken some away or written to them; run the same command again",
            )

    def close(self) -> None:
        self._worker.close()
        self._rows.close()
        self._samples.close()


def _worker_of(run: RunOptions, interrupt: Interrupt) -> Worker:
    return Isolated(run.memory_limit, interrupt, run.out) if run.isolation == "process" else InProcess(run.out)


_driving: ContextVar[Session | None] = ContextVar("driving", default=None)


@contextmanager
def driving(run: RunOptions) -> Iterator[Session]:
    """Owns `run.out` for a whole sweep: locks it, keeps one child from one `execute` to the next, merges at the end.

    After a signal every further `execute` inside returns at once. Raises InvalidValue("out", …) for a folder
    that cannot be written or that another process is writing to; StopNow at a second signal, without merging.
    """
    with Interrupt() as interrupt, store.locked(run.out), _session(run, interrupt, owner=True) as session:
        token = _driving.set(session)
        try:
            yield session
        except StopNow:
            raise
        except BaseException:
            # As far as the tables can be written; what went wrong first is what has to be told.
            with suppress(InvalidValue):
                session.merge()
            raise
        else:
            session.merge()
        finally:
            _driving.reset(token)


@contextmanager
def _session(run: RunOptions, interrupt: Interrupt, owner: bool = False) -> Iterator[Session]:
    session = Session(run, interrupt, owner)
    try:
        yield session
    finally:
        session.close()


@contextmanager
def _current(run: RunOptions) -> Iterator[Session]:
    """The session of `driving` around us if it is for the same folder, else one for this call alone."""
    session = _driving.get()
    if session and session.run.out == run.out:
        yield session
        return
    store.prepare(run.out)
    with Interrupt() as interrupt, _session(run, interrupt) as session:
        yield session


def execute(
    specs: Iterable[Spec], run: RunOptions, observer: Observer, positions: Sequence[int] | None = None
) -> Outcome:
    """Measures what is not measured yet and appends its rows; `positions` are the specs' places in the table.

    SIGINT and SIGTERM finish or drop the configuration in flight and return an Outcome that names the
    signal; a second one raises StopNow at once. Raises InvalidValue("out", …) when a row cannot be written
    and InvalidValue("isolation", …) when no child can be started.
    """
    specs = list(specs)
    with _current(run) as session:
        todo = [
            (position, spec)
            for position, spec in zip(range(len(specs)) if positions is None else positions, specs, strict=True)
            if not session.settled(spec)
        ]
        observer.watch(session.doing)
        observer.begin(len(specs), len(specs) - len(todo))
        outcome = Outcome()
        try:
            if run.budget_s is None:
                run_passes(session, todo, observer)
            else:
                run_within(run.budget_s, session, todo, observer)
        finally:
            outcome = _outcome(specs, session)
            outcome.already_done = len(specs) - len(todo)
            observer.end(outcome)
        return outcome


def review(specs: Iterable[Spec], run: RunOptions) -> Outcome:
    """What the part files hold for these configurations, whoever measured them; nothing is run."""
    with Interrupt() as interrupt, _session(run, interrupt) as session:
        outcome = _outcome(specs, session)
        outcome.already_done = outcome.total - outcome.missing
        return outcome


def _outcome(specs: Iterable[Spec], session: Session) -> Outcome:
    outcome = Outcome(signal=session.interrupt.signal)
    for spec in specs:
        outcome.total += 1
        entries = session.entries(spec)
        outcome.missing += entries is None
        outcome.unfinished += store.unfinished(entries) > 0
        for entry in entries or ():
            outcome.rows[entry.status] = outcome.rows.get(entry.status, 0) + 1
            outcome.wrong += entry.wrong
    return outcome
