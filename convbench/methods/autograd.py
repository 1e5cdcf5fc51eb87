"""PyTorch's autograd, and for wrt=output its forward operation. Covers every case.

The forward pass is preparation; only the wanted tensors require a gradient, so that only the wanted gradients are
computed, several of them in one call. The graph is kept, and each call walks it backwards once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..measurement.convolution import forward
from ..measurement.joint import Result
from ..measurement.problem import Problem
from . import together, with_autograd


def differentiable(problem: Problem) -> tuple[Tensor, Tensor, Tensor | None, tuple[Tensor, ...]]:
    """Input, weight and bias, of which the wanted ones are leaves that require a gradient; and those once more."""
    leaves = {"input": problem.input, "weight": problem.weight, "bias": problem.bias}
    wanted = []
    for wrt in problem.wrts:
        operand = leaves[wrt]
        assert operand is not None
        wanted.append(leaf := operand.detach().requires_grad_())
        leaves[wrt] = leaf
    input, weight = leaves["input"], leaves["weight"]
    assert input is not None
    assert weight is not None
    return input, weight, leaves["bias"], tuple(wanted)


def gradients_of(output: Tensor, wanted: Sequence[Tensor], problem: Problem) -> Callable[[], Result]:
    """The backward pass from the problem's grad_output to `wanted`, which may be made again and again."""
    grad_output = problem.grad_output
    if problem.joint:
        return lambda: torch.autograd.grad(output, wanted, grad_output, retain_graph=True)
    return lambda: torch.autograd.grad(output, wanted, grad_output, retain_graph=True)[0]


@together
@with_autograd
def prepare(problem: Problem) -> Callable[[], Result]:
    """torch.autograd.grad of the forward operation; for order 2, of the first-order gradients along the directions."""
    if problem.order == 2:
        return _second_order(problem)
    if problem.wrt == "output":
        return lambda: forward(problem.input, problem.weight, problem.bias, problem.case)
    input, weight, bias, wanted = differentiable(problem)
    output = forward(input, weight, bias, problem.case)
    return gradients_of(output, wanted, problem)


def _second_order(problem: Problem) -> Callable[[], Tensor]:
    x = problem.input.detach().requires_grad_()
    w = problem.weight.detach().requires_grad_()
    b = None if problem.bias is None else problem.bias.detach().requires_grad_()
    gy = problem.grad_output.detach().requires_grad_()
    v = problem.directions()
    leaves = [x, w] if b is None else [x, w, b]
    towards = [v.input, v.weight] if v.bias is None else [v.input, v.weight, v.bias]
    first = torch.autograd.grad(forward(x, w, b, problem.case), leaves, gy, create_graph=True)
    # Only the first-order gradients that depend on the wanted tensor: grad_weight on x, grad_input on w, all on gy.
    used = {"input": [1], "weight": [0], "grad_output": list(range(len(leaves)))}[problem.wrt]
    wanted = {"input": x, "weight": w, "grad_output": gy}[problem.wrt]
    outputs, directions = [first[i] for i in used], [towards[i] for i in used]
    # torch's double backward of an empty batch forgets its operands; their gradient is zero.
    empty = problem.case.batch == 0
    return lambda: torch.autograd.grad(outputs, wanted, directions, retain_graph=True, materialize_grads=empty)[0]
