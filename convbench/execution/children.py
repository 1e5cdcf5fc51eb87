"""The child process in use, and the one that takes its place."""

from __future__ import annotations

from ..facts.values import InvalidValue
from .child import Child, Death
from .interrupt import Interrupt

ATTEMPTS = 3
"""So many children in a row may die before they take up a configuration; then something is wrong with all of them."""


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

    @property
    def fresh(self) -> bool:
        """Whether the child that is next to be asked has done nothing yet."""
        return self._current is None or self._current.fresh

    def doing(self) -> str:
        """What the child in use is at; nothing where there is none."""
        current = self._current
        return current.doing() if current is not None else ""

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
