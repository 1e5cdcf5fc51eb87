"""torch's own operation on a case, and the geometry that all of convbench's formulas share.

conv and conv_transpose are adjoint to each other, so all six operations share one geometry. The *small*
side is conv's output or conv_transpose's input, the *large* side the other one; W has shape
[a·g, b, *k] with a small and b large channels per group, and position o of the small side meets position
i = o·s + t·d − p of the large side under tap t. Three contractions then make up everything:

    to_small:  S[n, a, o] = Σ_{b, t} L[n, b, o·s + t·d − p] · W[a, b, t]
    to_large:  L[n, b, i] = Σ_{a, t, o: i = o·s + t·d − p} S[n, a, o] · W[a, b, t]
    to_weight: W[a, b, t] = Σ_{n, o} S[n, a, o] · L[n, b, o·s + t·d − p]

conv forward and conv_transpose grad_input are to_small; conv grad_input and conv_transpose forward are
to_large; grad_weight of both is to_weight. Source of the identities: Dumoulin and Visin, "A guide to
convolution arithmetic for deep learning" (2016), with torch's output_padding and crops added.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..facts.case import ConvCase

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def forward(input: Tensor, weight: Tensor, bias: Tensor | None, case: ConvCase) -> Tensor:
    """torch's own operation, bias included: what autograd differentiates."""
    if case.transposed:
        return CONV_TRANSPOSE[case.dims](
            input, weight, bias, case.stride, case.padding, case.output_padding, case.groups, case.dilation
        )
    return CONV[case.dims](input, weight, bias, case.stride, case.padding, case.dilation, case.groups)


def last_axes(index: Iterable[int | slice]) -> Any:
    """The index that picks from the last axes and leaves the others alone."""
    return (..., *index)
