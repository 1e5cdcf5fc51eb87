"""Runs configurations one after another, survives what they do, and keeps every row that was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from ..facts import units
from ..facts.case import InvalidValue
from ..facts.record import Record
from ..facts.spec import Spec
from ..results import store
from ..results.merge import merge
from ..timing.samples import Samples
from .commits import Commits
from .interrupt import Interrupt, Interrupted, StopNow
from .outcome import Observer, Outcome
from .source import code_key
from .time_budget import run_within
from .worker import InProcess, Isolated, Measured, Worker


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

    def __init__(self, run: RunOptions, interrupt: Interrupt) -> None:
        self.run, self.interrupt = run, interrupt
        self.index = store.Index(run.out)
        self._codes: dict[str, str] = {}
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

    def measure(self, position: int, spec: Spec) -> list[Record]:
        """Runs one configuration and appends its rows. Raises Interrupted, and InvalidValue when it cannot."""
        return self.keep(position, spec, self.visit(spec))

    def visit(self, spec: Spec, process: int = 0) -> Measured:
        """Runs one configuration and keeps nothing. Raises as `measure` does."""
        self._rows.open()
        return self._worker.run(spec, process)

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

    def keep(self, position: int, spec: Spec, measured: Measured) -> list[Record]:
        """Appends the rows of what was measured, and returns them; earlier ones of the configuration count no more."""
        unit, codes = spec.key.unit, self.codes(spec)
        rows = [row | self._commits.columns(row["method"]) for row in measured.rows(spec)]
        lines = [store.encode(position, unit, codes[row["method"]], row) for row in rows]
        with ExitStack() as steps:
            # The last to be entered is done first, and all are done whatever becomes of those before.
            for key, environment in measured.environments.items():
                steps.callback(store.keep_environment, self.run.out, key, environment, self._rows)
            steps.callback(self._rows.append, b"".join(lines))
            # Before the rows: whoever finds rows finds their samples.
            if spec.measure.samples and measured.samples:
                steps.callback(self._keep_samples, spec, measured.samples)
        self.index.add(unit, rows, codes)
        return rows

    def _keep_samples(self, spec: Spec, samples: Sequence[Samples]) -> None:
        self._samples.open()
        self._samples.append(store.encode_samples(spec, [part.to_dict() for part in samples]))

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
    return Isolated(run.memory_limit, interrupt) if run.isolation == "process" else InProcess()


_driving: ContextVar[Session | None] = ContextVar("driving", default=None)


@contextmanager
def driving(run: RunOptions) -> Iterator[Session]:
    """Owns `run.out` for a whole sweep: locks it, keeps one child from one `execute` to the next, merges at the end.

    After a signal every further `execute` inside returns at once. Raises InvalidValue("out", …) for a folder
    that cannot be written or that another process is writing to; StopNow at a second signal, without merging.
    """
    with Interrupt() as interrupt, store.locked(run.out), _session(run, interrupt) as session:
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
def _session(run: RunOptions, interrupt: Interrupt) -> Iterator[Session]:
    session = Session(run, interrupt)
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
                _run_all(session, todo, observer)
            else:
                run_within(run.budget_s, session, todo, observer)
        finally:
            outcome = _outcome(specs, session)
            outcome.already_done = len(specs) - len(todo)
            observer.end(outcome)
        return outcome


def _run_all(session: Session, todo: Iterable[tuple[int, Spec]], observer: Observer) -> None:
    for position, spec in todo:
        if session.interrupt.signal is not None:
            return
        observer.start(spec)
        try:
            records = session.measure(position, spec)
        except Interrupted:
            return
        observer.finish(spec, records)


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
        for entry in entries or ():
            outcome.rows[entry.status] = outcome.rows.get(entry.status, 0) + 1
            outcome.wrong += entry.wrong
    return outcome
