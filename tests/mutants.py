"""Wrong gradients and right algorithms, for the confusion table of the verdicts.

A mutant is a way to get one gradient, or the output, wrong that people do get wrong; it computes in float64 from the
loops' equivalent (the reference's own contractions would judge themselves) and rounds once, so that nothing but the
bug separates it from the truth. Most are those that convbench itself looks for in a wrong result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from convbench.facts.spec import Spec
from convbench.failures.mistakes import MISTAKES, edited, in_float64, padding_off
from convbench.measurement import problem
from convbench.measurement.problem import Problem

from .settings import make_spec

# Small enough that a sum of absolute products of integers stays near 2⁸, where bfloat16 must be exact.
SHAPES: list[dict[str, object]] = [
    {"batch": 2, "in_channels": 3, "out_channels": 3, "size": 5, "kernel": 3},
    {"batch": 2, "in_channels": 3, "out_channels": 4, "size": 5, "kernel": 4, "stride": 2, "padding": 1},
    {"batch": 2, "in_channels": 3, "out_channels": 2, "size": [4, 6], "kernel": [3, 5], "padding": [1, 2]},
    {"batch": 2, "in_channels": 6, "out_channels": 4, "size": 5, "kernel": 3, "groups": 2, "padding": 1},
    {"batch": 2, "in_channels": 3, "out_channels": 3, "size": 5, "kernel": 3, "dilation": 2, "padding": 2},
]
OPS = ("conv2d", "conv_transpose2d")
WRT = ("input", "weight")


def mutated_specs(dtype: str, fill: str, wrts: Sequence[str] = WRT) -> Iterator[Spec]:
    """An output has a bias, which is then part of it."""
    for shape in SHAPES:
        for op in OPS:
            for wrt in wrts:
                settings = {"op": op, "wrt": wrt, "bias": wrt == "output", "dtype": dtype, "fill": fill}
                yield make_spec(**{**shape, **settings})


def sign_flipped(made: Problem) -> Tensor:
    """One channel with the wrong sign."""
    return edited(in_float64(made), lambda g: g[:, 0].neg_())


def _anywhere(made: Problem, exact: Tensor) -> int:
    """A seeded choice among all elements: where the bug sits is not up to the test."""
    generator = torch.Generator().manual_seed(sum(made.shape) + len(made.case.op))
    return int(torch.randint(exact.numel(), (1,), generator=generator))


def pixel_dropped(made: Problem) -> Tensor:
    """One element never written."""
    exact = in_float64(made)
    return edited(exact, lambda g: g.view(-1)[_anywhere(made, exact)].zero_())


def pixel_copied(made: Problem) -> Tensor:
    """One element holds its neighbour's value."""
    exact = in_float64(made).contiguous()
    at = _anywhere(made, exact)
    return edited(exact, lambda g: g.view(-1)[at].copy_(exact.view(-1)[at - 1]))


def tile_stale(made: Problem) -> Tensor:
    """A tile of 2×2 written twice."""
    return edited(in_float64(made), lambda g: g[:, :, :2, :2].mul_(2))


PADDED = {
    "padding_one_more": ([1, 1], "the padding is 1 too large along rows and columns"),
    "padding_two_more": ([2, 2], "the padding is 2 too large along rows and columns"),
    "padding_two_less": ([-2, -2], "the padding is 2 too small along rows and columns"),
    "columns_padded_two_more": ([0, 2], "the padding is 2 too large along columns"),
    "rows_padded_three_less": ([-3, 0], "the padding is 3 too small along rows"),
}
"""Name → by how much the padding is off along rows and columns, and the sentence that says so."""

NAMED = {**{name: str(f.__doc__) for name, f in MISTAKES.items()}, **{name: said for name, (_, said) in PADDED.items()}}
"""What convbench itself looks for, and what it says of it."""


def _padded(by: list[int]) -> Callable[[Problem], Tensor]:
    return lambda made: padding_off(made, by)


MUTANTS: dict[str, Callable[[Problem], Tensor]] = {
    **MISTAKES,
    **{name: _padded(by) for name, (by, _) in PADDED.items()},
    **{f.__name__: f for f in (sign_flipped, pixel_dropped, pixel_copied, tile_stale)},
}


def mutants(dtype: str, fill: str, wrts: Sequence[str] = WRT) -> Iterator[tuple[str, Problem, Tensor]]:
    """Name, problem and result of every mutant that is one: those that change nothing here are left out."""
    for spec in mutated_specs(dtype, fill, wrts):
        made = problem.make(spec)
        right = in_float64(made)
        for name, mutate in MUTANTS.items():
            wrong = mutate(made)
            if not torch.equal(wrong, right):
                yield name, made, wrong.to(made.dtype)


def winograd(made: Problem) -> Tensor | None:
    """grad_input of a 3×3, stride-1 case by Winograd's F(2×2, 3×3), in the problem's dtype throughout (float32: as it
    stands in Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016); None for other cases."""
    case = made.case
    plain = case.kernel == (3, 3) and case.stride == (1, 1) and case.dilation == (1, 1) and case.groups == 1
    if not plain or made.wrt != "input" or made.order != 1:
        return None
    # As a correlation with the kernel g [out, in, 3, 3] of the padded image d.
    if case.transposed:
        kernel, pad = made.weight, case.padding
    else:
        kernel, pad = made.weight.flip([2, 3]).transpose(0, 1), tuple(2 - p for p in case.padding)
    height, width = case.size
    extra = height % 2, width % 2
    image = torch.nn.functional.pad(made.grad_output, [pad[1], pad[1] + extra[1], pad[0], pad[0] + extra[0]])
    b = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], dtype=made.dtype)
    g = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=made.dtype)
    a = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1]], dtype=made.dtype)
    tiles = image.unfold(2, 4, 2).unfold(3, 4, 2)
    transformed = torch.einsum("ij,ncxyjk,lk->ncxyil", b, tiles, b)
    weights = torch.einsum("ij,ocjk,lk->ocil", g, kernel, g)
    product = torch.einsum("ncxyil,ocil->noxyil", transformed, weights)
    out = torch.einsum("ij,noxyjk,lk->noxyil", a, product, a)
    n, o, x, y = out.shape[:4]
    return out.permute(0, 1, 2, 4, 3, 5).reshape(n, o, 2 * x, 2 * y)[:, :, :height, :width]
