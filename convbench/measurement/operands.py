"""Whether a method modified its operands: every method after it would compute from what it wrote into them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .problem import Problem

COPIED_BYTES = 2**26
"""Operands up to this size are copied and compared bit by bit; of larger ones, sums of their bits are compared."""


class Operands:
    """The operands of a problem as they were when this was made."""

    def __init__(self, made: Problem) -> None:
        self._made = made
        self._were = {name: _kept(tensor) for name, tensor in operands_of(made).items()}

    def changed(self) -> list[str]:
        """The names of those that hold other bits now."""
        now = operands_of(self._made)
        return [name for name, were in self._were.items() if not torch.equal(_kept(now[name]), were)]


def changed_in_place(names: Sequence[str]) -> str:
    """The reason in the row of a method that wrote to these operands."""
    return f"changed {' and '.join(names)} in place; a method must not modify its operands"


def operands_of(made: Problem) -> dict[str, Tensor]:
    """Every tensor that a method may read, by its name."""
    found = {name: getattr(made, name) for name in ("input", "weight", "bias", "grad_output")}
    if made.order == 2:
        directions = made.directions()
        found |= {f"direction_{name}": getattr(directions, name) for name in ("input", "weight", "bias")}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


INTEGERS = {8: torch.int64, 4: torch.int32, 2: torch.int16}


@torch.no_grad()
def _kept(tensor: Tensor) -> Tensor:
    """A copy as integers, so that NaN equals NaN and 0 differs from −0, or the sum of those integers modulo 2⁶⁴."""
    bits = tensor.detach().view(INTEGERS[tensor.element_size()])
    if tensor.numel() * tensor.element_size() <= COPIED_BYTES:
        return bits.clone()
    return bits.sum(dtype=torch.int64)
