"""torch.compile of the explicit formula. Covers every case; needs a C++ compiler (CPU) or Triton (CUDA).

The compilation happens in preparation, so that it is no part of the samples; the table has it as `prepare_s`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..measurement.joint import Result
from ..measurement.problem import Problem
from . import together
from .formulas import EXPLICIT


@together
def prepare(problem: Problem) -> Callable[[], Result]:
    """The compiled callable, called once so that it is compiled for these shapes; several gradients in one graph."""
    # Each configuration has shapes of its own; without a reset the ninth would run uncompiled.
    torch.compiler.reset()
    each = [EXPLICIT.wanted(part) for part in problem.parts]

    def several() -> tuple[Tensor, ...]:
        return tuple(one() for one in each)

    call: Callable[[], Result] = several if problem.joint else each[0]
    compiled = torch.compile(call, dynamic=False)
    with torch.inference_mode():
        compiled()
    return compiled
