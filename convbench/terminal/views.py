"""What shows how far a sweep is, and what shows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..facts.record import Record
from ..facts.spec import Spec

if TYPE_CHECKING:
    from .progress import Tally


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
