"""Memory that a result may be made in holds NaN, not an earlier right answer."""

from __future__ import annotations

import math

import torch

from .problem import Problem

BLOCKS = 12
"""Of each size at once, for a method may take some for itself; and so often one after the other, for glibc keeps the
first seven blocks of a size that are freed out of torch's reach."""
LONGER = (-160, -112, -96, -80, 0, 64, 80, 96, 112, 128, 160)
"""Bytes more than the result's: to align a block, glibc looks for one that is longer by 64 and some, and then takes the
shortest that will do. A block of exactly the result's length is taken for what is shorter by as much; left alone, it
would be handed out as it is once its neighbour is free as well."""
BYTES = 2**22
"""At most of each size, in fewer blocks where they are large; one always."""


def poison(problem: Problem) -> None:
    """Fills free memory of the wanted gradient's size with NaN, where the allocator will hand it out again.

    `torch.empty` returns what was freed last: the block of an earlier right result, or of the judge's own rounded
    reference, so that a method which writes nothing could be exact.
    """
    for part in problem.parts:
        _poison(part)


def _poison(problem: Problem) -> None:
    width = problem.input.element_size()
    elements = math.prod(problem.shape)
    count = max(1, min(BLOCKS, BYTES // max(1, elements * width)))
    lengths = [elements + extra // width for extra in LONGER] if count == BLOCKS else [elements, elements + 4096]
    lengths = [length for length in lengths if length > 0]

    def blocks(length: int) -> list[torch.Tensor]:
        first = torch.full((length,), math.nan, dtype=problem.dtype, device=problem.device)
        return [first, *(first.clone() for _ in range(count - 1))]

    held = [blocks(length) for length in lengths]
    last = held[0][0]
    del held
    for _ in range(count):
        last.clone()
