"""grad_input of conv2d and conv_transpose2d as one Triton kernel for CUDA: an implicit matrix product.

    python -m convbench device=cuda methods=[autograd,explicit,examples.triton_dgrad:grad_input]

It covers every stride, padding, dilation, output_padding and number of groups, contiguous and channels_last, in
float32, float16 and bfloat16. It is written to be read, not tuned. TRITON_INTERPRET=1 runs it on the CPU, slowly and
without bfloat16, to find mistakes where there is no GPU:

    TRITON_INTERPRET=1 python -m convbench measure=none methods=[explicit,examples.triton_dgrad:grad_input]
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import convbench

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise convbench.Unsupported("triton is not installed; it comes with torch for CUDA") from error

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# The interpreter multiplies the bits of bfloat16 as integers (triton-lang/triton#11584).
DTYPES = (torch.float32, torch.float16) if INTERPRETED else (torch.float32, torch.float16, torch.bfloat16)
MOST_ELEMENTS = 2**31
"""The kernel computes addresses in 32 bits."""


@triton.jit
def kernel(
    gy, w, gx, gy_strides, w_strides, gx_strides, gx_shape, gy_shape, size, stride, padding, dilation,
    transposed: tl.constexpr, precision: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr, depth: tl.constexpr,
):  # fmt: skip
    """A tile of gx: `rows` positions (n, h, w) by `columns` channels of one group.

    gx[row, column] = Σ_r gy[row at tap, channel]·w[r, column] over r = (channel of gy, tap), `depth` of them at a time.
    Shapes are (N, channels per group, height, width); w_strides are per group, column, channel of gy, kernel row and
    kernel column; `size` is the kernel's.
    """
    batch, channels, height, width = gx_shape
    _, reduced, gy_height, gy_width = gy_shape
    kernel_h, kernel_w = size
    tiles = tl.cdiv(channels, columns)
    group = tl.program_id(1) // tiles

    row = tl.program_id(0) * rows + tl.arange(0, rows)
    n, h, v = row // (height * width), row // width % height, row % width
    column = tl.program_id(1) % tiles * columns + tl.arange(0, columns)

    taps = kernel_h * kernel_w
    total = tl.zeros((rows, columns), dtype=tl.float32)
    for start in range(0, reduced * taps, depth):
        r = start + tl.arange(0, depth)
        channel, kh, kw = r // taps, r // kernel_w % kernel_h, r % kernel_w

        if transposed:
            # x at h was spread to gy at h·s + t·d − p.
            y = h[:, None] * stride[0] + (kh * dilation[0] - padding[0])[None, :]
            x = v[:, None] * stride[1] + (kw * dilation[1] - padding[1])[None, :]
            there = (y >= 0) & (x >= 0)
        else:
            # x at h was seen by gy at (h + p − t·d) / s, where that is a whole number.
            up = h[:, None] + (padding[0] - kh * dilation[0])[None, :]
            left = v[:, None] + (padding[1] - kw * dilation[1])[None, :]
            y, x = up // stride[0], left // stride[1]
            there = (up >= 0) & (left >= 0) & (up % stride[0] == 0) & (left % stride[1] == 0)
        there = there & (y < gy_height) & (x < gy_width) & (n < batch)[:, None] & (channel < reduced)[None, :]

        plane = n[:, None] * gy_strides[0] + (group * reduced + channel)[None, :] * gy_strides[1]
        left_tile = tl.load(gy + plane + y * gy_strides[2] + x * gy_strides[3], mask=there, other=0.0)
        tap = channel * w_strides[2] + kh * w_strides[3] + kw * w_strides[4]
        at = group * w_strides[0] + tap[:, None] + column[None, :] * w_strides[1]
        right_tile = tl.load(w + at, mask=(channel < reduced)[:, None] & (column < channels)[None, :], other=0.0)
        total = tl.dot(left_tile, right_tile, total, input_precision=precision)

    place = n * gx_strides[0] + h * gx_strides[2] + v * gx_strides[3]
    to = place[:, None] + (group * channels + column)[None, :] * gx_strides[1]
    tl.store(gx + to, total.to(gx.dtype.element_ty), mask=(n < batch)[:, None] & (column < channels)[None, :])


def grad_input(problem: Any) -> Callable[[], Tensor]:
    """Raises Unsupported for whatever the kernel does not cover; compiles it, which is not timed."""
    check(problem)
    case, gy, w = problem.case, problem.grad_output, problem.weight
    channels, reduced = case.in_channels // case.groups, case.out_channels // case.groups
    outer, inner, *taps = w.stride()
    # The weight is [C_in, C_out/g, …] for conv_transpose and [C_out, C_in/g, …] for conv.
    w_strides = (channels * outer, outer, inner, *taps) if case.transposed else (reduced * outer, inner, outer, *taps)
    tile = {"rows": 64, "columns": min(64, max(16, triton.next_power_of_2(channels))), "depth": 32}
    positions = case.batch * case.size[0] * case.size[1]
    grid = (triton.cdiv(positions, tile["rows"]), case.groups * triton.cdiv(channels, tile["columns"]))
    gx_shape, gy_shape = (case.batch, channels, *case.size), (case.batch, reduced, *case.output_size)
    geometry = (case.kernel, case.stride, case.padding, case.dilation)
    precision = "tf32" if problem.spec.switches.tf32 else "ieee"

    def call() -> Tensor:
        gx = torch.empty_like(problem.input)
        strides = (gy.stride(), w_strides, gx.stride())
        kernel[grid](gy, w, gx, *strides, gx_shape, gy_shape, *geometry, case.transposed, precision, **tile)
        return gx

    call()
    return call


def check(problem: Any) -> None:
    """Raises Unsupported with the reason."""
    case = problem.case
    if problem.device.type != "cuda" and not INTERPRETED:
        raise convbench.Unsupported(f"triton_dgrad covers device=cuda; not {problem.device}")
    if case.dims != 2 or problem.wrt != "input" or problem.order != 1:
        raise convbench.Unsupported(
            "triton_dgrad covers grad_input of conv2d and conv_transpose2d, order=1; "
            f"not {case.op}, wrt={problem.wrt}, order={problem.order}"
        )
    if problem.dtype not in DTYPES:
        raise convbench.Unsupported(f"triton_dgrad covers {', '.join(map(str, DTYPES))}; not {problem.dtype}")
    if max(problem.input.numel(), problem.grad_output.numel()) >= MOST_ELEMENTS or case.batch == 0:
        raise convbench.Unsupported("triton_dgrad covers batch ≥ 1 and tensors below 2³¹ elements")
