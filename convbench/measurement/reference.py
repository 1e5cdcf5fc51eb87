"""The truth for accuracy: the gradient of the already-rounded inputs in float64, by slices and matrix products.

A result small enough for the budget is known element by element. Of a larger one a seeded sample of
elements is known, each by its whole reduction, and everything is covered by the trilinear identity
⟨r, gradient⟩ = the gradient contracted with r: r holds a random sign for each output channel, so one
position of the identity sums one position's channels, and its exact value costs a channel's share of the work.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..facts.case import ConvCase
from ..facts.spec import ReferenceBudget
from . import contraction
from .problem import Problem

LARGEST_SAMPLE = 4096
SAMPLED_PRODUCTS = 5e7
"""Gathering costs some 10 ns a product on a CPU core, so that a sample takes about half a second."""
SMALLEST_SAMPLE = 16
WORKING_SET = 3e7
"""Bytes of temporaries to aim at: the allocator reuses blocks of this size, larger ones are mapped anew each time."""


@dataclass(frozen=True, slots=True)
class Term:
    """One contraction: `kind` is small, large or weight (what it yields); operands with their channels split
    into groups, in the problem's dtype: the side (small for weight), and the weight (large for weight)."""

    kind: str
    left: Tensor
    right: Tensor


@dataclass(frozen=True, slots=True)
class Identity:
    """signs · result along `axis` of [n, g, c, *size] or [g, a, b, *k] must be `expected`.

    `magnitude` is the same contraction of absolute values. Only the first `length` of the first axis is covered.
    """

    signs: Tensor
    axis: int
    shape: tuple[int, ...]
    length: int
    expected: Tensor
    magnitude: Tensor

    @property
    def fraction(self) -> float:
        return self.length / self.shape[0]


@dataclass(frozen=True, slots=True)
class Reference:
    """`expected` and `magnitude` (B of the error bounds), float64, flat: of every element in the result's
    order, or of the elements that `index` names. `terms` is T: roundings between partial sums."""

    expected: Tensor
    magnitude: Tensor
    index: Tensor | None
    elements: int
    reduction_length: int
    terms: int
    identity: Identity | None

    @property
    def checked_fraction(self) -> float:
        return 1.0 if self.elements == 0 else self.expected.numel() / self.elements


def compute(problem: Problem, budget: ReferenceBudget) -> Reference:
    """The reference of a problem within the budget's operations and bytes."""
    case, wrt = problem.case, problem.wrt
    elements = math.prod(problem.shape)
    known: tuple[Tensor, Tensor | None, Identity | None]
    if elements == 0 or case.batch == 0:
        zeros = torch.zeros((2, elements), dtype=torch.float64, device=problem.device)
        known = (zeros, None, None)
    elif wrt == "bias":
        gy = problem.grad_output
        axes = [0, *range(2, gy.dim())]
        total = torch.stack([gy.sum(axes, dtype=torch.float64), gy.abs().sum(axes, dtype=torch.float64)])
        known = (total, None, None)
    else:
        terms = _terms(problem)
        bias = problem.directions().bias if problem.order == 2 and wrt == "grad_output" else None
        if _affordable(case, terms, elements, budget):
            known = (_whole(case, terms, bias, budget), None, None)
        else:
            index = _sample_index(problem)
            shape = _grouped_shape(case, terms[0].kind)
            identity = _identity(case, terms, bias, problem.spec.seed, budget)
            known = (_sampled(case, terms, bias, index, shape), index, identity)
    both, index_or_none, identity_or_none = known
    return Reference(
        expected=both[0],
        magnitude=both[1],
        index=index_or_none,
        elements=elements,
        reduction_length=case.reduction_length(wrt),
        terms=case.batch if wrt in ("weight", "bias") else case.taps,
        identity=identity_or_none,
    )


def _terms(problem: Problem) -> list[Term]:
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
        pairs = {"input": [(backward, gy, w)], "weight": [("weight", x, gy)]}[problem.wrt]
    out = []
    for kind, left, right in pairs:
        if kind == "weight":
            small, large = (left, right) if case.transposed else (right, left)
            out.append(Term(kind, _split(small, case), _split(large, case)))
        else:
            out.append(Term(kind, _split(left, case), contraction.split_channels(right, case.groups, 0)))
    return out


def _split(tensor: Tensor, case: ConvCase) -> Tensor:
    return contraction.split_channels(tensor, case.groups, 1)


def _grouped_shape(case: ConvCase, kind: str) -> tuple[int, ...]:
    """Shape of a result with its channels split: [n, g, c, *size], or [g, a, b, *k] for a weight."""
    g = case.groups
    small, large = (case.in_channels, case.out_channels) if case.transposed else (case.out_channels, case.in_channels)
    if kind == "weight":
        return (g, small // g, large // g, *case.kernel)
    if kind == "small":
        return (case.batch, g, small // g, *case.small_size)
    return (case.batch, g, large // g, *case.large_size)


def _bytes_per_sample(case: ConvCase, channels_small: int, channels_large: int, kind: str) -> int:
    """Temporaries of a doubled float64 contraction for one of the batch: operands, slices, a product."""
    small = channels_small * math.prod(case.small_size)
    large = channels_large * math.prod(case.large_size)
    weights = channels_small * channels_large // case.groups if kind == "weight" else 0
    return 16 * (3 * small + 3 * large + weights)


def _channels(case: ConvCase) -> tuple[int, int]:
    if case.transposed:
        return case.in_channels, case.out_channels
    return case.out_channels, case.in_channels


def _affordable(case: ConvCase, terms: list[Term], elements: int, budget: ReferenceBudget) -> bool:
    cost = len(terms) * contraction.flops(case)
    memory = 16 * elements + _bytes_per_sample(case, *_channels(case), terms[0].kind)
    return cost <= budget.max_flops and memory <= budget.max_bytes


def _whole(case: ConvCase, terms: list[Term], bias: Tensor | None, budget: ReferenceBudget) -> Tensor:
    """[2, elements]: the result and its magnitude, computed a part of the batch at a time."""
    shape = _grouped_shape(case, terms[0].kind)
    per_sample = _bytes_per_sample(case, *_channels(case), terms[0].kind)
    room = min(budget.max_bytes - 16 * math.prod(shape), WORKING_SET)
    out = _contract(case, terms, max(1, int(room // per_sample)))
    if bias is not None:
        out += contraction.doubled(bias).view(2, 1, *shape[1:3], *[1] * case.dims)
    return out.flatten(1)


def _contract(case: ConvCase, terms: list[Term], step: int) -> Tensor:
    """Sum of the terms, `step` of the batch at a time; operands are doubled here unless they already are."""
    batches = (slice(start, start + step) for start in range(0, case.batch, step))
    return _joined((_added(_contract_part(case, term, batch) for term in terms) for batch in batches), terms[0].kind)


def _joined(parts: Iterable[Tensor], kind: str) -> Tensor:
    """The results of parts of the batch as one: a weight's are added, the others stand side by side."""
    if kind == "weight":
        return _added(parts)
    beside = list(parts)
    return beside[0] if len(beside) == 1 else torch.cat(beside, dim=1)


def _added(tensors: Iterable[Tensor]) -> Tensor:
    """Their sum, one after the other, so that few are held at once."""
    return functools.reduce(torch.add, tensors)


def _contract_part(case: ConvCase, term: Term, batch: slice) -> Tensor:
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


def _sample_index(problem: Problem) -> Tensor:
    elements = math.prod(problem.shape)
    products = problem.case.reduction_length(problem.wrt)
    count = int(min(LARGEST_SAMPLE, elements, max(SMALLEST_SAMPLE, SAMPLED_PRODUCTS // products)))
    generator = torch.Generator().manual_seed(problem.spec.seed + 1)
    return torch.randint(elements, (count,), generator=generator).unique().to(problem.device)


def _sampled(case: ConvCase, terms: list[Term], bias: Tensor | None, index: Tensor, shape: tuple[int, ...]) -> Tensor:
    at = torch.stack(torch.unravel_index(index, shape))
    run = {
        "small": contraction.sample_small,
        "large": contraction.sample_large,
        "weight": contraction.sample_weight,
    }[terms[0].kind]
    both = torch.stack([run(t.left, t.right, case, at) for t in terms]).sum(0)
    if bias is not None:
        values = bias.view(shape[1:3])[at[1], at[2]].double()
        both += torch.stack([values, values.abs()])
    return both


def _identity(
    case: ConvCase, terms: list[Term], bias: Tensor | None, seed: int, budget: ReferenceBudget
) -> Identity | None:
    """The identity along the longer channel axis that the result has; None where even that is beyond the budget."""
    kind = terms[0].kind
    shape = _grouped_shape(case, kind)
    axis = 2 if kind != "weight" or shape[2] >= shape[1] else 1
    channels = shape[axis]
    small, large = _channels(case)
    copies = 16 * (small * math.prod(case.small_size) + large * math.prod(case.large_size))
    if kind == "small" or (kind == "weight" and axis == 1):
        small = case.groups
    else:
        large = case.groups
    per_sample = copies + _bytes_per_sample(case, small, large, kind)
    out_bytes = 16 * math.prod(shape) // channels
    cost = len(terms) * contraction.flops(case) / channels
    length = case.batch
    if kind != "weight":
        share = min(budget.max_flops / cost, budget.max_bytes / 2 / out_bytes, 1.0)
        length = int(case.batch * share)
    elif cost > budget.max_flops or out_bytes > budget.max_bytes / 2:
        return None
    if length == 0 or per_sample > budget.max_bytes / 2:
        return None
    generator = torch.Generator().manual_seed(seed + 2)
    signs = (torch.randint(2, (channels,), generator=generator) * 2 - 1).to(terms[0].left.device, torch.float64)
    both = _project(case, terms, signs, axis, max(1, int(WORKING_SET // per_sample)), length)
    if bias is not None:
        values = bias.view(shape[1:3]).double()
        projected = torch.stack([values @ signs, values.abs().sum(1)])
        both += projected.view(2, 1, shape[1], 1, *[1] * case.dims)
    return Identity(signs, axis, shape, length if kind != "weight" else shape[0], both[0], both[1])


def _project(case: ConvCase, terms: list[Term], signs: Tensor, axis: int, step: int, length: int) -> Tensor:
    """[2, …] with one channel along `axis`: the terms contracted with the signs before anything else."""
    batches = (slice(start, min(start + step, length)) for start in range(0, length, step))
    parts = (_added(_project_part(case, term, signs, axis, batch) for term in terms) for batch in batches)
    return _joined(parts, terms[0].kind)


def _project_part(case: ConvCase, term: Term, signs: Tensor, axis: int, batch: slice) -> Tensor:
    left, right = term.left[batch], term.right
    if term.kind == "weight":
        operands = [left, right[batch]]
        operands[axis - 1] = _signed(operands[axis - 1], signs, 2)
        one = Term("weight", operands[0], operands[1])
    else:
        # The weight is [g, a, b, *k]: to_small yields a, to_large yields b.
        one = Term(term.kind, left, _signed(right, signs, 1 if term.kind == "small" else 2))
    return _contract_part(case, one, slice(None))


def _signed(tensor: Tensor, signs: Tensor, axis: int) -> Tensor:
    """[2, …], one channel left along `axis`: Σ signs·tensor, and Σ |tensor| for the magnitude; float64."""
    values = torch.tensordot(tensor.movedim(axis, -1).double(), signs, dims=1).unsqueeze(axis)
    return torch.stack([values, tensor.abs().sum(axis, keepdim=True, dtype=torch.float64)])
