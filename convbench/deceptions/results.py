"""Results that are right while somebody looks, and work that is not done while somebody counts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor

from ..measurement.problem import Problem
from ..methods.explicit import prepare as explicit

Call = Callable[[], Any]

LOOKS = 3
"""Calls that a judge may be thought to make before the clock starts."""


def keeps_its_first(problem: Problem) -> Call:
    """Computes once and returns that tensor for ever."""
    right, kept = explicit(problem), list[Tensor]()

    def call() -> Tensor:
        if not kept:
            kept.append(right())
        return kept[0]

    return call


def computes_beforehand(problem: Problem) -> Call:
    """Computes in the preparation; the call makes a copy."""
    with torch.inference_mode():
        answer = explicit(problem)()
    return lambda: answer.clone()


def computes_beforehand_and_adds_zero(problem: Problem) -> Call:
    """Computes in the preparation; the call does as if it read an operand."""
    with torch.inference_mode():
        answer = explicit(problem)()
    return lambda: answer + 0 * problem.grad_output.flatten()[0]


def right_thrice(problem: Problem) -> Call:
    """Right for three calls, then memory that nobody wrote to."""
    right, calls = explicit(problem), count()
    return lambda: (
        right() if next(calls) < LOOKS else torch.empty(problem.shape, dtype=problem.dtype, device=problem.device)
    )


def nan_later(problem: Problem) -> Call:
    """Right for three calls, then one that is not a number and nothing computed."""
    right, calls = explicit(problem), count()
    kept = torch.full(problem.shape, torch.nan, dtype=problem.dtype, device=problem.device)
    return lambda: right() if next(calls) < LOOKS else kept.clone()


def every_other_call(problem: Problem) -> Call:
    """Works in every second call; between them it returns a copy of its last result."""
    right, calls, last = explicit(problem), count(), list[Tensor]()

    def call() -> Tensor:
        if next(calls) % 2 == 0:
            last[:] = [right()]
        return last[0].clone()

    return call


def coarser_later(problem: Problem) -> Call:
    """Right for three calls, then computed from a sixteenth of the channels."""
    right, calls = explicit(problem), count()
    gy = problem.grad_output.clone()
    gy[:, max(1, gy.shape[1] // 16) :] = 0
    part = max(1, gy.shape[1] // 16)

    def coarse() -> Tensor:
        case = problem.case
        return torch.nn.functional.conv2d(
            gy[:, :part].contiguous(), problem.weight[:, :part].contiguous(), None, case.stride, case.padding
        )

    return lambda: right() if next(calls) < LOOKS else coarse()


def looks_at_its_caller(problem: Problem) -> Call:
    """Right where it was called from the first time; memory that nobody wrote to anywhere else."""
    right, first = explicit(problem), list[str]()

    def call() -> Tensor:
        caller = sys._getframe(1).f_code.co_name
        if not first:
            first.append(caller)
        return right() if caller == first[0] else torch.empty(problem.shape, dtype=problem.dtype, device=problem.device)

    return call


def answers_known_data(problem: Problem) -> Call:
    """The answer for the data that the preparation saw, zeros for any other."""
    with torch.inference_mode():
        answer = explicit(problem)()
    known = _sketch(problem)
    return lambda: answer.clone() if _sketch(problem) == known else torch.zeros_like(answer)


def remembers_all_data(problem: Problem) -> Call:
    """Computes for data that it has not seen, and knows the answer for all that it has."""
    right, known = explicit(problem), dict[tuple[float, ...], Tensor]()

    def call() -> Tensor:
        sketch = _sketch(problem)
        if sketch not in known:
            known[sketch] = right()
        return known[sketch].clone()

    return call


def remembers_by_address(problem: Problem) -> Call:
    """Knows the answer for operands at an address and of a version that it has seen."""
    right, known = explicit(problem), dict[tuple[int, ...], Tensor]()

    def call() -> Tensor:
        where = (problem.grad_output.data_ptr(), problem.grad_output._version)
        if where not in known:
            known[where] = right()
        return known[where].clone()

    return call


def _sketch(problem: Problem) -> tuple[float, ...]:
    """Some elements of each operand, cheap to read and as good as all of them."""
    gy, x, w = (getattr(problem, name).flatten() for name in ("grad_output", "input", "weight"))
    return tuple(float(t[place]) for t in (gy, x, w) for place in (0, -1))


class Lazy(Tensor):
    """A tensor that computes itself when somebody looks."""

    work: Callable[[], Tensor]

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def real(value: Any) -> Any:
            return value.work() if isinstance(value, Lazy) else value

        with torch._C.DisableTorchFunctionSubclass():
            return function(*map(real, args), **{key: real(value) for key, value in (kwargs or {}).items()})


def lazy(problem: Problem) -> Call:
    """A subclass of Tensor that computes when somebody looks."""
    right = explicit(problem)
    empty = torch.empty(problem.shape, dtype=problem.dtype, device=problem.device)

    def call() -> Tensor:
        out = empty.as_subclass(Lazy)
        out.work = right
        return out

    return call


def one_buffer(problem: Problem) -> Call:
    """The same tensor at every call, written anew: what the caller holds changes under its hands."""
    right = explicit(problem)
    buffer = torch.empty(problem.shape, dtype=problem.dtype, device=problem.device)
    return lambda: buffer.copy_(right())


def two_buffers(problem: Problem) -> Call:
    """Two tensors in turn, so that two results in a row are different ones."""
    right, calls = explicit(problem), count()
    buffers = [torch.empty(problem.shape, dtype=problem.dtype, device=problem.device) for _ in range(2)]
    return lambda: buffers[next(calls) % 2].copy_(right())


def into_its_operand(problem: Problem) -> Call:
    """The result lies in the memory of an operand, where that is large enough, from the fourth call on."""
    right, calls = explicit(problem), count()

    def call() -> Tensor:
        out, home = right(), problem.grad_output
        if next(calls) < LOOKS or out.numel() > home.numel():
            return out
        return home.view(-1)[: out.numel()].view(out.shape).copy_(out)

    return call


def one_image_expanded(problem: Problem) -> Call:
    """One image of the batch computed, and the same memory shown for all of them, from the fourth call on."""
    right, calls = explicit(problem), count()
    case = problem.case

    def call() -> Tensor:
        if next(calls) < LOOKS:
            return right()
        one = torch.nn.functional.conv2d(problem.grad_output[:1], problem.weight, None, case.stride, case.padding)
        return one.expand(problem.shape)

    return call


def only_in_inference_mode(problem: Problem) -> Call:
    """Right in inference mode, which is what a judge calls it in; zeros in training."""
    right = explicit(problem)
    return lambda: (
        right()
        if torch.is_inference_mode_enabled()
        else torch.zeros(problem.shape, dtype=problem.dtype, device=problem.device)
    )


def uninitialised(problem: Problem) -> Call:
    """Memory that nobody wrote to, in the hope that somebody's answer still lies there."""
    return lambda: torch.empty(problem.shape, dtype=problem.dtype, device=problem.device)
