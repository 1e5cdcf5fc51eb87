"""The gradient as an ordinary convolution of torch's own (see formulas.py). Covers every case."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..measurement.problem import Problem
from .formulas import EXPLICIT


def prepare(problem: Problem) -> Callable[[], Tensor]:
    """The explicit formula for the wanted gradient, crops included."""
    return EXPLICIT.wanted(problem)
