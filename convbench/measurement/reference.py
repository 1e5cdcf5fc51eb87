"""The truth for accuracy: the gradient of the already-rounded inputs in float64, by slices and matrix products.

A result within the limits is known element by element. Of a larger one a seeded sample of
elements is known, each by its whole reduction, and everything is covered by signed sums over channels (signed_sums.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..devices import device_of
from ..facts.case import ConvCase
from ..facts.spec import ReferenceLimits
from . import contraction, signed_sums
from .problem import Problem
from .signed_sums import Identity
from .terms import (
    WORKING_SET,
    Term,
    added,
    bias_of,
    bytes_per_sample,
    channels_of,
    contract_part,
    grouped_shape,
    joined,
    terms_of,
)

LARGEST_SAMPLE = 4096
SAMPLED_PRODUCTS = 5e7
"""Gathering costs some 10 ns a product on a CPU core, so that a sample takes about half a second."""
SMALLEST_SAMPLE = 16
AT_EDGES = 0.25
"""As many elements again, of those beside a border of the result or of a tile: there bugs live that touch few."""
TILE = 16


@dataclass(frozen=True, slots=True)
class Reference:
    """`expected` and `magnitude` (B of the error bounds), float64, flat: of every element in the result's
    order, or of the elements that `index` names. `terms` is T: roundings between partial sums.

    `largest`, float64, is what the errors of a transform are relative to, see largest_of; one for so many elements in
    a row as it has a share of them."""

    expected: Tensor
    magnitude: Tensor
    largest: Tensor
    index: Tensor | None
    elements: int
    reduction_length: int
    terms: int
    identity: Identity | None

    @property
    def checked_fraction(self) -> float:
        return 1.0 if self.elements == 0 else self.expected.numel() / self.elements


def computed(problem: Problem) -> Reference:
    """The reference of a problem within its own limits."""
    return compute(problem, problem.spec.reference_limits)


def compute(problem: Problem, limits: ReferenceLimits) -> Reference:
    """The reference of a problem within the limits on operations and bytes, where its device computes in float64."""
    device = device_of(problem.spec.device)
    problem = problem.moved(device.reference)
    if limits.max_flops is None:
        limits = replace(limits, max_flops=device.work.reference_flops)
    case, wrt = problem.case, problem.wrt
    elements = math.prod(problem.shape)
    index: Tensor | None = None
    identity: Identity | None = None
    if elements == 0 or case.batch == 0:
        both = torch.zeros((2, elements), dtype=torch.float64, device=problem.device)
        largest = both[1]
    elif wrt == "bias":
        gy = problem.grad_output
        axes = [0, *range(2, gy.dim())]
        both = torch.stack([gy.sum(axes, dtype=torch.float64), gy.abs().sum(axes, dtype=torch.float64)])
        largest = both[1]
    else:
        terms = terms_of(problem)
        bias = bias_of(problem)
        if _affordable(case, terms, elements, limits):
            both = _whole(case, terms, bias, limits)
            largest = largest_of(terms, both[1])
        else:
            shape = grouped_shape(case, terms[0].kind)
            index = _sample_index(problem, shape)
            identity = signed_sums.identity(case, terms, bias, problem.spec.seed, limits)
            both = _sampled(case, terms, bias, index, shape)
            largest = both[1].amax(0, keepdim=True)
    return Reference(
        expected=both[0],
        magnitude=both[1],
        largest=largest,
        index=index,
        elements=elements,
        reduction_length=case.reduction_length(wrt),
        terms=case.batch if wrt in ("weight", "bias") else case.taps,
        identity=identity,
    )


def largest_of(terms: list[Term], magnitude: Tensor) -> Tensor:
    """What a transform's errors are relative to, one for each image and channel (each two channels of a weight), whose
    positions it mixes: the largest B, or the sum over the channels contracted of their largest products, which no
    position may meet."""
    products = torch.zeros((), dtype=torch.float64)
    for term in terms:
        if term.kind == "weight":
            products = products + torch.einsum("nga,ngb->gab", _peaks(term.left), _peaks(term.right))
        else:
            channels = "nga,gab->ngb" if term.kind == "large" else "ngb,gab->nga"
            products = products + torch.einsum(channels, _peaks(term.left), _peaks(term.right))
    return torch.maximum(products.flatten(), magnitude.view(products.numel(), -1).amax(1))


def _peaks(tensor: Tensor) -> Tensor:
    """The largest magnitude of all positions: [n, g, c], or [g, a, b] of a weight."""
    return tensor.flatten(3).abs().amax(3).double()


def _affordable(case: ConvCase, terms: list[Term], elements: int, limits: ReferenceLimits) -> bool:
    cost = len(terms) * contraction.flops(case)
    memory = 16 * elements + bytes_per_sample(case, *channels_of(case), terms[0].kind)
    assert limits.max_flops is not None
    return cost <= limits.max_flops and memory <= limits.max_bytes


def _whole(case: ConvCase, terms: list[Term], bias: Tensor | None, limits: ReferenceLimits) -> Tensor:
    """[2, elements]: the result and its magnitude, computed a part of the batch at a time."""
    shape = grouped_shape(case, terms[0].kind)
    per_sample = bytes_per_sample(case, *channels_of(case), terms[0].kind)
    room = min(limits.max_bytes - 16 * math.prod(shape), WORKING_SET)
    out = _contract(case, terms, max(1, int(room // per_sample)))
    if bias is not None:
        out += contraction.doubled(bias).view(2, 1, *shape[1:3], *[1] * case.dims)
    return out.flatten(1)


def _contract(case: ConvCase, terms: list[Term], step: int) -> Tensor:
    """Sum of the terms, `step` of the batch at a time; operands are doubled here unless they already are."""
    batches = (slice(start, start + step) for start in range(0, case.batch, step))
    return joined((added(contract_part(case, term, batch) for term in terms) for batch in batches), terms[0].kind)


def _sample_index(problem: Problem, shape: tuple[int, ...]) -> Tensor:
    """Flat places in a result of `shape`, its channels split, in order and each once: drawn from all elements, and from
    those whose place along a random choice of the last axes is beside a border or a multiple of TILE."""
    elements = math.prod(shape)
    products = problem.case.reduction_length(problem.wrt)
    count = int(min(LARGEST_SAMPLE, elements, max(SMALLEST_SAMPLE, SAMPLED_PRODUCTS // products)))
    generator = torch.Generator().manual_seed(problem.spec.seed + 1)
    drawn = torch.randint(elements, (count,), generator=generator)
    some = torch.randint(elements, (max(1, int(AT_EDGES * count)),), generator=generator)
    place = list(torch.unravel_index(some, shape))
    for axis in range(2, len(shape)):
        size = shape[axis]
        edges = torch.tensor([e for t in range(0, size + TILE, TILE) for e in (min(t, size) - 1, t) if 0 <= e < size])
        chosen = edges[torch.randint(len(edges), some.shape, generator=generator)]
        place[axis] = torch.where(torch.rand(some.shape, generator=generator) < 0.5, chosen, place[axis])
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    at_edges = torch.stack([p * s for p, s in zip(place, strides, strict=True)]).sum(0)
    return torch.cat([drawn, at_edges]).unique().to(problem.device)


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
