"""torch.compile of the explicit formula. Covers every case; needs a C++ compiler (CPU) or Triton (CUDA).

The compilation happens in preparation, so that it is no part of the samples; the table has it as `prepare_s`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..measurement.problem import Problem
from .formulas import EXPLICIT


def prepare(problem: Problem) -> Callable[[], Tensor]:
    """The compiled callable, called once so that it is compiled for these shapes."""
    # Each configuration has shapes of its own; without a reset the ninth would run uncompiled.
    torch.compiler.reset()
    compiled = torch.compile(EXPLICIT.wanted(problem), dynamic=False)
    with torch.inference_mode():
        compiled()
    return compiled
