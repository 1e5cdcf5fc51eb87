"""The explicit formula in float32, rounded once at the end. Covers float16 and bfloat16, every case.

The conversion of the operands is part of the timed call, as it would be in a program.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..facts.case import ConvCase
from ..measurement.problem import Problem
from . import Unsupported
from .formulas import EXPLICIT, Contraction, Contractions, grad_bias


def prepare(problem: Problem) -> Callable[[], Tensor]:
    """Raises Unsupported for float32 and float64."""
    dtype = problem.dtype
    if dtype not in (torch.float16, torch.bfloat16):
        raise Unsupported(f"upcast covers float16 and bfloat16, not {problem.spec.dtype}")
    if problem.wrt == "bias":
        gy = problem.grad_output
        return lambda: grad_bias(gy.float()).to(dtype)

    def widened(contraction: Contraction) -> Contraction:
        def run(left: Tensor, right: Tensor, case: ConvCase) -> Tensor:
            return contraction(left.float(), right.float(), case)

        return run

    wide = Contractions(widened(EXPLICIT.to_small), widened(EXPLICIT.to_large), widened(EXPLICIT.to_weight))
    call = wide.wanted(problem)
    return lambda: call().to(dtype)
