"""A disturbance for experiments: every core busy in bursts, as on a machine that others use."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

BUSY_S, IDLE_S = 0.15, 0.15
"""Means of the exponentially distributed lengths of bursts and pauses: a few to a dozen in one configuration."""


@contextmanager
def load(cores: int | None = None, seed: int = 0) -> Iterator[None]:
    """Keeps `cores` cores (default: all that this process may use) busy in bursts, each with a process of its own."""
    with ExitStack() as stack:
        for core in range(usable_cores() if cores is None else cores):
            process = subprocess.Popen(
                [sys.executable, "-m", "convbench.validation.burst", str(seed + core), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment(),
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def environment() -> dict[str, str]:
    """This process's, with its import path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(seed: int, parent: int) -> None:
    """Bursts until the parent is gone."""
    rng = random.Random(seed)
    while os.getppid() == parent:
        end = time.perf_counter() + min(rng.expovariate(1 / BUSY_S), 10 * BUSY_S)
        while time.perf_counter() < end:
            sum(range(2000))
        time.sleep(min(rng.expovariate(1 / IDLE_S), 10 * IDLE_S))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
