"""How far a sweep is, what shows it, and what shows nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..facts import units
from ..facts.record import FAILED, Record, is_wrong
from ..facts.spec import Spec


@dataclass(slots=True)
class Tally:
    """How far a sweep is. `slowest_s` belongs to `slowest`, the configuration that took longest; `last` are the rows of
    the one that ended last.

    `passing` says which of several passes this is, and `later` how many configurations the passes after it have.
    `first_done` configurations were done when the first of them ended, at `first_at`: what came before that (the start
    of a child, the import of torch) will not come again. `first_s` is what the first took by its own account.
    """

    total: int = 0
    earlier: int = 0
    done: int = 0
    failed: int = 0
    wrong: int = 0
    current: Spec | None = None
    slowest: Spec | Record | None = None
    slowest_s: float = 0.0
    last: Sequence[Record] = ()
    failing: Sequence[Record] = ()
    passing: str = ""
    later: int = 0
    first_done: int = 0
    first_at: float = 0.0
    first_s: float | None = None
    _counted: set[Any] = field(default_factory=set)

    def note(self, spec: Spec | Record, records: Sequence[Record], elapsed_s: float, number: int, now: float) -> None:
        """`number` configurations have ended by `now`; `elapsed_s` is what `spec` took, the last of them."""
        if not self.done:
            self.first_done, self.first_at, self.first_s = number, now, elapsed_s
        self.done += number
        self.last = records
        self.failing = self.count(records)
        if elapsed_s > self.slowest_s:
            self.slowest, self.slowest_s = spec, elapsed_s

    def count(self, records: Iterable[Record]) -> list[Record]:
        """Adds the rows of one configuration that failed or are not to be believed, each once; returns those added."""
        added = []
        for row in records:
            named = (row.get("run_key"), row.get("labels"), row.get("method"))
            if named[0] is not None and named in self._counted:
                continue
            failed = row.get("status") in FAILED
            if not failed and not is_wrong(row):
                continue
            self._counted.add(named)
            self.failed += failed
            self.wrong += not failed
            added.append(row)
        return added

    def time_left_s(self, now: float) -> float | None:
        """What is left at the average pace since the first configuration; None before that is done."""
        later = self.done - self.first_done
        pace_s = (now - self.first_at) / later if later else self.first_s
        return (
            None if pace_s is None or not self.done else pace_s * (self.total - self.earlier - self.done + self.later)
        )

    @property
    def complete(self) -> bool:
        return self.earlier + self.done >= self.total and not self.later

    @property
    def failures(self) -> str:
        """`2 failed, 1 wrong`, or the empty string."""
        parts = [f"{units.count(n)} {what}" for n, what in ((self.failed, "failed"), (self.wrong, "wrong")) if n]
        return ", ".join(parts)


class View(Protocol):
    """Shows a tally; `note` is for one configuration that has just ended."""

    def changed(self, tally: Tally) -> None: ...
    def note(self, tally: Tally, spec: Spec | Record, records: Sequence[Record]) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self, tally: Tally) -> None: ...


class Nothing:
    """Shows nothing, where nothing can be shown."""

    def changed(self, tally: Tally) -> None: ...
    def note(self, tally: Tally, spec: Spec | Record, records: Sequence[Record]) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self, tally: Tally) -> None: ...
