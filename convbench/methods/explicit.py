"""The gradient as an ordinary convolution of torch's own (see formulas.py). Covers every case.

For wrt=output the other way round: a convolution as the input's gradient of the transposed one, and a transposed one
as that of a convolution.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..measurement.problem import Problem
from .formulas import EXPLICIT, with_bias


def prepare(problem: Problem) -> Callable[[], Tensor]:
    """The explicit formula for the wanted gradient, crops included."""
    return as_gradient(problem) if problem.wrt == "output" else EXPLICIT.wanted(problem)


def as_gradient(problem: Problem) -> Callable[[], Tensor]:
    """The output by the kernel for the gradient of the operation that it is adjoint to."""
    case, x, w, b = problem.case, problem.input, problem.weight, problem.bias
    # The adjoint's input, of which only the shape counts.
    like = x.new_empty(case.output_shape)
    rows = zip(case.small_size, case.large_size, case.kernel, case.stride, case.padding, case.dilation, strict=True)
    left_over = [large - ((o - 1) * s - 2 * p + d * (k - 1) + 1) for o, large, k, s, p, d in rows]
    if case.transposed:
        # conv's output is longer than x where whole strides are left over (see to_small): zeros are its gradient there.
        pads = [n for over, s in zip(reversed(left_over), reversed(case.stride), strict=True) for n in (0, over // s)]
        output_padding = [0] * case.dims
    else:
        pads, output_padding = [], left_over
    geometry = (case.stride, case.padding, case.dilation, not case.transposed, output_padding, case.groups)

    def call() -> Tensor:
        grad = F.pad(x, pads) if any(pads) else x
        found = torch.ops.aten.convolution_backward(grad, like, w, None, *geometry, [True, False, False])
        return with_bias(found[0], b, case)

    return call
