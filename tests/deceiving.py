"""Methods that look right, or fast, and are not: each must be told from the honest ones by what it does."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

import convbench

Call = Callable[[], Any]


def _right(problem: Any) -> Call:
    return lambda: F.conv2d(problem.grad_output, problem.weight)


def keeps(problem: Any) -> Call:
    """Computes once and returns that again."""
    right = _right(problem)
    kept: list[Any] = []

    def call() -> Any:
        if not kept:
            kept.append(right())
        return kept[0]

    return call


def buffer(problem: Any) -> Call:
    """One output buffer for ever: the next call overwrites what the caller holds."""
    right, out = _right(problem), torch.empty(problem.shape)
    return lambda: out.copy_(right())


def clones(problem: Any) -> Call:
    """Computes while it is prepared."""
    kept = _right(problem)()
    return lambda: kept.clone()


def remembers(problem: Any) -> Call:
    """Computes when the operands are new, and else returns a copy of what it has."""
    right = _right(problem)
    known: dict[str, Any] = {}

    def call() -> Any:
        key = (problem.grad_output.flatten()[:4].tolist(), problem.weight.flatten()[:2].tolist())
        if known.get("key") != key:
            known.update(key=key, value=right())
        return known["value"].clone()

    return call


def looks_at_its_caller(problem: Any) -> Call:
    """Does nothing where it sees that nobody looks at the result."""
    right = _right(problem)
    return lambda: None if sys._getframe(1).f_code.co_name == "_part" else right()


def slow_clock(problem: Any) -> Call:
    """Makes the clock beside it read a tenth."""
    from convbench.timing import cpu_clock

    real = time.perf_counter_ns
    begun = real()
    cpu_clock.perf_counter_ns = lambda: begun + (real() - begun) // 10  # type: ignore[attr-defined]
    return _right(problem)


def uninitialised_later(problem: Any) -> Call:
    """Right in the first calls."""
    right, calls = _right(problem), iter(range(4))
    return lambda: right() if next(calls, None) is not None else torch.empty(problem.shape)


def thread(problem: Any) -> Call:
    """Returns at once; a thread computes into what was returned."""
    right = _right(problem)

    def call() -> Any:
        out = torch.empty(problem.shape)

        def work() -> None:
            time.sleep(0.001)
            out.copy_(right())

        threading.Thread(target=work).start()
        return out

    return call


class _Ahead(torch.autograd.Function):
    """Has the result ready when its forward has run."""

    grad_output: torch.Tensor

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(F.conv2d(_Ahead.grad_output, weight))
        return F.conv_transpose2d(input, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return ctx.saved_tensors[0].clone(), None


@convbench.with_autograd
def computes_in_its_forward(problem: Any) -> Call:
    """Computes when its forward is run for new operands, which is not timed."""
    _Ahead.grad_output = problem.grad_output
    return convbench.backward_of(_Ahead)(problem)


class Lazy(torch.Tensor):
    """Could compute when somebody looks."""


def lazy(problem: Any) -> Call:
    right = _right(problem)
    return lambda: right().as_subclass(Lazy)  # type: ignore[no-untyped-call]


def operand(problem: Any) -> Call:
    """Hands a piece of an operand back."""
    return lambda: problem.grad_output.as_strided(problem.shape, (0, 0, 25, 1))


def writes(problem: Any) -> Call:
    """Right, and the weight is zero afterwards."""
    right = _right(problem)

    def call() -> Any:
        found = right()
        problem.weight.zero_()
        return found

    return call
