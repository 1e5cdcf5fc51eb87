"""How far a result is from what is known of it: one pass over the compared elements, for every class of bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..devices import block_of
from ..facts.dtypes import DType
from .bounds import Bounds


class Known(Protocol):
    """What is known of a gradient, see reference.Reference."""

    @property
    def expected(self) -> Tensor: ...
    @property
    def magnitude(self) -> Tensor: ...
    @property
    def largest(self) -> Tensor: ...
    @property
    def reduction_length(self) -> int: ...


@dataclass(slots=True)
class Evidence:
    """What the pass found. `largest` maps a class to max |e| over its bound, `size_l2` is ‖S‖ of bounds.py."""

    max_abs: float
    max_ulp: float
    error_l2: float
    reference_l2: float
    size_l2: float
    elements: int
    all_lost: bool
    equal: bool
    not_finite: bool
    largest: dict[str, float]

    @property
    def rel_l2(self) -> float | None:
        return self.error_l2 / self.reference_l2 if self.reference_l2 > 0 else None

    def allowed_l2(self, bound: Bounds) -> float:
        return bound.l2 * self.size_l2 + bound.tiny * math.sqrt(self.elements)

    def ratio(self, name: str, bound: Bounds) -> float:
        """Largest of the elementwise and the L2 error over what `bound` allows; inf where nothing is allowed."""
        if self.all_lost:
            return math.inf
        if self.size_l2 == 0:
            return self.largest[name]
        return max(self.largest[name], self.error_l2 / self.allowed_l2(bound))

    def explain(self, name: str, bound: Bounds) -> str:
        """Both errors, each with its own bound; they may be wrong by different factors."""
        if self.all_lost:
            return "the result is all zeros; the exact result is not"
        if math.isinf(self.ratio(name, bound)):
            return "the result is not zero where the exact result is zero"
        said = f"largest error {self.max_abs:.3g}, {self.largest[name]:.3g} times its bound"
        if self.rel_l2 is None:
            return said
        return (
            f"{said}; relative L2 error {self.rel_l2:.2g}, {self.error_l2 / self.allowed_l2(bound):.3g} times its bound"
        )


def compare(flat: Tensor, known: Known, classes: dict[str, Bounds], dtype: DType) -> Evidence:
    """The evidence on `flat` [n], of any dtype: those elements of a result that are known."""
    block = block_of(flat.device.type)
    expected, magnitude, largest = known.expected, known.magnitude, known.largest
    together = flat.numel() // largest.numel()
    rows = []
    for start in range(0, flat.numel(), block):
        part = slice(start, start + block)
        plane = torch.arange(start, min(start + block, flat.numel()), device=flat.device) // together
        every = list(classes.values())
        rows.append(_compare_block(flat[part], expected[part], magnitude[part], largest[plane], every, dtype))
    # One transfer from the device for everything.
    table = torch.stack(rows)
    top = table.amax(0).tolist()
    sums = table.sum(0).tolist()
    return Evidence(
        max_abs=top[0],
        max_ulp=top[1],
        error_l2=math.sqrt(sums[2]),
        reference_l2=math.sqrt(sums[3]),
        size_l2=math.sqrt(sums[3] + sums[4] / max(1, known.reduction_length)),
        elements=flat.numel(),
        all_lost=top[5] == 0 and top[6] > 0,
        equal=top[7] == 0,
        not_finite=top[8] > 0,
        largest=dict(zip(classes, top[9:], strict=True)),
    )


def _compare_block(
    got: Tensor, expected: Tensor, magnitude: Tensor, largest: Tensor, every: list[Bounds], dtype: DType
) -> Tensor:
    """max |e|, max ulp, Σe², Σref², ΣB², max |result|, max |ref rounded|, any unequal, any not finite, then max
    |e| / bound of each class."""
    values = got.double()
    rounded = expected.to(got.dtype)
    size = expected.abs()
    # A gradient beyond the dtype's range is infinite in it; so may be one that rounding brings there.
    overflown = values.isinf() & (values.sign() == expected.sign()) & (size >= dtype.largest * (1 - 2 * dtype.u_out))
    finite = values.isfinite()
    values = torch.where(overflown, expected, torch.where(finite, values, 0.0))
    error = (values - expected).abs()
    exponent = (torch.frexp(size).exponent - 1).clamp_min(dtype.least_exponent)
    ulps = torch.ldexp(error, dtype.precision - 1 - exponent)
    row = [
        error.amax(),
        ulps.amax(),
        error.square().sum(),
        expected.square().sum(),
        magnitude.square().sum(),
        values.abs().amax(),
        rounded.abs().amax().double(),
        (got != rounded).any().double(),
        (~finite & ~overflown).any().double(),
    ]
    for bound in every:
        row.append((error / allowed(bound, magnitude, size, largest)).nan_to_num(nan=0.0, posinf=math.inf).amax())
    return torch.stack(row)


def allowed(bound: Bounds, magnitude: Tensor, size: Tensor, largest: Tensor) -> Tensor:
    """The error that a class of bounds allows each element, from B, |S| and the largest B."""
    found = magnitude * bound.sums + size * bound.of_ref + (magnitude > 0) * bound.tiny
    if bound.rounded:
        found += magnitude * (magnitude > bound.exact_below) * bound.rounded
    if bound.of_largest:
        found += largest * bound.of_largest
    return found
