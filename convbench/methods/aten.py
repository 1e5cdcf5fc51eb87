"""aten's backward of convolution called directly: autograd's kernel without autograd's engine.

For wrt=output it is the forward. Covers every case but order 2 with an empty batch, for which aten returns nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..facts.wrt import TOGETHER
from ..measurement.joint import Result
from ..measurement.problem import Problem
from . import Unsupported, together


@together
def prepare(problem: Problem) -> Callable[[], Result]:
    """aten::convolution_backward, or aten::_convolution_double_backward for order 2, asked for what is wanted only."""
    case = problem.case
    geometry = (case.stride, case.padding, case.dilation, case.transposed, case.output_padding, case.groups)
    if problem.order == 2:
        return _second_order(problem)
    if problem.wrt == "output":
        return _forward(problem)
    mask = [wrt in problem.wrts for wrt in TOGETHER]
    bias_size = [case.out_channels] if case.bias else None
    gy, x, w = problem.grad_output, problem.input, problem.weight

    def several() -> tuple[Tensor, ...]:
        found = torch.ops.aten.convolution_backward(gy, x, w, bias_size, *geometry, mask)
        return tuple(one for one, asked in zip(found, mask, strict=True) if asked)

    wanted = mask.index(True)

    def call() -> Tensor:
        result: Tensor = torch.ops.aten.convolution_backward(gy, x, w, bias_size, *geometry, mask)[wanted]
        return result

    return several if problem.joint else call


def _forward(problem: Problem) -> Callable[[], Tensor]:
    case, x, w, b = problem.case, problem.input, problem.weight, problem.bias
    geometry = (case.stride, case.padding, case.dilation, case.transposed, case.output_padding, case.groups)

    def call() -> Tensor:
        result: Tensor = torch.ops.aten.convolution(x, w, b, *geometry)
        return result

    return call


def _second_order(problem: Problem) -> Callable[[], Tensor]:
    case, v = problem.case, problem.directions()
    if case.batch == 0:
        raise Unsupported("aten covers order=2 with batch ≥ 1; not batch=0")
    geometry = (case.stride, case.padding, case.dilation, case.transposed, case.output_padding, case.groups)
    wanted = ("grad_output", "input", "weight").index(problem.wrt)
    mask = [i == wanted for i in range(3)]
    gy, x, w = problem.grad_output, problem.input, problem.weight

    def call() -> Tensor:
        backward = torch.ops.aten._convolution_double_backward
        result: Tensor = backward(v.input, v.weight, v.bias, gy, w, x, *geometry, mask)[wanted]
        return result

    return call
