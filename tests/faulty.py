"""Methods that go wrong, each in its own way: what a user's own kernel may do to the process it runs in.

Each is `function(problem) -> callable`, as every method. Where an answer is given it is the right one, taken
from the explicit formula, unless the docstring says otherwise. `problem` is None where nothing is computed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]


def _right(problem: Any) -> Call:
    if problem is None:
        return lambda: None
    from convbench.methods.explicit import prepare

    return prepare(problem)


def calm(problem: Any) -> Call:
    """The right answer and nothing else."""
    return _right(problem)


def counted_hang(problem: Any) -> Call:
    """Leaves a byte in the file CONVBENCH_CALLS with every call, which never ends."""

    def call() -> None:
        with open(os.environ["CONVBENCH_CALLS"], "a") as file:
            file.write(".")
        time.sleep(3600)

    return call


def segfault(problem: Any) -> Call:
    return lambda: ctypes.string_at(1)


def segfault_while_timed(problem: Any) -> Call:
    """Right when it is judged, dead in its twentieth call."""
    right = _right(problem)
    calls = iter(range(20))
    return lambda: right() if next(calls, None) is not None else ctypes.string_at(1)


def abort_in_prepare(problem: Any) -> Call:
    os.abort()


def abort(problem: Any) -> Call:
    return os.abort


def exits(problem: Any) -> Call:
    return lambda: os._exit(0)


def sys_exits(problem: Any) -> Call:
    return lambda: sys.exit(3)


def interrupts(problem: Any) -> Call:
    def call() -> None:
        raise KeyboardInterrupt

    return call


def killed(problem: Any) -> Call:
    return lambda: os.kill(os.getpid(), signal.SIGKILL)


def spins(problem: Any) -> Call:
    def call() -> None:
        while True:
            pass

    return call


def spins_in_c(problem: Any) -> Call:
    """Never gives the interpreter's lock back: a regular expression that takes 2^60 steps."""
    return lambda: re.match(r"(a+)+$", "a" * 60 + "b")


def sleeps(problem: Any) -> Call:
    return lambda: time.sleep(3600)


def stops(problem: Any) -> Call:
    return lambda: os.kill(os.getpid(), signal.SIGSTOP)


def prints_for_ever(problem: Any) -> Call:
    def call() -> None:
        while True:
            os.write(1, b"garbage\n" * 1000)

    return call


def raises(problem: Any) -> Call:
    def call() -> None:
        raise RuntimeError("this kernel has no luck")

    return call


def raises_in_prepare(problem: Any) -> Call:
    raise ValueError("this kernel is not ready")


def gives_nan(problem: Any) -> Call:
    """NaN everywhere, in the right shape and type."""
    right = _right(problem)
    return lambda: right() * float("nan")


def allocates(problem: Any) -> Call:
    """Memory without end, in Python's own allocator, every page written to."""

    def call() -> None:
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1 << 16) * 64))

    return call


def allocates_tensors(problem: Any) -> Call:
    """Memory without end, in torch's allocator."""

    def call() -> None:
        import torch

        kept = []
        while True:
            kept.append(torch.ones(1 << 20))

    return call


def throws_bad_alloc(problem: Any) -> Call:
    """What a C++ library does when it runs out of memory and nobody catches its exception."""

    def call() -> None:
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n")
        os.abort()

    return call


def garbage(problem: Any) -> Call:
    """Ten megabytes to standard output and error, then the right answer."""
    right = _right(problem)

    def call() -> Any:
        for _ in range(100):
            os.write(1, os.urandom(50_000))
            os.write(2, b'{"id": 1, "records": []}\n' * 2000)
        return right()

    return call


def writes_everywhere(problem: Any) -> Call:
    """Garbage into every open descriptor, the one that answers go through among them."""
    right = _right(problem)

    def call() -> Any:
        for fd in range(3, 100):
            with contextlib.suppress(OSError):
                os.write(fd, b"\xff{]\n")
        return right()

    return call


def closes_everything(problem: Any) -> Call:
    right = _right(problem)

    def call() -> Any:
        os.closerange(0, 1000)
        return right()

    return call


def forks(problem: Any) -> Call:
    """Two processes go on with the right answer where there was one."""
    right = _right(problem)

    def call() -> Any:
        os.fork()
        return right()

    return call


def leaves_a_fork(problem: Any) -> Call:
    """The right answer, and a process that stays behind."""
    right = _right(problem)

    def call() -> Any:
        if os.fork() == 0:
            time.sleep(3600)
        return right()

    return call


def _daemon(**settings: Any) -> None:
    """A process in a session of its own, whose number goes into the file CONVBENCH_CALLS."""
    process = subprocess.Popen(["sleep", "3600"], start_new_session=True, **settings)
    with open(os.environ["CONVBENCH_CALLS"], "a") as file:
        file.write(f"{process.pid}\n")
    process.returncode = 0  # Nobody waits for it.


def starts_a_daemon(problem: Any) -> Call:
    """The right answer, and a process that no signal to this one's group reaches."""
    right = _right(problem)

    def call() -> Any:
        _daemon()
        return right()

    return call


def starts_a_bare_daemon(problem: Any) -> Call:
    """The same with an empty environment."""
    right = _right(problem)

    def call() -> Any:
        _daemon(env={})
        return right()

    return call


def starts_a_daemon_and_dies(problem: Any) -> Call:
    def call() -> None:
        _daemon()
        os.abort()

    return call


def damages(problem: Any) -> Call:
    """The right answer, and memory overwritten on the way: whoever sleeps in this process afterwards dies."""
    right = _right(problem)

    def call() -> Any:
        # The type of the function `time.sleep`, behind its count of references.
        ctypes.memset(id(time.sleep) + ctypes.sizeof(ctypes.c_ssize_t), 0, ctypes.sizeof(ctypes.c_void_p))
        return right()

    return call


def damages_for_later(problem: Any) -> Call:
    """The right answer; for the smallest size it damages memory that it needs for others, after CONVBENCH_CALLS."""
    right, damaging = _right(problem), damages(problem)
    if problem.case.size == (1, 1):
        return damaging

    calls = iter(range(int(os.environ.get("CONVBENCH_CALLS", 0))))

    def call() -> Any:
        if next(calls, None) is None:
            time.sleep(0)
        return right()

    return call


def dies_at_times(problem: Any) -> Call:
    """Leaves a byte in the file CONVBENCH_CALLS with every call, and dies in those that CONVBENCH_DIES counts (1,3)."""
    right = _right(problem)

    def call() -> Any:
        with open(os.environ["CONVBENCH_CALLS"], "ab", buffering=0) as file:
            file.write(b".")
            if str(file.tell()) in os.environ["CONVBENCH_DIES"].split(","):
                os.abort()
        return right()

    return call


def negated_lazily(problem: Any) -> Call:
    """The right answer, of which torch has only noted that it is the negative of what stands in memory."""
    right = _right(problem)

    def call() -> Any:
        import torch

        return torch._neg_view(right().neg())  # type: ignore[attr-defined]

    return call


def naps(problem: Any) -> Call:
    """The right answer, three seconds later."""
    right = _right(problem)

    def call() -> Any:
        time.sleep(3)
        return right()

    return call


def forks_in_c_and_dies(problem: Any) -> Call:
    """Dies and leaves a copy behind that Python knows nothing of and that holds all pipes open."""

    def call() -> None:
        if ctypes.CDLL(None).fork() == 0:
            time.sleep(3600)
        os.abort()

    return call


def breaks_device(problem: Any) -> Call:
    """An illegal access on the device, which answers nothing from then on. Only where the device is a stand-in."""

    def call() -> None:
        import torch

        torch.break_it()  # type: ignore[attr-defined]

    return call


def slow(problem: Any) -> Call:
    """The right answer after a while."""
    right = _right(problem)

    def call() -> Any:
        time.sleep(0.03)
        return right()

    return call


def __getattr__(name: str) -> Callable[[Any], Call]:
    """slow0, slow1, …: as many slow methods as one likes."""
    if name.startswith("slow") and name[4:].isdigit():
        return slow
    raise AttributeError(name)
