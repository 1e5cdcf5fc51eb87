"""Starts an interval timer and a busy thread at its top."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from ...measurement.problem import Problem
from ...methods.explicit import prepare as explicit

LONGEST_S = 120.0


def _spin() -> None:
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until:
        sum(range(1000))


signal.signal(signal.SIGALRM, lambda number, frame: None)
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
threading.Thread(target=_spin, daemon=True).start()


def method(problem: Problem) -> Callable[[], Any]:
    return explicit(problem)
