"""Runs configurations one after another, survives what they do, and keeps every row that was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .record import FAILED, Record
from .spec import Spec


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where rows go and how configurations are run.

    `isolation` is process or none; `memory_limit` in bytes above what the child needs for itself;
    `retry` is none or failed; `chunk` names a job of a launcher (it takes no lock and merges nothing).
    """

    out: Path
    isolation: str = "process"
    memory_limit: int | None = None
    retry: str = "none"
    chunk: str | None = None


@dataclass(slots=True)
class Outcome:
    """What became of a sweep: numbers of configurations and of rows.

    `rows` counts the rows of all its configurations by status, those measured by an earlier run
    included; `wrong` those whose accuracy is fail; `missing` the configurations without a full set of
    rows; `unreadable` damaged lines in part files; `signal` what interrupted it.
    """

    total: int = 0
    already_done: int = 0
    measured: int = 0
    missing: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    unreadable: int = 0
    signal: int | None = None


class Observer(Protocol):
    """Somebody who watches a sweep, for instance the progress bar."""

    def begin(self, total: int, already_done: int) -> None: ...
    def start(self, spec: Spec) -> None: ...
    def finish(self, spec: Spec, records: Sequence[Record]) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


@contextmanager
def driving(run: RunOptions) -> Iterator[None]:
    """Owns `run.out` for a whole sweep: locks it, keeps one child alive from one `execute` to the next, merges at the end.

    After a signal every further `execute` inside returns at once. Raises InvalidValue("out", …) for a folder
    that cannot be written or that another process is writing to.
    """
    raise NotImplementedError


def execute(
    specs: Iterable[Spec], run: RunOptions, observer: Observer, positions: Sequence[int] | None = None
) -> Outcome:
    """Measures what is not measured yet and appends its rows; `positions` are the specs' places in the table.

    SIGINT and SIGTERM finish or drop the configuration in flight and return an Outcome that names the
    signal; a second one stops at once. Raises InvalidValue("out", …) when a row cannot be written.
    """
    raise NotImplementedError


def review(specs: Iterable[Spec], run: RunOptions) -> Outcome:
    """What the part files hold for these configurations, whoever measured them; nothing is run."""
    raise NotImplementedError


def exit_code(outcome: Outcome, strict: bool) -> int:
    """0 all well; 1 a wrong gradient; 3 something could not be measured; 130 or 143 interrupted. Wrong beats missing."""
    if outcome.signal is not None:
        return 128 + outcome.signal
    if outcome.wrong:
        return 1
    unmeasured = (*FAILED, "skipped") if strict else FAILED
    return 3 if outcome.missing or any(outcome.rows.get(status) for status in unmeasured) else 0
