"""im2col and a matrix product.

Covers the 1-D and 2-D operations with batch ≥ 1, every gradient, order 1 and 2; not 3-D.

The columns of the large side, [N, g, b·taps, positions of the small side], meet the small side in one matrix
product per group. Source: Chellapilla, Puri and Simard, "High performance convolutional neural networks for
document processing" (2006).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..facts.case import ConvCase
from ..measurement.convolution import last_axes
from ..measurement.problem import Problem
from . import Unsupported
from .formulas import Contractions


def prepare(problem: Problem) -> Callable[[], Tensor]:
    """Raises Unsupported for 3-D operations and an empty batch."""
    case = problem.case
    if case.dims == 3 or case.batch == 0:
        raise Unsupported(f"unfold covers 1-D and 2-D operations with batch ≥ 1; not {case.op}, batch={case.batch}")
    return Contractions(to_small, to_large, to_weight).wanted(problem)


def planar(case: ConvCase) -> dict[str, tuple[int, ...]]:
    """Window settings for torch's unfold and fold, which have two axes: a 1-D operation gets a height of 1."""
    one, none = (1,) * (2 - case.dims), (0,) * (2 - case.dims)
    return {
        "kernel_size": one + case.kernel,
        "dilation": one + case.dilation,
        "padding": none + case.padding,
        "stride": one + case.stride,
    }


def columns(large: Tensor, case: ConvCase) -> Tensor:
    """[N, g·b, *large size] → [N, g, b·taps, ∏ small size].

    What output_padding ≥ stride adds beyond the small side is left out.
    """
    image = large if case.dims == 2 else large.unsqueeze(2)
    unfolded = F.unfold(image, **planar(case))
    found = _blocks(case)
    if found != case.small_size:
        grid = unfolded.unflatten(-1, found)
        unfolded = grid[last_axes(slice(0, o) for o in case.small_size)].flatten(2)
    return unfolded.unflatten(1, (case.groups, -1))


def matrix(weight: Tensor, case: ConvCase) -> Tensor:
    """[g·a, b, *k] → [g, a, b·taps]"""
    return weight.reshape(case.groups, weight.shape[0] // case.groups, -1)


def grouped(small: Tensor, case: ConvCase) -> Tensor:
    """[N, g·a, *o] → [N, g, a, ∏ o]"""
    return small.reshape(small.shape[0], case.groups, -1, math.prod(case.small_size))


def to_small(large: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
    """[N, g·b, *large size] and [g·a, b, *k] → [N, g·a, *small size]: matrix · columns."""
    product = matrix(weight, case) @ columns(large, case)
    return product.reshape(case.batch, -1, *case.small_size)


def to_large(small: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
    """[N, g·a, *small size] and [g·a, b, *k] → [N, g·b, *large size]: matrixᵀ · grouped, its columns folded back."""
    product = matrix(weight, case).mT @ grouped(small, case)
    found = _blocks(case)
    if found != case.small_size:
        pads = [n for o, f in zip(reversed(case.small_size), reversed(found), strict=True) for n in (0, f - o)]
        product = F.pad(product.unflatten(-1, case.small_size), pads).flatten(3)
    size = (1,) * (2 - case.dims) + case.large_size
    return F.fold(product.flatten(1, 2), size, **planar(case)).reshape(case.batch, -1, *case.large_size)


def to_weight(small: Tensor, large: Tensor, case: ConvCase) -> Tensor:
    """[N, g·a, *small size] and [N, g·b, *large size] → [g·a, b, *k]: Σ_n grouped · columnsᵀ."""
    product = grouped(small, case) @ columns(large, case).mT
    return product.sum(0).reshape(case.weight_shape)


def _blocks(case: ConvCase) -> tuple[int, ...]:
    """Window positions that fit the large side, per axis; more than the small side when output_padding ≥ stride."""
    rows = zip(case.large_size, case.kernel, case.stride, case.padding, case.dilation, strict=True)
    return tuple((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in rows)
