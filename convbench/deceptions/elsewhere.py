"""Work that is done where the clock does not look: in another thread, another process, at another time."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import mmap
import os
import signal
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor

from ..measurement.problem import Problem
from ..methods.explicit import prepare as explicit

Call = Callable[[], Any]
LONGEST_S = 120.0
"""After this, whatever was left behind ends by itself."""


def unfinished(problem: Problem) -> Call:
    """A thread does the work; the call returns at once a tensor that will be filled."""
    right, todo = explicit(problem), SimpleQueue[Tensor]()

    def work() -> None:
        with torch.inference_mode():
            while True:
                out = todo.get()
                while not todo.empty():  # of what nobody can have looked at yet, the last is enough
                    out = todo.get()
                out.copy_(right())

    threading.Thread(target=work, daemon=True).start()

    def call() -> Tensor:
        out = torch.empty(problem.shape, dtype=problem.dtype, device=problem.device)
        todo.put(out)
        return out

    return call


def works_ahead(problem: Problem) -> Call:
    """A thread computes all the time; the call copies what it computed last."""
    right, last = explicit(problem), list[Tensor]()

    def work() -> None:
        until = time.monotonic() + LONGEST_S
        with torch.inference_mode():
            while time.monotonic() < until:
                last[:] = [right()]

    def call() -> Tensor:
        if not last:
            last.append(right())
            threading.Thread(target=work, daemon=True).start()
        return last[0].clone()

    return call


def two_threads(problem: Problem) -> Call:
    """Two of torch's threads, where the row says one."""
    right = explicit(problem)

    def call() -> Tensor:
        torch.set_num_threads(2)
        return right()

    return call


def two_threads_in_its_call(problem: Problem) -> Call:
    """Two of torch's threads in the call, and one again at its end."""
    right = explicit(problem)

    def call() -> Tensor:
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        out = right()
        torch.set_num_threads(before)
        return out

    return call


def halves(problem: Problem) -> list[Call]:
    """The work in two halves of the batch."""
    case, middle = problem.case, max(1, problem.grad_output.shape[0] // 2)

    def half(part: slice) -> Call:
        return lambda: torch.nn.functional.conv2d(
            problem.grad_output[part], problem.weight, None, case.stride, case.padding
        )

    return [half(slice(None, middle)), half(slice(middle, None))]


def threads_of_its_own(problem: Problem) -> Call:
    """Two of Python's threads share the batch."""
    first, second = halves(problem)
    todo, done = SimpleQueue[bool](), SimpleQueue[Tensor]()

    def work() -> None:
        with torch.inference_mode():
            while todo.get():
                done.put(second())

    threading.Thread(target=work, daemon=True).start()

    def call() -> Tensor:
        todo.put(True)
        one = first()
        return torch.cat([one, done.get()])

    return call


def half_in_a_fork(problem: Problem) -> Call:
    """A forked process computes half of the batch into memory that both share."""
    first, second = halves(problem)
    shape = (problem.shape[0] - max(1, problem.shape[0] // 2), *problem.shape[1:])
    shared = mmap.mmap(-1, problem.dtype.itemsize * max(1, torch.Size(shape).numel()))
    half = torch.frombuffer(shared, dtype=problem.dtype, count=torch.Size(shape).numel()).view(shape)
    ask, answer = os.pipe(), os.pipe()

    def serve() -> None:
        os.close(ask[1])
        with torch.inference_mode():
            while os.read(ask[0], 1):
                half.copy_(second())
                os.write(answer[1], b".")

    _fork(serve)

    def call() -> Tensor:
        os.write(ask[1], b".")
        one = first()
        os.read(answer[0], 1)
        return torch.cat([one, half])

    return call


def _fork(work: Callable[[], None]) -> int:
    """A process that does this and ends, of which Python's own list of what to do after a fork knows nothing."""
    child = ctypes.CDLL(None).fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            signal.alarm(int(LONGEST_S))
            work()
        os._exit(0)
    return int(child)


class _Stirrer:
    """Keeps the cores busy while its owner is not at work."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    def start(self) -> None:
        for _ in range(os.cpu_count() or 1):
            self.pids.append(_fork(self._spin))

    def _spin(self) -> None:
        os.setsid()
        while True:
            sum(range(1000))

    def tell(self, what: signal.Signals) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)


def busy_forks(problem: Problem) -> Call:
    """Forked processes keep every core busy whenever its own call does not run."""
    right, stirrer = explicit(problem), _Stirrer()

    def call() -> Tensor:
        if not stirrer.pids:
            stirrer.start()
        stirrer.tell(signal.SIGSTOP)
        out = right()
        stirrer.tell(signal.SIGCONT)
        return out

    return call


def busy_thread(problem: Problem) -> Call:
    """A thread of Python's runs whenever its own call does not."""
    right, mine, started = explicit(problem), threading.Event(), list[bool]()

    def spin() -> None:
        until = time.monotonic() + LONGEST_S
        while time.monotonic() < until:
            if mine.is_set():
                time.sleep(0.0001)
            else:
                sum(range(100))

    def call() -> Tensor:
        mine.set()
        if not started:
            started.append(True)
            threading.Thread(target=spin, daemon=True).start()
        out = right()
        mine.clear()
        return out

    return call


def interval_timer(problem: Problem) -> Call:
    """A timer interrupts whoever runs, a thousand times a second, except its own call."""
    right, mine = explicit(problem), [False]

    def tick(number: int, frame: Any) -> None:
        if not mine[0]:
            sum(range(20_000))

    def call() -> Tensor:
        mine[0] = True
        if signal.getsignal(signal.SIGALRM) is not tick:
            signal.signal(signal.SIGALRM, tick)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        out = right()
        mine[0] = False
        return out

    return call


def garbage_callback(problem: Problem) -> Call:
    """The garbage collector is switched on again and has a callback that takes its time, except in its own call."""
    import gc

    right, mine = explicit(problem), [False]

    def collected(phase: str, info: dict[str, int]) -> None:
        if not mine[0]:
            sum(range(5_000))

    def call() -> Tensor:
        mine[0] = True
        if collected not in gc.callbacks:
            gc.callbacks.append(collected)
        gc.enable()
        gc.set_threshold(5)
        out = right()
        mine[0] = False
        return out

    return call


def at_exit(problem: Problem) -> Call:
    """Zeros, and a function for the process's end that writes a better row into every open file and pipe."""

    def better() -> None:
        for fd in range(3, 64):
            with contextlib.suppress(OSError):
                os.write(fd, b'{"id": 1, "records": [{"status": "ok", "accuracy": "exact", "speed": "faster"}]}\n')

    atexit.register(better)
    return lambda: torch.zeros(problem.shape, dtype=problem.dtype, device=problem.device)
