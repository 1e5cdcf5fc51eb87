"""The user's own methods, each in a process of its own, as the process that judges them reaches them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..facts.spec import Spec
from ..timing.clocks import Lost
from ..timing.turns import Answer
from .child import Child, Death
from .family import waited_seconds
from .process import OWN_WORK_S
from .shared_bytes import SharedBytes
from .stage import GUEST

UNTIL_HALTED_S = 2e-3
"""CPU seconds that several threads may still take between an answer and the moment they stop, on a busy machine."""

OFTEN = 0.25
"""Share of its turns after which a process that is not at rest took more than that: the kernel's account of a thread on
another core may be a tick late, up to 5 ms once in fifteen turns on a busy machine."""


class Guests:
    """One process for each own method, which lives from one configuration to the next.

    It has neither the reference nor a row nor a rival's code, and what it does is its own method's doing alone.
    `mark` says in the judging process's own stage whom it waits for.
    """

    def __init__(self, memory_limit: int | None, mark: Callable[[str, str], None]) -> None:
        self._memory_limit, self._mark = memory_limit, mark
        self._known: dict[str, Host] = {}

    def of(self, method: str) -> Host:
        if method not in self._known:
            self._known[method] = Host(method, self._memory_limit, self._mark)
        return self._known[method]

    def close(self) -> None:
        for host in self._known.values():
            host.close()
        self._known = {}


class Host:
    """The process of one method: started when it is needed, again after its end."""

    def __init__(self, method: str, memory_limit: int | None, mark: Callable[[str, str], None]) -> None:
        self._method, self._memory_limit, self._mark = method, memory_limit, mark
        self._device = "cpu"
        self._child: Child | None = None
        self._results: SharedBytes | None = None
        self._cpu_s: float | None = None
        self._idle: list[float] = []

    @property
    def idle_cpu_s(self) -> float:
        """CPU seconds that it and what it started took between requests, since it was configured."""
        beyond = [spent - UNTIL_HALTED_S for spent in self._idle if spent > UNTIL_HALTED_S]
        return sum(beyond) if len(beyond) > OFTEN * len(self._idle) else 0.0

    def start(self) -> bool:
        """Starts the process unless there is one; whether there was none."""
        if self._child is not None:
            return False
        self._results = SharedBytes()
        self._child = Child(self._memory_limit, None, self._results)
        return True

    def settle(self) -> None:
        """Waits until the process has started; from then on it does nothing until it is asked."""
        self.start()
        assert self._child is not None
        with suppress(Death):  # which the first request finds as well
            self._child.ready()

    def ask(self, do: str, phase: str, within_s: float, **words: Any) -> Answer:
        """The answer to one request, with what it took as seen from here. Raises Lost, whose row says what happened.

        What `phase` is empty for is convbench's own work and has the time of that.
        """
        self._mark(self._method, GUEST + (phase or do))
        self.start()
        assert self._child is not None
        try:
            self._child.ready()
            before_cpu = self._child.cpu_s
            if self._cpu_s is not None and before_cpu is not None:
                self._idle.append(before_cpu - self._cpu_s)
            waited_s, before = self._waited_s(), time.perf_counter()
            said = self._child.ask(do, within_s if phase else OWN_WORK_S, **words)
            wall_s, waited_s = time.perf_counter() - before, self._waited_s() - waited_s
            # Nothing of it runs while others are timed: no thread, no timer, no process that it started.
            self._child.halt()
            cpu = self._cpu_s = self._child.cpu_s
        except Death as death:
            lost = Lost(status=death.status, reason=f"{death.reason} ({phase or do})")
            lost.output = death.words
            self.close()
            raise lost from None
        if failed := said.get("failed"):
            lost = Lost(status=failed["status"], reason=failed["reason"])
            lost.traceback, lost.output = failed.get("traceback", ""), self.output
            if self._device != "cpu":  # which may answer nothing after this, see worker.Isolated
                self.close()
            raise lost
        return Answer(said, wall_s, None if cpu is None or before_cpu is None else cpu - before_cpu, waited_s)

    def _waited_s(self) -> float:
        """Seconds for which this process or the method's was ready to run and had no core."""
        assert self._child is not None
        return waited_seconds("thread-self") + self._child.waited_s

    def configure(self, spec: Spec, seed: int, result_bytes: int) -> None:
        """Makes the operands there, and room for results; a process that ended since it was last used starts again."""
        self._device, self._idle = spec.device, []
        if self._child is not None:
            self._child.forget_output()
        for last in (False, True):
            self.start()
            assert self._results is not None
            self._results.hold(result_bytes, slots=2)
            try:
                self.ask("configure", "", spec.timeout_s, spec=spec.to_dict(), seed=seed)
                return
            except Lost:
                if last or self._child is not None:
                    raise

    @property
    def output(self) -> str:
        """The last that the process printed for this configuration."""
        return "" if self._child is None else self._child.output

    def read(self, slot: int, size: int) -> bytearray:
        """A copy of what lies in a slot."""
        assert self._results is not None
        return bytearray(self._results.slot(slot, size))

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self._child is not None:
            self._child.close()
        if self._results is not None:
            self._results.close()
        self._child = self._results = self._cpu_s = None
