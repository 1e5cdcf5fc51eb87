"""SIGINT and SIGTERM: the first one stops after the configuration in flight, the second one at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

GRACE_S = 1.0
"""How long the configuration in flight may still take after the first signal; longer, and it is dropped."""


class StopNow(KeyboardInterrupt):
    """The second signal. `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class Interrupted(Exception):
    """The configuration in flight is dropped because a signal came and it took too long."""


class Interrupt:
    """Listens to SIGINT and SIGTERM while it is entered (in the main thread; elsewhere it hears nothing).

    `signal` is the first one's number, and `fd` becomes readable with it, so that a process asleep in
    poll wakes up. The second one raises StopNow wherever the program is.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0
        self._kept: dict[int, Any] = {}
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._kept[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)
        os.close(self.fd)
        os.close(self._write_fd)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise StopNow(number)
        self.signal, self._since = number, time.monotonic()
        os.write(self._write_fd, b"!")

    def heard(self) -> None:
        """Makes `fd` unreadable again."""
        os.read(self.fd, 1)

    def patience(self) -> float:
        """Seconds that the configuration in flight still has: infinite without a signal."""
        if self.signal is None:
            return float("inf")
        return self._since + GRACE_S - time.monotonic()
