"""The explicit gradients of every convolution, written with torch's forward operators; methods are made of them.

to_small, to_large and to_weight are the three contractions of measurement/convolution.py, which has the geometry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..facts.case import ConvCase
from ..measurement.convolution import CONV, CONV_TRANSPOSE
from ..measurement.problem import Problem

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
        """The callable that returns the gradient which `problem` asks for, or the output.

        Order 2 differentiates T(x, w, b, gy) = ⟨op(x, w) + b, gy⟩ twice, in directions vx, vw, vb:
        ∂gy = op(vx, w) + op(x, vw) + vb; ∂x = grad_input(gy, vw); ∂w = grad_weight(vx, gy).
        """
        case, x, w, gy = problem.case, problem.input, problem.weight, problem.grad_output
        if problem.wrt == "bias":
            return lambda: grad_bias(gy)
        if problem.wrt == "output":
            return lambda: with_bias(self.forward(x, w, case), problem.bias, case)
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
            return with_bias(self.forward(v.input, w, case) + self.forward(x, v.weight, case), v.bias, case)

        return grad_grad_output


def grad_bias(grad_output: Tensor) -> Tensor:
    """[C_out]: grad_output summed over batch and space."""
    return grad_output.sum([0, *range(2, grad_output.dim())])


def with_bias(output: Tensor, bias: Tensor | None, case: ConvCase) -> Tensor:
    """[N, C_out, *output_size] with a bias [C_out], if there is one, added to every channel."""
    return output if bias is None else output + bias.view(-1, *[1] * case.dims)


def crop(tensor: Tensor, size: tuple[int, ...]) -> Tensor:
    """The leading `size` elements of the last axes, as a view."""
    for axis, length in zip(range(-len(size), 0), size, strict=True):
        if tensor.shape[axis] != length:
            tensor = tensor.narrow(axis, 0, length)
    return tensor


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
