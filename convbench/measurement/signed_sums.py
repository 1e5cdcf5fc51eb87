"""The trilinear identity: what covers every element of a result of which only a sample is known one by one.

The gradient is linear in an operand's channels, so that the sum of a result's channels with random signs is the
gradient of an operand whose channels were summed with the same signs, at a share of the cost. The channels are
summed in parts, as many as the limits allows: the fewer an element is summed with, the smaller the error that its
sum reveals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..devices import block_of
from ..facts.case import ConvCase
from ..facts.spec import ReferenceLimits
from . import contraction
from .bounds import Bounds
from .terms import (
    WORKING_SET,
    Term,
    added,
    bytes_per_sample,
    channels_of,
    contract_part,
    grouped_shape,
    joined,
)

SHARE = 0.25
"""Share of the permitted operations, for more parts than one."""
SIGMAS = 4.0
"""The signed sum of c errors, each within its bound b, exceeds 4·√Σb² with probability ≤ 2·exp(−8) by Hoeffding's
inequality; correct errors are at most a third of their bounds, which makes it 2·exp(−72)."""
SPREAD = 2.0
"""How much the root mean square of B over one position's channels may exceed its mean; drawn data stay below 1.2.
Also how much the errors of one position may exceed the whole result's in the mean, crowding aside."""
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Identity:
    """The result, [n, g, c, *size] or [g, a, b, *k], multiplied by `mixing` [channels, parts] along `axis`, must be
    `expected`. Each channel is in one part, with a sign.

    `magnitude` is the same contraction of absolute values. Only the first `length` of the first axis is covered.
    """

    mixing: Tensor
    axis: int
    shape: tuple[int, ...]
    length: int
    expected: Tensor
    magnitude: Tensor

    @property
    def fraction(self) -> float:
        return self.length / self.shape[0]


def identity(
    case: ConvCase, terms: list[Term], bias: Tensor | None, seed: int, limits: ReferenceLimits
) -> Identity | None:
    """The identity along the longer channel axis that the result has; None where even one part is beyond the limits."""
    assert limits.max_flops is not None
    kind = terms[0].kind
    shape = grouped_shape(case, kind)
    axis = 2 if kind != "weight" or shape[2] >= shape[1] else 1
    channels = shape[axis]
    cost = len(terms) * contraction.flops(case) / channels
    out_bytes = 16 * math.prod(shape) // channels
    room = limits.max_bytes / 2
    parts = max(1, min(channels, int(min(SHARE * limits.max_flops / cost, room / out_bytes))))
    while parts > 1 and _bytes(case, kind, axis, parts) > room:
        parts //= 2
    per_sample = _bytes(case, kind, axis, parts)
    length = case.batch
    if kind != "weight":
        share = min(limits.max_flops / cost / parts, room / out_bytes / parts, 1.0)
        length = int(case.batch * share)
    elif cost > limits.max_flops or out_bytes > room:
        return None
    if length == 0 or per_sample > room:
        return None
    mixing = _mixing(channels, parts, seed).to(terms[0].left.device)
    both = _project(case, terms, mixing, axis, max(1, int(WORKING_SET // per_sample)), length)
    if bias is not None:
        both += _mixed(bias.view(shape[1:3]), mixing, 1).view(2, 1, shape[1], -1, *[1] * case.dims)
    return Identity(mixing, axis, shape, length if kind != "weight" else shape[0], both[0], both[1])


def _bytes(case: ConvCase, kind: str, axis: int, parts: int) -> int:
    """Of temporaries for one of the batch, with `parts` channels a group in the place of one operand's."""
    small, large = channels_of(case)
    copies = 16 * (small * math.prod(case.small_size) + large * math.prod(case.large_size))
    if kind == "small" or (kind == "weight" and axis == 1):
        small = parts * case.groups
    else:
        large = parts * case.groups
    return copies + bytes_per_sample(case, small, large, kind)


def _mixing(channels: int, parts: int, seed: int) -> Tensor:
    """[channels, parts], float64: a random sign where the channel is in the part, else zero. Parts are neighbours,
    of equal size but for the last."""
    generator = torch.Generator().manual_seed(seed + 2)
    signs = torch.randint(2, (channels,), generator=generator) * 2 - 1
    part = torch.arange(channels) // -(-channels // parts)
    return torch.nn.functional.one_hot(part).double() * signs.unsqueeze(1)


def _project(case: ConvCase, terms: list[Term], mixing: Tensor, axis: int, step: int, length: int) -> Tensor:
    """[2, …] with the parts along `axis`: the terms contracted with the signs before anything else."""
    batches = (slice(start, min(start + step, length)) for start in range(0, length, step))
    summed = (added(_project_part(case, term, mixing, axis, batch) for term in terms) for batch in batches)
    return joined(summed, terms[0].kind)


def _project_part(case: ConvCase, term: Term, mixing: Tensor, axis: int, batch: slice) -> Tensor:
    left, right = term.left[batch], term.right
    if term.kind == "weight":
        operands = [left, right[batch]]
        operands[axis - 1] = _mixed(operands[axis - 1], mixing, 2)
        one = Term("weight", operands[0], operands[1])
    else:
        # The weight is [g, a, b, *k]: to_small yields a, to_large yields b.
        one = Term(term.kind, left, _mixed(right, mixing, 1 if term.kind == "small" else 2))
    return contract_part(case, one, slice(None))


def _mixed(tensor: Tensor, mixing: Tensor, axis: int) -> Tensor:
    """[2, …], the parts in the place of the channels along `axis`: Σ signs·tensor, and Σ |tensor|; float64."""
    moved = tensor.movedim(axis, -1).double()
    return torch.stack([moved @ mixing, moved.abs() @ mixing.abs()]).movedim(-1, axis + 1)


@dataclass(frozen=True, slots=True)
class Sums:
    """What the identity says of a result: its errors over what each class allows, and whether there are none."""

    ratios: dict[str, float]
    equal: bool


def check(result: Tensor, known: Identity, classes: dict[str, Bounds], reduction_length: int) -> Sums:
    """Signs make the errors of one sum add in quadrature.

    A sum is allowed what its elements' bounds allow together, and no more than twice what its share of the
    whole result's relative L2 error does: for long sums of partly rounded numbers that is far less.
    """
    grouped = result.reshape(known.shape)[: known.length]
    shape = [1] * grouped.dim()
    shape[known.axis] = -1
    counts = known.mixing.abs().sum(0).view(shape)
    got, norm = _sums(grouped, known)
    residual = (got - known.expected).abs()
    root_mean_square = known.magnitude * (SPREAD / counts.sqrt())
    largest = known.magnitude.amax()
    error_l2 = _norm(residual)
    partial = known.magnitude / (counts * reduction_length).sqrt()
    size = torch.hypot(norm, partial)
    # Both norms estimate the exact gradient's; of a few signed sums all can be small by chance.
    whole_l2 = math.hypot(max(_norm(known.expected), _norm(norm)), _norm(partial))
    typical = whole_l2 / math.sqrt(residual.numel())
    # Positions that sum more products than others (between strides, away from borders) err more.
    crowding = known.magnitude * (math.sqrt(residual.numel()) / max(_norm(known.magnitude), TINY))
    share = torch.maximum(size, crowding.clamp_min(1) * typical)
    ratios: dict[str, float] = {}
    for name, bound in classes.items():
        tiny = bound.tiny * counts.sqrt() * (known.magnitude > 0)
        allowed = norm * bound.of_ref + root_mean_square * (bound.sums + bound.rounded)
        allowed = allowed + largest * (bound.of_largest * SPREAD) / counts.sqrt() + tiny
        allowed = torch.minimum(allowed, share * (SPREAD * bound.l2) + tiny) * SIGMAS
        point = (residual / allowed).nan_to_num(nan=0.0, posinf=math.inf).amax().item()
        # The projected norms scatter about the true ones; twice the bound leaves room for few positions.
        room = 2 * (bound.l2 * whole_l2 + _norm(tiny.expand_as(residual)))
        ratios[name] = max(point, error_l2 / room if room > 0 else 0.0)
    return Sums(ratios, bool((residual == 0).all()))


def _norm(tensor: Tensor) -> float:
    return tensor.square().sum().sqrt().item()


def _sums(grouped: Tensor, known: Identity) -> tuple[Tensor, Tensor]:
    """(Σ signs·result, ‖result‖₂) of every part, in float64, a slice of the first axis at a time."""
    sums, norms = [], []
    step = max(1, block_of(grouped.device.type) // max(1, grouped[0].numel()))
    members = known.mixing.abs()
    for start in range(0, grouped.shape[0], step):
        moved = grouped[start : start + step].double().movedim(known.axis, -1)
        sums.append((moved @ known.mixing).movedim(-1, known.axis))
        norms.append((moved.square() @ members).sqrt().movedim(-1, known.axis))
    return torch.cat(sums), torch.cat(norms)
