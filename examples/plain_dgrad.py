"""grad_input of every convolution with slices and matrix products: a method of one's own, in both contracts.

    python -m convbench methods=[autograd,explicit,examples.plain_dgrad:grad_input]

`grad_input` is a plain function of tensors. `prepared` does the same after working out once, untimed, what depends on
the shapes alone. `wrong` has a bug on purpose: it shows what `fail` looks like.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import convbench


class Overlap(NamedTuple):
    """One tap of the kernel, the elements of the strided side that it touches, and those of the other side."""

    tap: tuple[Any, ...]
    strided: tuple[Any, ...]
    other: tuple[Any, ...]


@convbench.plain(wrt="input")
def grad_input(grad_output: Tensor, input: Tensor, weight: Tensor, case: Any) -> Tensor:
    """The simplest contract. `case` has op, groups, and tuples per axis: size, kernel, stride, padding, dilation."""
    return accumulate(grad_output, weight, case, overlaps(case))


def prepared(problem: Any) -> Callable[[], Tensor]:
    """The full contract: what is here is not timed, what it returns is."""
    if problem.wrt != "input" or problem.order != 1:
        raise convbench.Unsupported(f"prepared covers wrt=input, order=1; not wrt={problem.wrt}, order={problem.order}")
    # Only what a training step could keep from one call to the next: anything made of the values has to be timed.
    touched = list(overlaps(problem.case))
    return lambda: accumulate(problem.grad_output, problem.weight, problem.case, touched)


@convbench.plain(wrt="input")
def wrong(grad_output: Tensor, input: Tensor, weight: Tensor, case: Any) -> Tensor:
    """The usual mistake: the kernel is flipped once too often. No shape gives it away."""
    axes = list(range(2, weight.dim()))
    return accumulate(grad_output, weight.flip(axes), case, overlaps(case))


def overlaps(case: Any) -> Iterable[Overlap]:
    """conv strides over its input with its output's positions o, conv_transpose over its output with its input's:
    tap t joins o with o·stride + t·dilation − padding, where both exist."""
    strided, other = (case.size, case.output_size) if case.transposed else (case.output_size, case.size)
    for tap in itertools.product(*map(range, case.kernel)):
        at, there = [], []
        for t, small, large, s, p, d in zip(tap, strided, other, case.stride, case.padding, case.dilation, strict=True):
            offset = t * d - p
            first = max(0, -(offset // s))
            last = min(small - 1, (large - 1 - offset) // s)
            at.append(slice(first, last + 1))
            there.append(slice(first * s + offset, last * s + offset + 1, s))
        if all(part.start < part.stop for part in at):
            yield Overlap(tap, tuple(at), tuple(there))


def accumulate(grad_output: Tensor, weight: Tensor, case: Any, touched: Iterable[Overlap]) -> Tensor:
    """[N, C_in, *size]: one matrix product per tap and group, summed in float32 or wider and rounded once."""
    wide = torch.promote_types(grad_output.dtype, torch.float32)
    gy = grad_output.to(wide).unflatten(1, (case.groups, -1))
    w = weight.to(wide).unflatten(0, (case.groups, -1))
    gx: Tensor = gy.new_zeros((case.batch, case.groups, case.in_channels // case.groups, *case.size))
    for tap, strided, other in touched:
        read, written = (other, strided) if case.transposed else (strided, other)
        source = gy[(..., *read)]
        matrix = w[(..., *tap)] if case.transposed else w[(..., *tap)].mT
        gx[(..., *written)] += (matrix @ source.flatten(3)).unflatten(-1, source.shape[3:])
    return gx.flatten(1, 2).to(grad_output.dtype)
