"""What a wrong gradient shows: its worst element, how the wrong ones lie, and the mistake that explains all of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..facts.dtypes import DTYPES
from ..facts.fills import WHOLE_NUMBERS
from ..measurement.accuracy import wrong_kind
from ..measurement.bounds import Bounds, bounds
from ..measurement.errors import allowed
from ..measurement.problem import Problem
from ..measurement.reference import Reference
from .mistakes import in_float64, mistaken
from .pattern import axes_of, pattern

MOST_OPERATIONS = 2e8
"""Of the direct algorithm; for each mistake a gradient in float64 is computed, which then takes some 10 ms."""


def explained(got: object, made: Problem, truth: Reference, before: Problem | None = None) -> str | None:
    """In a sentence what is wrong with a result; None where no single element is, or it is no gradient at all.

    `before`: what the call before it was asked for, on other operands.
    """
    if wrong_kind(got, made) is not None or not isinstance(got, Tensor) or got.numel() == 0:
        return None
    flat = got.detach().reshape(-1)
    index = torch.arange(flat.numel(), device=flat.device) if truth.index is None else truth.index
    flat = flat[index]
    judge = _Judge(made, truth)
    wrong = judge.wrong(flat, truth.expected)
    if not bool(wrong.any()):
        return None
    axes = axes_of(made.wrt, made.case.transposed, made.case.dims)
    said = [_worst(flat, truth.expected, wrong, index, made.shape), pattern(wrong, index, made.shape, axes)]
    if (mistake := _stale(flat, index, judge, before) or _mistake(flat, index, judge)) is not None:
        said.append(f"it is what comes out where {mistake}")
    return "; ".join(said)


class _Judge:
    """Which elements are wrong, by the widest of the bounds that a result may be within."""

    def __init__(self, made: Problem, truth: Reference) -> None:
        self.made, self._truth = made, truth
        length = max(1, truth.reduction_length)
        integers = made.spec.fill in WHOLE_NUMBERS
        classes = bounds(made.spec.dtype, length, truth.terms, integers, made.wrt != "bias")
        self._classes: list[Bounds] = list(classes.values())

    def wrong(self, flat: Tensor, expected: Tensor) -> Tensor:
        magnitude = self._truth.magnitude
        error = (flat.double() - expected).abs()
        limits = [allowed(bound, magnitude, expected.abs(), magnitude.amax()) for bound in self._classes]
        beyond = expected.abs() >= DTYPES[self.made.spec.dtype].largest  # infinite in the dtype, and rightly so
        return ~(error <= torch.stack(limits).amax(0)) & ~beyond


def _worst(flat: Tensor, expected: Tensor, wrong: Tensor, index: Tensor, shape: tuple[int, ...]) -> str:
    error = (flat.double() - expected).abs().nan_to_num(nan=math.inf)
    at = int(torch.where(wrong, error, -1.0).argmax())
    place = [int(one) for one in torch.unravel_index(index[at], shape)]
    return f"worst at {place}: got {float(flat[at]):.6g}, expected {float(expected[at]):.6g}"


def _stale(flat: Tensor, index: Tensor, judge: _Judge, before: Problem | None) -> str | None:
    """Whether it is what the call before was to return."""
    if before is None or before.order != 1 or before.case.flops(before.wrt) > MOST_OPERATIONS:
        return None
    with torch.inference_mode():
        earlier = in_float64(before).reshape(-1)[index]
    wrong = bool(judge.wrong(flat, earlier).any())
    return None if wrong else "the previous call's result is returned again, whatever the operands are"


def _mistake(flat: Tensor, index: Tensor, judge: _Judge) -> str | None:
    """The first mistake that explains every compared element."""
    made = judge.made
    if made.order != 1 or made.wrt == "bias" or made.case.batch == 0 or made.case.flops(made.wrt) > MOST_OPERATIONS:
        return None
    if not bool(flat.isfinite().all()):
        return None
    with torch.inference_mode():
        for said, wrong in mistaken(made):
            if not bool(judge.wrong(flat, wrong.reshape(-1)[index]).any()):
                return said
    return None
