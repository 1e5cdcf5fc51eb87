"""What becomes of a sweep, and who hears of it while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..facts.exits import Exit, interrupted
from ..facts.record import FAILED, Record
from ..facts.spec import Spec


@dataclass(slots=True)
class Outcome:
    """What became of a sweep: numbers of configurations and of rows.

    `rows` counts the rows of all its configurations by status, those measured by an earlier run
    included; `wrong` those whose accuracy is fail; `missing` the configurations without a full set of
    rows, `unfinished` those that further processes were to measure; `signal` what interrupted it.
    """

    total: int = 0
    already_done: int = 0
    missing: int = 0
    unfinished: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    signal: int | None = None


class Observer(Protocol):
    """Somebody who watches a sweep, for instance the progress bar.

    `passing`: the pass `number` of `passes` begins, in which `due` configurations are measured in one more process.
    """

    def begin(self, total: int, already_done: int) -> None: ...
    def watch(self, doing: Callable[[], str]) -> None: ...
    def passing(self, number: int, passes: int, due: int) -> None: ...
    def start(self, spec: Spec) -> None: ...
    def finish(self, spec: Spec, records: Sequence[Record]) -> None: ...
    def warn(self, problem: str, remedy: str) -> None: ...
    def end(self, outcome: Outcome) -> None: ...


def exit_code(outcome: Outcome, strict: bool) -> int:
    """How the rows went; an interruption comes before anything else."""
    if outcome.signal is not None:
        return interrupted(outcome.signal)
    if outcome.wrong:
        return Exit.WRONG
    unmeasured = (*FAILED, "skipped") if strict else FAILED
    missing = outcome.missing or outcome.unfinished or any(outcome.rows.get(status) for status in unmeasured)
    return Exit.UNMEASURED if missing else Exit.GOOD
