"""Judging a method in this process: the same judge and the same changing operands, without a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import runner
from ..endings import failure
from ..execution.method_server import MethodServer
from ..execution.shared_bytes import SharedBytes
from ..facts.record import Record
from ..facts.spec import Spec
from ..measurement.switches import switched
from ..timing.clocks import Lost
from ..timing.rounds import unmarked
from ..timing.turns import Answer


class Here:
    """A guest.Host, and Hosts of one method, whose process is this one; `error` is what the method raised last."""

    def __init__(self) -> None:
        self.output = ""
        self.error: BaseException | None = None
        self._results = SharedBytes()
        self._server = MethodServer(self._results)

    def of(self, method: str) -> Here:
        return self

    @property
    def idle_cpu_s(self) -> float:
        return 0.0  # it has no process of its own

    def start(self) -> bool:
        return False

    def settle(self) -> None:
        pass  # it has started

    def configure(self, spec: Spec, seed: int, result_bytes: int) -> None:
        self._server.configure(spec.to_dict(), seed)

    def ask(self, do: str, phase: str, within_s: float, **words: Any) -> Answer:
        begun = time.perf_counter()
        try:
            said: dict[str, Any] = getattr(self._server, do)(**words)
        except (Exception, SystemExit) as error:  # the method's own code
            self.error = error
            raise Lost(**failure(error)) from error
        return Answer(said, time.perf_counter() - begun, None)

    def read(self, slot: int, size: int) -> bytearray:
        return bytearray(self._results.slot(slot, size))

    def close(self) -> None:
        self._server.close()
        self._results.close()


@contextmanager
def _here() -> Iterator[Here]:
    host = Here()
    try:
        yield host
    finally:
        host.close()


def judged(specs: Iterable[Spec], method: str) -> Iterator[tuple[Spec, Record, BaseException | None]]:
    """Each configuration's row for one method, and what the method raised."""
    for spec in specs:
        with switched(spec.switches, spec.device), _here() as host:
            (row,) = runner.run(spec, [method], unmarked, hosts=host).records
            yield spec, row, host.error
