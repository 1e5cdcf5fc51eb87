"""Methods that hang, break the device, or want more memory than there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...devices import device_of
from ...measurement.problem import Problem
from ...methods.explicit import prepare as explicit

HANG_S = 40.0
"""Beyond every deadline that the proof sets."""
CYCLES_PER_S = 2e9
"""A device's clock at most, about."""


def hangs(problem: Problem) -> Callable[[], Tensor]:
    """The device is at work for forty seconds; where it cannot be told to sleep, the host sleeps."""
    right = explicit(problem)
    cuda: Any = device_of(problem.spec.device).interface()

    def call() -> Tensor:
        if hasattr(cuda, "_sleep"):
            for _ in range(int(HANG_S)):
                cuda._sleep(int(CYCLES_PER_S))
        else:
            time.sleep(HANG_S)
        return right()

    return call


def asserts(problem: Problem) -> Callable[[], Tensor]:
    """An assertion that does not hold, on the device."""
    right, false = explicit(problem), torch.zeros(1, dtype=torch.bool, device=problem.device)

    def call() -> Tensor:
        torch._assert_async(false)
        return right()

    return call


def exhausts(problem: Problem) -> Callable[[], Tensor]:
    """Wants 64 TiB."""
    right = explicit(problem)

    def call() -> Tensor:
        torch.empty(2**46, dtype=torch.uint8, device=problem.device)
        return right()

    return call
