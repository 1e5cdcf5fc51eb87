"""A method as training can use it: its computation as the backward of a torch.autograd.Function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..measurement.joint import Result
from ..measurement.problem import Problem
from . import Unsupported
from .autograd import differentiable, gradients_of


class _Function(torch.autograd.Function):
    """Its forward computes nothing, as only the backward is timed; it saves what the gradient depends on."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, needed: tuple[Tensor, ...], call: Any, *wanted: Tensor) -> Tensor:
        ctx.save_for_backward(*needed)
        ctx.call = call
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *grad_output: Tensor) -> Any:
        _ = ctx.saved_tensors  # a real one unpacks them, with the check that nobody has changed them
        found = ctx.call()
        return None, None, None, *(found if isinstance(found, (tuple, list)) else (found,))


def as_backward(problem: Problem, call: Callable[[], Result]) -> Callable[[], Result]:
    """torch.autograd.grad of a graph of one node, whose backward is `call`: what autograd's engine and a node written
    in Python add to it is in its time. Raises Unsupported for order 2 and the output, which have no such node.
    """
    if not problem.spec.in_backward:
        raise Unsupported("the backward of an autograd.Function covers the gradients of order=1")
    _, _, _, wanted = differentiable(problem)
    # Nothing reads the output's values, so that one element stands for all of them.
    output = problem.grad_output.new_empty(1).expand(problem.grad_output.shape)
    of = {"input": (problem.weight,), "weight": (problem.input,)}
    needed = tuple(operand for wrt in problem.wrts for operand in of.get(wrt, ()))
    recorded: Tensor = _Function.apply(output, needed, call, *wanted)  # type: ignore[no-untyped-call]
    return gradients_of(recorded, wanted, problem)


def empty_backward(problem: Problem) -> Callable[[], Tensor]:
    """torch.autograd.grad of a graph of one node that computes nothing, a view: autograd's engine by itself."""
    leaf = problem.input.detach().requires_grad_()
    output, grad = leaf.view_as(leaf), problem.input.detach()
    return lambda: torch.autograd.grad(output, leaf, grad, retain_graph=True)[0]
