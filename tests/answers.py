"""What a process that measures is asked for in tests."""

from __future__ import annotations

import os
import time

from convbench.proof.asking import Cannot


def twice(number: int) -> dict[str, int]:
    return {"twice": 2 * number, "pid": os.getpid()}


def breaks(said: str) -> None:
    raise RuntimeError(said)


def refuses(said: str) -> None:
    raise Cannot(said)


def sleeps(seconds: float) -> None:
    time.sleep(seconds)


def dies(code: int) -> None:
    os._exit(code)
