"""The processes that the user's own methods run in, as whoever asks them sees them."""

from __future__ import annotations

from typing import Any, Protocol

from .facts.spec import Spec
from .timing.turns import Answer


class Host(Protocol):
    """The process that a method runs in; `ask` raises Lost. `idle_cpu_s`: CPU seconds that it and what it started took
    between requests, since it was configured. `start` tells whether it had to start it."""

    @property
    def idle_cpu_s(self) -> float: ...
    @property
    def output(self) -> str: ...

    def start(self) -> bool: ...
    def ask(self, do: str, phase: str, within_s: float, **words: Any) -> Answer: ...
    def configure(self, spec: Spec, seed: int, result_bytes: int) -> None: ...
    def settle(self) -> None: ...
    def close(self) -> None: ...
    def read(self, slot: int, size: int) -> bytearray: ...


class Hosts(Protocol):
    """A process for each of the user's own methods."""

    def of(self, method: str) -> Host: ...
