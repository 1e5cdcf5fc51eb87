"""Right methods that change the process they run in, or keep something of it at work."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

torch.set_num_threads(2)
Call = Callable[[], Any]


def at_its_top(problem: Any) -> Call:
    """Threads set by the module."""
    return lambda: F.conv2d(problem.grad_output, problem.weight)


def in_its_calls(problem: Any) -> Call:
    """oneDNN off after every call."""

    def call() -> Any:
        torch.backends.mkldnn.enabled = True  # type: ignore[assignment]
        out = F.conv2d(problem.grad_output, problem.weight)
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
        return out

    return call


def sets_a_variable(problem: Any) -> Call:
    """What libraries do when they are first used."""

    def call() -> Any:
        os.environ["CONVBENCH_TEST_MEDDLING"] = "1"
        return F.conv2d(problem.grad_output, problem.weight)

    return call


def thread(problem: Any) -> Call:
    """A thread that works all the time."""

    def work() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            sum(range(1000))

    threading.Thread(target=work, daemon=True).start()
    return lambda: F.conv2d(problem.grad_output, problem.weight)


def fork(problem: Any) -> Call:
    """A process in a session of its own that works all the time."""
    if ctypes.CDLL(None).fork() == 0:
        os.setsid()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            sum(range(1000))
        os._exit(0)
    return lambda: F.conv2d(problem.grad_output, problem.weight)


def names_its_process(problem: Any) -> Call:
    """A right method; its process's number is in a file, for a test in which something else goes by it."""
    if file := os.environ.get("CONVBENCH_TEST_PID_FILE"):
        Path(file).write_text(str(os.getpid()))
    return lambda: F.conv2d(problem.grad_output, problem.weight)
