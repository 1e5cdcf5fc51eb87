"""The three contractions of convolution.py in float64, tap by tap, with slices and matrix products only.

No convolution kernel takes part. Every function works on a *doubled* operand: a leading axis of 2 holds the
values and their absolute values, so that a result comes with B, the same contraction of the absolute
values, which the error bounds need. Shapes (2 leading, g groups, a small and b large channels per group):
small [2, n, g, a, *small size], large [2, n, g, b, *large size], weight [2, g, a, b, *k].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..facts.case import ConvCase
from .convolution import last_axes

PRODUCT_ELEMENTS = 2_000_000
"""Elements of an intermediate product, 16 MB: larger blocks are mapped anew by the allocator each time."""

Window = tuple[tuple[slice, ...], tuple[slice, ...]]


def doubled(tensor: Tensor) -> Tensor:
    """[…] → [2, …] in float64: the values and their absolute values."""
    both = tensor.new_empty((2, *tensor.shape), dtype=torch.float64)
    both[0] = tensor
    torch.abs(both[0], out=both[1])
    return both


def split_channels(tensor: Tensor, groups: int, axis: int) -> Tensor:
    """The channel axis as two axes, [groups, channels per group]."""
    return tensor.unflatten(axis, (groups, tensor.shape[axis] // groups))


def taps(case: ConvCase) -> Iterator[tuple[tuple[int, ...], Window]]:
    """Every tap that joins anything, with the slices of the small and the large side that it joins."""
    axes = []
    for k, s, p, d, small, large in zip(
        case.kernel, case.stride, case.padding, case.dilation, case.small_size, case.large_size, strict=True
    ):
        choices = []
        for t in range(k):
            first = max(0, -((t * d - p) // s))
            last = min(small - 1, (large - 1 + p - t * d) // s)
            if first <= last:
                start = first * s + t * d - p
                stop = last * s + t * d - p + 1
                choices.append((t, slice(first, last + 1), slice(start, stop, s)))
        axes.append(choices)
    for joined in itertools.product(*axes):
        yield tuple(t for t, _, _ in joined), (tuple(o for _, o, _ in joined), tuple(i for _, _, i in joined))


def to_small(large: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
    """[2, n, g, a, *small size]"""
    n = large.shape[1]
    out = large.new_zeros((2, n, *weight.shape[1:3], *case.small_size))
    for tap, (small_at, large_at) in taps(case):
        source = large[last_axes(large_at)]
        product = weight[last_axes(tap)].unsqueeze(1) @ source.flatten(4)
        out[last_axes(small_at)] += product.unflatten(-1, source.shape[4:])
    return out


def to_large(small: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
    """[2, n, g, b, *large size]"""
    n, g, a, b = small.shape[1], *weight.shape[1:4]
    out = small.new_zeros((2, n, g, b, *case.large_size))
    flat = small.flatten(4)
    windows = list(taps(case))
    block = max(1, PRODUCT_ELEMENTS // max(1, 2 * n * g * b * flat.shape[-1]))
    for start in range(0, len(windows), block):
        chosen = windows[start : start + block]
        # Several taps share one product, so that the small side is read once for all of them.
        rows = torch.stack([weight[last_axes(tap)] for tap, _ in chosen], dim=-1).reshape(2, 1, g, a, -1)
        product = (rows.mT @ flat).view(2, n, g, b, len(chosen), *case.small_size)
        for j, (_, (small_at, large_at)) in enumerate(chosen):
            out[last_axes(large_at)] += product[last_axes((j, *small_at))]
    return out


def to_weight(small: Tensor, large: Tensor, case: ConvCase) -> Tensor:
    """[2, g, a, b, *k]"""
    g, a, b = *small.shape[2:4], large.shape[3]
    out = small.new_zeros((2, g, a, b, *case.kernel))
    for tap, (small_at, large_at) in taps(case):
        left = small[last_axes(small_at)].flatten(4)
        right = large[last_axes(large_at)].flatten(4)
        out[last_axes(tap)] = (left @ right.mT).sum(1)
    return out


def sample_small(large: Tensor, weight: Tensor, case: ConvCase, at: Tensor) -> Tensor:
    """[2, m]: the elements of to_small at the m columns of `at` (rows n, g, a, *o); undoubled operands of any dtype."""
    n, g, a, *o = at
    total = large.new_zeros((2, at.shape[1]), dtype=torch.float64)
    for tap in itertools.product(*map(range, case.kernel)):
        inside = torch.ones_like(n, dtype=torch.bool)
        index = []
        for position, t, s, p, d, size in zip(
            o, tap, case.stride, case.padding, case.dilation, case.large_size, strict=True
        ):
            i = position * s + t * d - p
            inside &= (i >= 0) & (i < size)
            index.append(i.clamp(0, size - 1))
        total += _dots(large[(n, g, slice(None), *index)], weight[(g, a, slice(None), *tap)], inside)
    return total


def sample_large(small: Tensor, weight: Tensor, case: ConvCase, at: Tensor) -> Tensor:
    """[2, m]: the elements of to_large at the m columns of `at` (rows n, g, b, *i); undoubled operands of any dtype."""
    n, g, b, *i = at
    total = small.new_zeros((2, at.shape[1]), dtype=torch.float64)
    for tap in itertools.product(*map(range, case.kernel)):
        inside = torch.ones_like(n, dtype=torch.bool)
        index = []
        for position, t, s, p, d, size in zip(
            i, tap, case.stride, case.padding, case.dilation, case.small_size, strict=True
        ):
            scaled = position + p - t * d
            o = scaled.div(s, rounding_mode="floor")
            inside &= (o * s == scaled) & (o >= 0) & (o < size)
            index.append(o.clamp(0, size - 1))
        total += _dots(small[(n, g, slice(None), *index)], weight[(g, slice(None), b, *tap)], inside)
    return total


def sample_weight(small: Tensor, large: Tensor, case: ConvCase, at: Tensor) -> Tensor:
    """[2, m]: the elements of to_weight at the m columns of `at` (rows g, a, b, *t); undoubled operands."""
    total = small.new_zeros((2, at.shape[1]), dtype=torch.float64)
    for tap, (small_at, large_at) in taps(case):
        columns = at[3:].T.eq(torch.tensor(tap, device=at.device)).all(1).nonzero().squeeze(1)
        near, far = small[last_axes(small_at)], large[last_axes(large_at)]
        step = max(1, PRODUCT_ELEMENTS // (near[:, 0, 0].numel()))
        for some in columns.split(step):
            g, a, b = at[:3, some]
            # [n, m, *size] each: a plane of the batch for every element.
            left, right = near[:, g, a].double(), far[:, g, b].double()
            product = left * right
            axes = [0, *range(2, product.dim())]
            total[0, some] = product.sum(axes)
            total[1, some] = product.abs().sum(axes)
    return total


def _dots(left: Tensor, right: Tensor, inside: Tensor) -> Tensor:
    """[2, m] from two [m, c]: Σ_c left·right and Σ_c |left·right|; zero where not inside."""
    product = left.double() * right.double() * inside.unsqueeze(1)
    return torch.stack([product.sum(1), product.abs().sum(1)])


def flops(case: ConvCase) -> int:
    """Of one doubled contraction: 2 × (2 per multiply-add)."""
    per_tap = case.batch * math.prod(case.small_size) * case.in_channels * case.out_channels // case.groups
    return 4 * per_tap * case.taps
