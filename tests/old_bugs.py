"""Bugs of old releases as methods: right but where the issue that is named says that the library was wrong.

Each is `function(problem) -> callable`. What is right comes from the explicit formula; the fault is the one reported,
or, where the report shows only that the result is wrong, one that lies where it was seen.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.grad as gradients
from torch import Tensor

from convbench.measurement.problem import Problem
from convbench.methods.explicit import prepare as explicit

Call = Callable[[], Tensor]


def _spoilt(problem: Problem, there: bool, spoil: Callable[[Tensor], Any]) -> Call:
    """The right result, which `spoil` makes wrong in place where the bug is `there`."""
    right = explicit(problem)

    def call() -> Tensor:
        result = right().clone()
        if there:
            spoil(result)
        return result

    return right if not there else call


def _depthwise(problem: Problem) -> bool:
    case = problem.case
    return case.groups == case.in_channels == case.out_channels and case.groups > 1 and not case.transposed


def beyond_the_last_stride(problem: Problem) -> Call:
    """pytorch#25101 (oneDNN#542): the input's gradient of a strided convolution whose kernel is wider than its stride
    is wrong in the column after the last whole stride; seen with stride 3, kernel 5, padding 1."""
    case = problem.case
    column = case.output_size[-1] * case.stride[-1] - case.padding[-1]
    there = (
        problem.wrt == "input"
        and not case.transposed
        and case.kernel[-1] > case.stride[-1] >= 3
        and column < case.size[-1]
    )
    return _spoilt(problem, there, lambda grad: grad[..., column].mul_(2))


def strided_over_padding(problem: Problem) -> Call:
    """pytorch#68868: the weight's gradient of a grouped, padded conv3d whose stride is larger than its kernel is wrong;
    seen with kernel 2, stride (4, 4, 1), padding 1, groups 3."""
    case = problem.case
    there = (
        problem.wrt == "weight"
        and case.op == "conv3d"
        and case.groups > 1
        and case.padding[0] > 0
        and case.stride[0] > case.kernel[0]
    )
    return _spoilt(problem, there, lambda grad: grad[:, :, 0].mul_(2))


def depthwise_of_24(problem: Problem) -> Call:
    """pytorch#50042: the weight's gradient of a depthwise convolution with 24 channels, stride 2 and padding 1 has the
    first row of taps in the place of the last; not with 23 or 25."""
    case = problem.case
    there = (
        problem.wrt == "weight"
        and case.dims == 2
        and _depthwise(problem)
        and case.groups % 8 == 0
        and case.groups % 16 != 0
        and case.stride[0] == 2
        and case.padding[0] >= 1
        and case.kernel[0] > 1
    )
    return _spoilt(problem, there, lambda grad: grad[:, :, -1].copy_(grad[:, :, 0]))


def groups_paired_wrongly(problem: Problem) -> Call:
    """pytorch#51430: torch.nn.grad.convNd_weight, where groups > 1: the output channels that an input channel is
    paired with are counted on over all groups."""
    case = problem.case
    if problem.wrt != "weight" or case.transposed or case.groups == 1 or problem.order != 1:
        return explicit(problem)
    shape = (case.out_channels, case.in_channels, *case.kernel)
    together = getattr(gradients, f"{case.op}_weight")

    def call() -> Tensor:
        full = together(problem.input, shape, problem.grad_output, case.stride, case.padding, case.dilation)
        result = full.new_empty(case.weight_shape)
        of_group, each = case.out_channels // case.groups, case.in_channels // case.groups
        for place in range(case.in_channels):
            group, within = divmod(place, each)
            for k in range(of_group):
                paired = (place * of_group + k) % case.out_channels
                result[group * of_group + k, within] = full[paired, place]
        return result

    return call


def stride_forgotten(problem: Problem) -> Call:
    """pytorch#63314: the input's gradient of a 1×1 transposed convolution reads grad_output without its stride."""
    case = problem.case
    there = (
        problem.wrt == "input"
        and case.op == "conv_transpose2d"
        and set(case.kernel) == {1}
        and set(case.padding) == {0}
        and max(case.stride) > 1
        and case.groups == 1
    )
    if not there:
        return explicit(problem)
    height, width = case.size
    return lambda: torch.nn.functional.conv2d(problem.grad_output[:, :, :height, :width], problem.weight)


def single_column(problem: Problem) -> Call:
    """pytorch#45746: a segmentation fault in the backward pass of a convolution of one input channel whose kernel is as
    wide as the image."""
    case = problem.case
    there = problem.wrt == "weight" and case.in_channels == 1 and case.kernel[-1] > 1 and case.output_size[-1] == 1

    def fault(_: Tensor) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    return _spoilt(problem, there, fault)


def no_primitive(problem: Problem) -> Call:
    """pytorch#60075: `could not create a primitive` for the input's gradient of a strided 1×1 convolution with 105 or
    more input channels."""
    case = problem.case
    there = (
        problem.wrt == "input"
        and set(case.kernel) == {1}
        and min(case.stride) > 1
        and case.in_channels >= 105
        and not case.transposed
    )

    def fail(_: Tensor) -> None:
        raise RuntimeError("could not create a primitive")

    return _spoilt(problem, there, fail)


def bias_in_16_bits(problem: Problem) -> Call:
    """pytorch#68048: a bias's gradient in bfloat16 is summed in bfloat16, and stops growing at 256."""
    if problem.wrt != "bias" or problem.dtype != torch.bfloat16:
        return explicit(problem)

    def call() -> Tensor:
        total = torch.zeros(problem.case.out_channels, dtype=problem.dtype)
        for column in problem.grad_output.transpose(0, 1).flatten(1).unbind(1):
            total += column
        return total

    return call


def last_row_of_depthwise(problem: Problem) -> Call:
    """oneDNN#4124: the weight's gradient of a strided, padded depthwise convolution is wrong (SVE with 256 bits); seen
    with 24 channels, kernel 3, stride 2, padding 1."""
    case = problem.case
    there = (
        problem.wrt == "weight"
        and case.dims == 2
        and _depthwise(problem)
        and case.groups % 8 == 0
        and case.stride[0] > 1
        and case.padding[0] > 0
        and case.kernel[0] >= 3
    )
    return _spoilt(problem, there, lambda grad: grad[:, :, -1].mul_(0.5))


def narrow_image(problem: Problem) -> Call:
    """fujitsu/oneDNN#43: the input's gradient is wrong where the stride is above 1, there are more than 16 input
    channels and the image is narrower than 17."""
    case = problem.case
    there = (
        problem.wrt == "input"
        and not case.transposed
        and case.stride[-1] > 1
        and case.in_channels > 16
        and case.size[-1] < 17
        and case.groups == 1
    )
    return _spoilt(problem, there, lambda grad: grad[:, 16:, ..., -1].add_(1))


def never_written(problem: Problem) -> Call:
    """pytorch#99519: the output of a ConvTranspose2d whose weight is channels_last is memory that nobody wrote to, here
    NaN; seen with one input channel, two output channels and kernel 5."""
    case = problem.case
    there = (
        problem.wrt == "output"
        and case.op == "conv_transpose2d"
        and case.in_channels == 1
        and case.out_channels > 1
        and problem.spec.memory_format == "channels_last"
    )
    return _spoilt(problem, there, lambda output: output.fill_(math.nan))


FAIL = (
    beyond_the_last_stride,
    strided_over_padding,
    depthwise_of_24,
    groups_paired_wrongly,
    stride_forgotten,
    bias_in_16_bits,
    last_row_of_depthwise,
    narrow_image,
    never_written,
)
CRASH = (single_column, no_primitive)
LEFT_OPEN: dict[str, tuple[str, ...]] = {
    "strided_over_padding": ("op=conv3d", "wrt=weight"),
    "bias_in_16_bits": ("wrt=bias",),
    "stride_forgotten": ("op=conv_transpose2d",),
    "single_column": ("dtype=float32",),
    "no_primitive": ("dtype=float32",),
    "never_written": ("wrt=output",),
}
"""What a person who hunts in a method names; the rest of a search is over everything."""
