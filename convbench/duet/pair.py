"""The two processes of a duet as their parent sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..execution.child import Child, Death, Request
from ..execution.interrupt import Interrupt
from ..execution.process import START_S, Place
from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..timing.clocks import Reading
from ..timing.turns import Elsewhere

NAMES = ("a", "b")


class Failed(Exception):
    """A request that a side could not answer. `side` is a or b, `status` a row's status, the message its reason."""

    def __init__(self, side: str, status: str, reason: str) -> None:
        super().__init__(reason)
        self.side, self.status = side, status


class Gone(Failed):
    """The side has died or was late; `method` is the index of the one that it was judging, −1 for none."""

    def __init__(self, side: str, death: Death) -> None:
        super().__init__(side, death.status, death.reason)
        self.method = death.method


class Raised(Failed):
    """What the request raised on the other side, which lives on."""


class Pair:
    """Both sides, started anew where one of them has died."""

    def __init__(self, places: Sequence[Place], interrupt: Interrupt | None = None) -> None:
        self._places, self._interrupt = places, interrupt
        self._sides: dict[str, Child] = {}

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hello(self) -> dict[str, dict[str, Any]]:
        """What both environments are; raises InvalidValue where one cannot measure."""
        return {name: self._hello(name, place.python) for name, place in zip(NAMES, self._places, strict=True)}

    def _hello(self, name: str, python: str) -> dict[str, Any]:
        try:
            return self.ask(name, "hello", START_S)
        except Failed as failed:
            raise InvalidValue(
                f"--{name}", f"--{name} {python} cannot measure ({failed}); it needs torch and numpy"
            ) from None

    @property
    def running(self) -> bool:
        return bool(self._sides)

    def _child(self, name: str) -> Child:
        if not self._sides:
            self._sides = {
                name: Child(None, self._interrupt, place=place) for name, place in zip(NAMES, self._places, strict=True)
            }
        return self._sides[name]

    def judge(self, name: str, spec: Spec, methods: Sequence[str]) -> dict[str, Any]:
        """Rows of these methods with status and accuracy, and the environment; nothing is timed. Raises as `ask`."""
        untimed = replace(spec, measure=replace(spec.measure, enabled=False))
        request = Request(untimed, methods, 0, {}, apart=False)
        return self._answer(name, lambda child: child.run(request, lambda: None))

    def ask(self, name: str, do: str, within_s: float, **words: Any) -> dict[str, Any]:
        """One side's answer. Raises Raised and, with both sides ended, Gone; and Interrupted."""
        return self._answer(name, lambda child: child.ask(do, within_s, **words))

    def _answer(self, name: str, asked: Callable[[Child], dict[str, Any]]) -> dict[str, Any]:
        try:
            child = self._child(name)
            child.ready()
            answer = asked(child)
        except Death as death:
            self.close()
            raise Gone(name, death) from None
        if failed := answer.get("failed"):
            raise Raised(name, failed["status"], failed["reason"])
        return answer

    def each(self, do: str, within_s: float, **words: Any) -> None:
        """Asks both sides, one after the other; raises as `ask` does."""
        for name in NAMES:
            self.ask(name, do, within_s, **words)

    def close(self) -> None:
        for side in self._sides.values():
            side.close()
        self._sides = {}


class Corner(Elsewhere):
    """One side's method as an arm."""

    def __init__(self, pair: Pair, name: str, within_s: float) -> None:
        self._pair, self._name, self._within_s = pair, name, within_s

    def ready(self, cuda_graph: bool) -> dict[str, Any]:
        return self._pair.ask(self._name, "ready", self._within_s, cuda_graph=cuda_graph)

    def sample(self, calls: int) -> Reading:
        """After one call that brings back what the other side pushed out of the caches."""
        answer = self._pair.ask(self._name, "sample", self._within_s, calls=calls, parts=self.parts, warm=calls > 1)
        return Reading(**answer["reading"])

    def host_times(self, calls: int) -> None:
        return None
