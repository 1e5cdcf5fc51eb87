"""One convolution, described without torch: its sizes, whether it is legal, what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .values import IllegalCase, InvalidValue, whole_number

AXES = ("d", "h", "w")
OPS: dict[str, tuple[int, bool]] = {
    "conv1d": (1, False),
    "conv2d": (2, False),
    "conv3d": (3, False),
    "conv_transpose1d": (1, True),
    "conv_transpose2d": (2, True),
    "conv_transpose3d": (3, True),
}
"""Operation name → (spatial dimensions, transposed)."""

PER_AXIS = ("size", "kernel", "stride", "padding", "output_padding", "dilation")
LOWEST = {"size": 1, "kernel": 1, "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}


def per_axis(key: str, value: Any, dims: int) -> tuple[int, ...]:
    """An integer (used for every axis) or one integer per axis, as a tuple of `dims` integers.

    Raises IllegalCase for another number of axes, since it depends on the operation, and InvalidValue.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        return (whole_number(key, value, LOWEST[key]),) * dims
    if len(value) != dims:
        raise IllegalCase(
            key, f"{key}={list(value)} has {len(value)} values for {dims} axes; give one integer or {dims} of them"
        )
    return tuple(whole_number(key, v, LOWEST[key]) for v in value)


SAME = "same"
"""padding=same: as much as keeps the size, as torch resolves it."""


def same_padding(values: Mapping[str, Any], dims: int, transposed: bool) -> list[int]:
    """dilation·(kernel − 1)/2 for each axis. Raises IllegalCase where torch has no such padding, and where it would pad
    one side by one more than the other, which the padding of a case cannot say."""
    if transposed:
        raise IllegalCase("padding", f"padding=same is not defined for {values['op']}; give numbers")
    kernel, stride, dilation = (per_axis(key, values[key], dims) for key in ("kernel", "stride", "dilation"))
    if any(s != 1 for s in stride):
        raise IllegalCase(
            "padding", f"padding=same needs stride=1, as in torch, and stride={list(stride)}; give numbers"
        )
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    uneven = [t for t in total if t % 2]
    if uneven:
        raise IllegalCase(
            "padding",
            f"padding=same with kernel={list(kernel)} pads {uneven[0] // 2} before and {uneven[0] // 2 + 1} after, and "
            "convbench pads both sides alike; use an odd kernel, an even dilation, or numbers",
        )
    return [t // 2 for t in total]


@dataclass(frozen=True, slots=True)
class ConvCase:
    """One convolution. Tuples hold one integer per spatial axis (w; h, w; or d, h, w).

    `size` is the input's spatial size. Raises InvalidValue for a value that is never allowed and
    IllegalCase for a combination that torch's own rules forbid.
    """

    op: str
    batch: int
    in_channels: int
    out_channels: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    bias: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ConvCase:
        """A case from settings as a person writes them: an integer or a list for every per-axis key."""
        op = values["op"]
        if op not in OPS:
            raise InvalidValue("op", f"op={op!r} is not known; allowed: {', '.join(OPS)}")
        bias = values["bias"]
        if not isinstance(bias, bool):
            raise InvalidValue("bias", f"bias={bias!r} is neither true nor false")
        dims, transposed = OPS[op]
        if values["padding"] == SAME:
            values = {**values, "padding": same_padding(values, dims, transposed)}
        return cls(
            op=op,
            batch=whole_number("batch", values["batch"], 0),
            in_channels=whole_number("in_channels", values["in_channels"], 1),
            out_channels=whole_number("out_channels", values["out_channels"], 1),
            groups=whole_number("groups", values["groups"], 1),
            bias=bias,
            **{key: per_axis(key, values[key], dims) for key in PER_AXIS},
        )

    def __post_init__(self) -> None:
        for key, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise IllegalCase("groups", f"groups={self.groups} must divide {key}={channels}")
        if self.transposed:
            self._check_transposed()
        else:
            self._check_direct()
        elements = max(math.prod(self.input_shape), math.prod(self.output_shape), math.prod(self.weight_shape))
        if elements > 2**40:
            raise IllegalCase("size", f"size={list(self.size)} gives a tensor of {elements:.1e} elements; at most 2^40")

    def _check_transposed(self) -> None:
        for axis, pad, s, d in zip(self.axes, self.output_padding, self.stride, self.dilation, strict=True):
            if pad >= max(s, d):
                raise IllegalCase(
                    "output_padding",
                    f"output_padding={pad} (axis {axis}) must be smaller than stride={s} or dilation={d}",
                )
        for axis, size, out in zip(self.axes, self.size, self.output_size, strict=True):
            if out < 1:
                raise IllegalCase(
                    "padding",
                    f"padding={list(self.padding)} leaves no output: axis {axis} of size {size} "
                    f"would have output size {out}; use less padding or a larger size or kernel",
                )

    def _check_direct(self) -> None:
        if any(self.output_padding):
            raise IllegalCase(
                "output_padding", f"output_padding={list(self.output_padding)} must be 0 for {self.op}, which has none"
            )
        for axis, size, k, p, d in zip(self.axes, self.size, self.kernel, self.padding, self.dilation, strict=True):
            reach = d * (k - 1) + 1
            if size + 2 * p < reach:
                raise IllegalCase(
                    "kernel",
                    f"kernel={k} with dilation={d} spans {reach} and does not fit into "
                    f"size={size} with padding={p} (axis {axis}), which is {size + 2 * p}",
                )

    @property
    def dims(self) -> int:
        return OPS[self.op][0]

    @property
    def transposed(self) -> bool:
        return OPS[self.op][1]

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the spatial axes: ("w",), ("h", "w") or ("d", "h", "w")."""
        return AXES[3 - self.dims :]

    @property
    def output_size(self) -> tuple[int, ...]:
        """conv: ⌊(H + 2p − d(k−1) − 1)/s⌋ + 1; conv_transpose: (H−1)s − 2p + d(k−1) + 1 + output_padding."""
        rows = zip(self.size, self.kernel, self.stride, self.padding, self.output_padding, self.dilation, strict=True)
        if self.transposed:
            return tuple((h - 1) * s - 2 * p + d * (k - 1) + 1 + op for h, k, s, p, op, d in rows)
        return tuple((h + 2 * p - d * (k - 1) - 1) // s + 1 for h, k, s, p, _, d in rows)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """[N, C_in, *size]"""
        return (self.batch, self.in_channels, *self.size)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """[N, C_out, *output_size]"""
        return (self.batch, self.out_channels, *self.output_size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """conv: [C_out, C_in/groups, *kernel]; conv_transpose: [C_in, C_out/groups, *kernel]."""
        if self.transposed:
            return (self.in_channels, self.out_channels // self.groups, *self.kernel)
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    @property
    def taps(self) -> int:
        """Number of kernel elements per channel pair, ∏ k."""
        return math.prod(self.kernel)

    @property
    def small_size(self) -> tuple[int, ...]:
        """Spatial size of the side that strides: conv's output, conv_transpose's input."""
        return self.size if self.transposed else self.output_size

    @property
    def large_size(self) -> tuple[int, ...]:
        """Spatial size of the side that is strided over: conv's input, conv_transpose's output."""
        return self.output_size if self.transposed else self.size

    def shape_of(self, wrt: str) -> tuple[int, ...]:
        """Shape of what `wrt` names, a gradient (input, weight, bias or grad_output) or output; else KeyError."""
        return {
            "input": self.input_shape,
            "weight": self.weight_shape,
            "bias": (self.out_channels,),
            "grad_output": self.output_shape,
            "output": self.output_shape,
        }[wrt]

    def reduction_length(self, wrt: str) -> int:
        """How many products are summed for one element of the result, at most (K of the error bounds).

        input: taps·C_out/g; weight: N·small size; bias: N·output size; output: taps·C_in/g + bias; grad_output (second
        order: op(vx, W) + op(x, vw) + vb): 2·taps·C_in/g + bias. Of several gradients (`input+weight`) the longest.
        """
        if "+" in wrt:
            return max(map(self.reduction_length, wrt.split("+")))
        return {
            "input": self.taps * self.out_channels // self.groups,
            "weight": self.batch * math.prod(self.small_size),
            "bias": self.batch * math.prod(self.output_size),
            "grad_output": 2 * self.taps * self.in_channels // self.groups + self.bias,
            "output": self.taps * self.in_channels // self.groups + self.bias,
        }[wrt]

    def flops(self, wrt: str) -> int:
        """Operations of the direct algorithm: 2 per multiply-add, N·small size·taps·C_in·C_out/groups of them.

        So has the output. The bias gradient is N·C_out·output size additions; the second-order gradient with respect to
        grad_output is two forward passes. Padding is counted as if it were data, as cuDNN's and
        oneDNN's own figures do. Of several gradients (`input+weight`) the sum.
        """
        if "+" in wrt:
            return sum(map(self.flops, wrt.split("+")))
        if wrt == "bias":
            return math.prod(self.output_shape)
        once = 2 * self.batch * math.prod(self.small_size) * self.taps
        once = once * self.in_channels * self.out_channels // self.groups
        return 2 * once if wrt == "grad_output" else once

    def elements_moved(self, wrt: str) -> int:
        """Elements read and written at least: each operand once, the result once.

        Several gradients (`input+weight`) read grad_output once for all of them.
        """
        x, w, y = (math.prod(s) for s in (self.input_shape, self.weight_shape, self.output_shape))
        once = {"input": w + x, "weight": x + w, "bias": self.out_channels, "grad_output": 2 * (x + w)}
        once["output"] = x + w + self.bias * self.out_channels
        return y + sum(once[part] for part in wrt.split("+"))

    def columns(self) -> dict[str, Any]:
        """The case as table columns: in_h, kernel_h, stride_h, pad_h, dil_h, output_padding_h, …; no missing axes."""
        row: dict[str, Any] = {
            "op": self.op,
            "batch": self.batch,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "groups": self.groups,
            "bias": int(self.bias),
        }
        for key, prefix in COLUMN_PREFIX.items():
            row.update({f"{prefix}_{a}": v for a, v in zip(self.axes, getattr(self, key), strict=True)})
        return row

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


COLUMN_PREFIX = {
    "size": "in",
    "kernel": "kernel",
    "stride": "stride",
    "padding": "pad",
    "dilation": "dil",
    "output_padding": "output_padding",
}
"""Per-axis setting → prefix of its table columns."""
