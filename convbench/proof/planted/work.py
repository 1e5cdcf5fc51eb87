"""Right methods whose work is a known multiple of another's, or waits where it need not."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ...devices import device_of
from ...measurement.problem import Problem
from ...methods.explicit import prepare as explicit


def once(problem: Problem) -> Callable[[], Tensor]:
    """The explicit formula."""
    return explicit(problem)


def twice(problem: Problem) -> Callable[[], Tensor]:
    """The explicit formula, two times."""
    right = explicit(problem)

    def call() -> Tensor:
        right()
        return right()

    return call


def synchronizes(problem: Problem) -> Callable[[], Tensor]:
    """The explicit formula, and waits until the device has done it."""
    right, device = explicit(problem), device_of(problem.spec.device)

    def call() -> Tensor:
        out = right()
        device.synchronize()
        return out

    return call
