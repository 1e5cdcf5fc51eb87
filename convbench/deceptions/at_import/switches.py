"""Sets torch's switches at its top, as many modules do, and computes rightly; rivals must not notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...measurement.problem import Problem
from ...methods.explicit import prepare as explicit

torch.set_num_threads(2)
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True
torch.backends.mkldnn.enabled = False  # type: ignore[assignment]


def method(problem: Problem) -> Callable[[], Any]:
    return explicit(problem)
