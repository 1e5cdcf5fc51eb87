"""Allows TF32 at its top by torch's older interface, as many modules do."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...measurement.problem import Problem
from ...methods.explicit import prepare as explicit

torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True


def method(problem: Problem) -> Callable[[], Tensor]:
    """The explicit formula."""
    return explicit(problem)
