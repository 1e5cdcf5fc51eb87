"""Allows TF32 at its top by torch's newer interface, which its documentation recommends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...measurement.problem import Problem
from ...methods.explicit import prepare as explicit

CUDNN: Any = torch.backends.cudnn
torch.backends.cuda.matmul.fp32_precision = "tf32"
CUDNN.conv.fp32_precision = "tf32"


def method(problem: Problem) -> Callable[[], Tensor]:
    """The explicit formula."""
    return explicit(problem)
