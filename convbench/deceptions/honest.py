"""Right methods that look like deceptions: each must be ok, and as fast as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor

from ..measurement.problem import Problem
from ..methods import with_autograd
from ..methods.explicit import prepare as explicit

Call = Callable[[], Any]


def plain(problem: Problem) -> Call:
    """The explicit formula and nothing else."""
    return explicit(problem)


def rival(problem: Problem) -> Call:
    """The explicit formula as somebody else's method, beside every other of the set."""
    return explicit(problem)


def workspace(problem: Problem) -> Call:
    """Memory of its own, kept from call to call; the result is a new tensor."""
    right = explicit(problem)
    scratch = torch.empty_like(problem.grad_output)

    def call() -> Tensor:
        scratch.copy_(problem.grad_output)
        return right()

    return call


def channels_last(problem: Problem) -> Call:
    """A result with its channels last in memory."""
    right = explicit(problem)
    return lambda: right().to(memory_format=torch.channels_last)


def counts_its_calls(problem: Problem) -> Call:
    """A counter, as for tracing."""
    right, calls = explicit(problem), count()

    def call() -> Tensor:
        next(calls)
        return right()

    return call


def switch_in_its_call(problem: Problem) -> Call:
    """A switch of torch's set for its own work by a context manager, and set back."""
    right = explicit(problem)

    def call() -> Tensor:
        with torch.backends.mkldnn.flags(enabled=True):
            return right()

    return call


@with_autograd
def through_autograd(problem: Problem) -> Call:
    """Through autograd, forward and backward."""
    case = problem.case

    def call() -> Tensor:
        x = problem.input.detach().requires_grad_()
        y = torch.nn.functional.conv_transpose2d(
            x, problem.weight, None, case.stride, case.padding, case.output_padding, case.groups, case.dilation
        )
        return torch.autograd.grad(y, x, problem.grad_output)[0]

    return call


def idle_threads(problem: Problem) -> Call:
    """A pool of threads that waits for work which does not come."""
    right, todo = explicit(problem), SimpleQueue[None]()
    for _ in range(4):
        threading.Thread(target=todo.get, daemon=True).start()
    return right


def of_numpy(problem: Problem) -> Call:
    """Through numpy: a new tensor over new memory."""
    right = explicit(problem)
    return lambda: torch.from_numpy(right().numpy().copy())
