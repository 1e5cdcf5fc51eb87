"""The explicit gradients of every convolution, written with torch's forward operators.

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

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor

from ..facts.case import ConvCase

if TYPE_CHECKING:
    from .problem import Problem

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

Contraction = Callable[[Tensor, Tensor, ConvCase], Tensor]


@dataclass(frozen=True, slots=True)
class Contractions:
    """One way to compute the three contractions; each takes two operands and the case.

    to_small(large, weight, case), to_large(small, weight, case), to_weight(small, large, case).
    """

    to_small: Contraction
    to_large: Contraction
    to_weight: Contraction

    def forward(self, input: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
        """The operation without its bias: [N, C_out, *output_size]."""
        return (self.to_large if case.transposed else self.to_small)(input, weight, case)

    def grad_input(self, grad_output: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
        """[N, C_in, *size]"""
        return (self.to_small if case.transposed else self.to_large)(grad_output, weight, case)

    def grad_weight(self, input: Tensor, grad_output: Tensor, case: ConvCase) -> Tensor:
        """The shape of the weight."""
        if case.transposed:
            return self.to_weight(input, grad_output, case)
        return self.to_weight(grad_output, input, case)

    def wanted(self, problem: Problem) -> Callable[[], Tensor]:
        """The callable that returns the gradient which `problem` asks for.

        Order 2 differentiates T(x, w, b, gy) = ⟨op(x, w) + b, gy⟩ twice, in directions vx, vw, vb:
        ∂gy = op(vx, w) + op(x, vw) + vb; ∂x = grad_input(gy, vw); ∂w = grad_weight(vx, gy).
        """
        case, x, w, gy = problem.case, problem.input, problem.weight, problem.grad_output
        if problem.wrt == "bias":
            return lambda: grad_bias(gy)
        if problem.order == 1:
            if problem.wrt == "input":
                return lambda: self.grad_input(gy, w, case)
            return lambda: self.grad_weight(x, gy, case)
        v = problem.directions()
        if problem.wrt == "input":
            return lambda: self.grad_input(gy, v.weight, case)
        if problem.wrt == "weight":
            return lambda: self.grad_weight(v.input, gy, case)

        def grad_grad_output() -> Tensor:
            out = self.forward(v.input, w, case) + self.forward(x, v.weight, case)
            return out if v.bias is None else out + channel(v.bias, case)

        return grad_grad_output


def grad_bias(grad_output: Tensor) -> Tensor:
    """[C_out]: grad_output summed over batch and space."""
    return grad_output.sum([0, *range(2, grad_output.dim())])


def channel(bias: Tensor, case: ConvCase) -> Tensor:
    """A bias [C_out] in a shape that broadcasts over [N, C_out, *output_size]."""
    return bias.view(-1, *[1] * case.dims)


def crop(tensor: Tensor, size: tuple[int, ...]) -> Tensor:
    """The leading `size` elements of the last axes, as a view."""
    for axis, length in zip(range(-len(size), 0), size, strict=True):
        if tensor.shape[axis] != length:
            tensor = tensor.narrow(axis, 0, length)
    return tensor


def last_axes(index: Iterable[int | slice]) -> Any:
    """The index that picks from the last axes and leaves the others alone."""
    return (..., *index)


def batch_into_groups(tensor: Tensor, groups: int) -> Tensor:
    """[N, g·c, …] → [c, g·N, …]: batch and channel swapped inside each group."""
    n, channels, *size = tensor.shape
    if groups == 1:
        return tensor.transpose(0, 1)
    split = tensor.reshape(n, groups, channels // groups, *size)
    return split.permute(2, 1, 0, *range(3, split.dim())).reshape(channels // groups, groups * n, *size)


def to_small(large: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
    """conv(large, W), cropped: output_padding ≥ stride (legal when dilation > stride) makes it ⌊op/s⌋ longer."""
    raw = CONV[case.dims](large, weight, None, case.stride, case.padding, case.dilation, case.groups)
    return crop(raw, case.small_size)


def to_large(small: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
    """conv_transpose(small, W), its output_padding making up for what the stride of conv left over."""
    rows = zip(case.small_size, case.kernel, case.stride, case.padding, case.dilation, strict=True)
    least = [(o - 1) * s - 2 * p + d * (k - 1) + 1 for o, k, s, p, d in rows]
    extra = [size - m for size, m in zip(case.large_size, least, strict=True)]
    return CONV_TRANSPOSE[case.dims](small, weight, None, case.stride, case.padding, extra, case.groups, case.dilation)


def to_weight(small: Tensor, large: Tensor, case: ConvCase) -> Tensor:
    """conv(large, small) with batch and channel swapped and stride and dilation exchanged, cropped to the kernel."""
    if case.batch == 0:
        return small.new_zeros(case.weight_shape)
    raw = CONV[case.dims](
        batch_into_groups(large, case.groups),
        small.transpose(0, 1),
        None,
        case.dilation,
        case.padding,
        case.stride,
        case.groups,
    )
    return crop(raw.transpose(0, 1), case.kernel)


EXPLICIT = Contractions(to_small, to_large, to_weight)


def forward(problem_input: Tensor, weight: Tensor, bias: Tensor | None, case: ConvCase) -> Tensor:
    """torch's own operation, bias included: what autograd differentiates."""
    if case.transposed:
        return CONV_TRANSPOSE[case.dims](
            problem_input, weight, bias, case.stride, case.padding, case.output_padding, case.groups, case.dilation
        )
    return CONV[case.dims](problem_input, weight, bias, case.stride, case.padding, case.dilation, case.groups)
