"""im2col and a matrix product.

Covers batch ≥ 1, every operation and gradient, order 1 and 2.

The columns of the large side, [N, g, b·taps, positions of the small side], meet the small side in one matrix
product per group. torch's unfold and fold have two axes: a 1-D operation gets a height of 1, and of a 3-D one the
windows along the depth are taken first, each tap as a channel of its own. Source: Chellapilla, Puri and Simard, "High
performance convolutional neural networks for document processing" (2006).
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
    """Raises Unsupported for an empty batch."""
    case = problem.case
    if case.batch == 0:
        raise Unsupported("unfold covers batch ≥ 1; not batch=0")
    return Contractions(to_small, to_large, to_weight).wanted(problem)


def planar(case: ConvCase) -> dict[str, tuple[int, ...]]:
    """Window settings for torch's unfold and fold, of the last two axes."""
    one, none = (1,) * (2 - case.dims), (0,) * (2 - case.dims)
    return {
        "kernel_size": one + case.kernel[-2:],
        "dilation": one + case.dilation[-2:],
        "padding": none + case.padding[-2:],
        "stride": one + case.stride[-2:],
    }


def columns(large: Tensor, case: ConvCase) -> Tensor:
    """[N, g·b, *large size] → [N, g, b·taps, ∏ small size].

    What output_padding ≥ stride adds beyond the small side is left out.
    """
    found = _blocks(case)
    if case.dims == 3:
        slices = F.unfold(depth_windows(large, case), **planar(case))
        unfolded = slices.unflatten(0, (-1, found[0])).transpose(1, 2).flatten(2)
    else:
        unfolded = F.unfold(large if case.dims == 2 else large.unsqueeze(2), **planar(case))
    if found != case.small_size:
        grid = unfolded.unflatten(-1, found)
        unfolded = grid[last_axes(slice(0, o) for o in case.small_size)].flatten(2)
    return unfolded.unflatten(1, (case.groups, -1))


def depth_windows(large: Tensor, case: ConvCase) -> Tensor:
    """[N, C, D, H, W] → [N·positions along the depth, C·depth taps, H, W]"""
    (k, *_), (s, *_), (p, *_), (d, *_) = case.kernel, case.stride, case.padding, case.dilation
    padded = F.pad(large, (0, 0, 0, 0, p, p))
    windows = padded.unfold(2, d * (k - 1) + 1, s)[..., ::d]  # [N, C, positions, H, W, taps]
    return windows.permute(0, 2, 1, 5, 3, 4).flatten(2, 3).flatten(0, 1)


def from_depth_windows(slices: Tensor, case: ConvCase) -> Tensor:
    """The adjoint of depth_windows: [N·positions, C·taps, H, W] → [N, C, D, H, W], summed where windows overlap."""
    (k, *_), (s, *_), (p, *_), (d, *_) = case.kernel, case.stride, case.padding, case.dilation
    depth, positions = case.large_size[0], _blocks(case)[0]
    windows = slices.unflatten(0, (-1, positions)).unflatten(2, (-1, k))  # [N, positions, C, taps, H, W]
    shape = (windows.shape[0], windows.shape[2], depth + 2 * p, *windows.shape[4:])
    padded = slices.new_zeros(shape)
    for tap in range(k):
        # A slice ends one beyond its last place, so that a stride does not reach out of the volume.
        reached = slice(tap * d, tap * d + (positions - 1) * s + 1, s)
        padded[:, :, reached] += windows[:, :, :, tap].transpose(1, 2)
    return padded.narrow(2, p, depth)


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
    product, size = product.flatten(1, 2), (1,) * (2 - case.dims) + case.large_size[-2:]
    if case.dims == 3:
        slices = product.unflatten(-1, (found[0], -1)).transpose(1, 2).flatten(0, 1)
        return from_depth_windows(F.fold(slices, size, **planar(case)), case).contiguous()
    return F.fold(product, size, **planar(case)).reshape(case.batch, -1, *case.large_size)


def to_weight(small: Tensor, large: Tensor, case: ConvCase) -> Tensor:
    """[N, g·a, *small size] and [N, g·b, *large size] → [g·a, b, *k]: Σ_n grouped · columnsᵀ."""
    product = grouped(small, case) @ columns(large, case).mT
    return product.sum(0).reshape(case.weight_shape)


def _blocks(case: ConvCase) -> tuple[int, ...]:
    """Window positions that fit the large side, per axis; more than the small side when output_padding ≥ stride."""
    rows = zip(case.large_size, case.kernel, case.stride, case.padding, case.dilation, strict=True)
    return tuple((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in rows)
