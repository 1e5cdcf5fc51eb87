"""A result as a sum of contractions, each of two operands with their channels split into groups."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..facts.case import ConvCase
from . import contraction
from .problem import Problem

WORKING_SET = 3e7
"""Bytes of temporaries to aim at: the allocator reuses blocks of this size, larger ones are mapped anew each time."""


@dataclass(frozen=True, slots=True)
class Term:
    """One contraction: `kind` is small, large or weight (what it yields); operands with their channels split
    into groups, in the problem's dtype: the side (small for weight), and the weight (large for weight)."""

    kind: str
    left: Tensor
    right: Tensor


def terms_of(problem: Problem) -> list[Term]:
    case, x, w, gy = problem.case, problem.input, problem.weight, problem.grad_output
    forward, backward = ("large", "small") if case.transposed else ("small", "large")
    if problem.order == 2:
        v = problem.directions()
        pairs = {
            "input": [(backward, gy, v.weight)],
            "weight": [("weight", v.input, gy)],
            "grad_output": [(forward, v.input, w), (forward, x, v.weight)],
        }[problem.wrt]
    else:
        pairs = {
            "input": [(backward, gy, w)],
            "weight": [("weight", x, gy)],
            "output": [(forward, x, w)],
        }[problem.wrt]
    out = []
    for kind, left, right in pairs:
        if kind == "weight":
            small, large = (left, right) if case.transposed else (right, left)
            out.append(Term(kind, _split(small, case), _split(large, case)))
        else:
            out.append(Term(kind, _split(left, case), contraction.split_channels(right, case.groups, 0)))
    return out


def bias_of(problem: Problem) -> Tensor | None:
    """What is added to the sum for each output channel: of an output the bias, of its second order the direction."""
    if problem.order == 2:
        return problem.directions().bias if problem.wrt == "grad_output" else None
    return problem.bias if problem.wrt == "output" else None


def _split(tensor: Tensor, case: ConvCase) -> Tensor:
    return contraction.split_channels(tensor, case.groups, 1)


def grouped_shape(case: ConvCase, kind: str) -> tuple[int, ...]:
    """Shape of a result with its channels split: [n, g, c, *size], or [g, a, b, *k] for a weight."""
    g = case.groups
    small, large = (case.in_channels, case.out_channels) if case.transposed else (case.out_channels, case.in_channels)
    if kind == "weight":
        return (g, small // g, large // g, *case.kernel)
    if kind == "small":
        return (case.batch, g, small // g, *case.small_size)
    return (case.batch, g, large // g, *case.large_size)


def bytes_per_sample(case: ConvCase, channels_small: int, channels_large: int, kind: str) -> int:
    """Temporaries of a doubled float64 contraction for one of the batch: operands, slices, a product."""
    small = channels_small * math.prod(case.small_size)
    large = channels_large * math.prod(case.large_size)
    weights = channels_small * channels_large // case.groups if kind == "weight" else 0
    return 16 * (3 * small + 3 * large + weights)


def channels_of(case: ConvCase) -> tuple[int, int]:
    if case.transposed:
        return case.in_channels, case.out_channels
    return case.out_channels, case.in_channels


def joined(parts: Iterable[Tensor], kind: str) -> Tensor:
    """The results of parts of the batch as one: a weight's are added, the others stand side by side."""
    if kind == "weight":
        return added(parts)
    beside = list(parts)
    return beside[0] if len(beside) == 1 else torch.cat(beside, dim=1)


def added(tensors: Iterable[Tensor]) -> Tensor:
    """Their sum, one after the other, so that few are held at once."""
    return functools.reduce(torch.add, tensors)


def contract_part(case: ConvCase, term: Term, batch: slice) -> Tensor:
    dims = case.dims
    left = _doubled(term.left, 3 + dims, batch)
    if term.kind == "weight":
        return contraction.to_weight(left, _doubled(term.right, 3 + dims, batch), case)
    run = contraction.to_small if term.kind == "small" else contraction.to_large
    return run(left, _doubled(term.right, 3 + dims, slice(None)), case)


def _doubled(tensor: Tensor, dims: int, batch: slice) -> Tensor:
    """[n, g, c, …] → [2, n, g, c, …] for part of the batch (or of the groups: slice(None) takes all)."""
    if tensor.dim() == dims:
        return contraction.doubled(tensor[batch])
    return tensor[:, batch].double()
