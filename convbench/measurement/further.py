"""The truth for further operands of a configuration, whose own ones the independent reference has been computed for.

The same quantities as a reference's, by torch's convolutions in float64: the explicit formula, and the explicit formula
of the absolute values, as a gradient is linear in each of its operands. It costs a few calls of a method, where the
reference takes milliseconds however small the case is; above CHEAP operations the reference with smaller limits
compares a sample of the elements and the identity instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..facts.spec import ReferenceLimits
from . import reference
from .problem import Problem
from .reference import Reference
from .terms import terms_of

CHEAP = 2e7
"""Operations up to which two convolutions in float64 take less than the samples' share of what they are for (5% of half
a second)."""

SMALL_FLOPS, SMALL_BYTES = 1e8, 2e8


Formula = Callable[[Problem], Callable[[], Tensor]]
"""What `explicit` prepares: the caller's, as the judge imports no method."""


def truth(made: Problem, formula: Formula) -> Reference:
    """What `reference.compute` finds, for less, by a `formula` that is linear in each operand."""
    case = made.case
    if case.flops(made.wrt) > CHEAP or case.batch == 0 or math.prod(made.shape) == 0:
        limits = made.spec.reference_limits
        flops = min(limits.max_flops or SMALL_FLOPS, SMALL_FLOPS)
        least = ReferenceLimits(flops, min(limits.max_bytes, SMALL_BYTES))
        return reference.compute(made, least)
    with torch.inference_mode():
        expected, magnitude = (formula(_mapped(made, of))().reshape(-1) for of in (Tensor.double, _size))
    return Reference(
        expected=expected.clone(),
        magnitude=magnitude.clone(),
        largest=magnitude.clone() if made.wrt == "bias" else reference.largest_of(terms_of(made), magnitude),
        index=None,
        elements=expected.numel(),
        reduction_length=case.reduction_length(made.wrt),
        terms=case.batch if made.wrt in ("weight", "bias") else case.taps,
        identity=None,
    )


def _size(tensor: Tensor) -> Tensor:
    return tensor.double().abs()


def _mapped(made: Problem, of: Callable[[Tensor], Tensor]) -> Problem:
    """The problem with `of` applied to all of its tensors."""
    directions = made.directions() if made.order == 2 else None

    def draw(name: str) -> Tensor:
        drawn: Tensor = getattr(directions, name.removeprefix("direction_"))
        return of(drawn)

    return replace(
        made,
        input=of(made.input),
        weight=of(made.weight),
        bias=None if made.bias is None else of(made.bias),
        grad_output=of(made.grad_output),
        _draw=draw,
    )
