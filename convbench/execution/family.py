"""A process with everything that it started, sessions of their own included: their CPU seconds, and how to halt them.

Linux alone tells; elsewhere a process is thought to be alone, and its CPU seconds are unknown.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans() -> None:
    """Makes this process the parent of what its children leave behind, so that it stays in its family."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def family_of(pid: int) -> list[int]:
    """The process and its living descendants, each after its parent."""
    found = [pid]
    for member in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{member}/task"):
                with open(f"/proc/{member}/task/{thread}/children", "rb") as file:
                    found += map(int, file.read().split())
    return found


def cpu_seconds(family: list[int]) -> float | None:
    """CPU seconds of all their threads by the kernel's account, ended threads included; None where it does not tell."""
    if sys.platform != "linux":
        return None
    spent = None
    for pid in family:
        with contextlib.suppress(OSError):
            # A process's CPU clock as clock_getcpuclockid(3) makes it: ~pid, and CPUCLOCK_SCHED.
            spent = (spent or 0.0) + time.clock_gettime(~pid << 3 | 2)
    return spent


def waited_seconds(process: int | str) -> float:
    """Seconds that the first thread of a process waited for a core since its start; 0 where the system does not tell.
    "thread-self" stands for the calling thread."""
    try:
        with open(f"/proc/{process}/schedstat", "rb") as file:
            return int(file.read().split()[1]) * 1e-9
    except (OSError, IndexError):
        return 0.0


def send(family: list[int], what: signal.Signals) -> None:
    """A signal for each of them that lives and is ours."""
    for pid in family:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, what)
