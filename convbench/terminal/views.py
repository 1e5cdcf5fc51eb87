"""How far a sweep is, what shows it, and what shows nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..facts import units
from ..facts.record import FAILED, Record, is_wrong
from ..facts.spec import Spec


@dataclass(slots=True)
class Tally:
    """How far a sweep is. `slowest_s` belongs to `slowest`, the configuration that took longest."""

    total: int = 0
    earlier: int = 0
    done: int = 0
    failed: int = 0
    wrong: int = 0
    current: Spec | None = None
    slowest: Spec | Record | None = None
    slowest_s: float = 0.0

    def count(self, records: Iterable[Record]) -> None:
        """Adds the rows of one configuration that failed or are not to be believed."""
        for row in records:
            if row.get("status") in FAILED:
                self.failed += 1
            elif is_wrong(row):
                self.wrong += 1

    def time_left_s(self, elapsed_s: float) -> float | None:
        """What is left at the average pace so far; None before the first configuration is done."""
        return elapsed_s / self.done * (self.total - self.earlier - self.done) if self.done else None

    @property
    def complete(self) -> bool:
        return self.earlier + self.done >= self.total

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
