"""conv's grad_input by hand: zeros between the elements of grad_output, then a stride-1 conv with the flipped weight.

Covers conv1d, conv2d and conv3d with respect to the input, order 1. How the backward pass of a strided
convolution is usually drawn; it multiplies with the zeros too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..facts.case import ConvCase
from ..measurement.convolution import CONV, last_axes
from ..measurement.problem import Problem
from . import Unsupported


def prepare(problem: Problem) -> Callable[[], Tensor]:
    """Raises Unsupported for conv_transpose, other gradients than the input's, and order 2."""
    case = problem.case
    if case.transposed or problem.wrt != "input" or problem.order != 1:
        raise Unsupported(
            f"zero_insert covers grad_input of conv, order 1; not {case.op}, wrt={problem.wrt}, order={problem.order}"
        )
    gy, w = problem.grad_output, problem.weight
    return lambda: grad_input(gy, w, case)


def grad_input(grad_output: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
    """Insert s − 1 zeros, pad d(k−1) − p left and that + r right (negative crops), convolve with W flipped."""
    spaced = insert_zeros(grad_output, case.stride)
    pads: list[int] = []
    rows = zip(case.size, spaced.shape[2:], case.kernel, case.padding, case.dilation, strict=True)
    for size, length, k, p, d in reversed(list(rows)):
        left = d * (k - 1) - p
        pads += [left, size + d * (k - 1) - length - left]
    per_group = weight.unflatten(0, (case.groups, -1)).transpose(1, 2).flatten(0, 1)
    flipped = per_group.flip(list(range(2, weight.dim())))
    return CONV[case.dims](F.pad(spaced, pads), flipped, None, 1, 0, case.dilation, case.groups)


def insert_zeros(tensor: Tensor, stride: tuple[int, ...]) -> Tensor:
    """[N, C, *o] → [N, C, *((o−1)·s+1)]: element o at position o·s, zeros elsewhere."""
    if all(s == 1 for s in stride):
        return tensor
    size = [(o - 1) * s + 1 for o, s in zip(tensor.shape[2:], stride, strict=True)]
    spaced = tensor.new_zeros((*tensor.shape[:2], *size))
    spaced[last_axes(slice(None, None, s) for s in stride)] = tensor
    return spaced
