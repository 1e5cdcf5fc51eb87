"""A configuration's tensors, the same on every machine: drawn on the CPU, rounded to the dtype, then moved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..devices import device_of
from ..facts.case import ConvCase
from ..facts.fills import is_file
from ..facts.spec import Spec
from . import fills
from .convolution import forward
from .notebook import Stream

FORMATS = {
    ("contiguous", 1): torch.contiguous_format,
    ("contiguous", 2): torch.contiguous_format,
    ("contiguous", 3): torch.contiguous_format,
    ("channels_last", 2): torch.channels_last,
    ("channels_last", 3): torch.channels_last_3d,
}
TENSORS = ("input", "weight", "bias", "grad_output", "direction_input", "direction_weight", "direction_bias")
SEEDS_APART = 7
"""From a seed's generators to the next one's: one generator for each of TENSORS. With another number all data would be
others; a name added to TENSORS needs a generator elsewhere, as its place here is the next seed's first."""


@dataclass(frozen=True, slots=True)
class Directions:
    """Directions in which the first-order gradients are differentiated again; shaped like input, weight, bias."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Problem:
    """What a method gets.

    input [N, C_in, *size], weight (torch's shape for the operation), bias [C_out] or None, grad_output
    [N, C_out, *output_size]: tensors of one dtype on one device. `case` is the ConvCase, `wrt` names the
    wanted gradient, or several joined by `+` (`wrts` has them apart), `order` is 1, or 2 for the gradient of the
    gradient (see `directions`).
    """

    spec: Spec
    input: Tensor
    weight: Tensor
    bias: Tensor | None
    grad_output: Tensor
    loss: float | None = None
    _draw: Callable[[str], Tensor] | None = field(default=None, repr=False)

    @property
    def case(self) -> ConvCase:
        return self.spec.case

    @property
    def wrt(self) -> str:
        return self.spec.wrt

    @property
    def wrts(self) -> tuple[str, ...]:
        """The wanted gradients, one or several at once."""
        return self.spec.wrts

    @property
    def joint(self) -> bool:
        """Whether several gradients are wanted at once."""
        return self.spec.joint

    @property
    def parts(self) -> tuple[Problem, ...]:
        """The same operands for each of the wanted gradients by itself."""
        return tuple(replace(self, spec=replace(self.spec, wrt=wrt)) for wrt in self.wrts) if self.joint else (self,)

    @property
    def order(self) -> int:
        return self.spec.order

    @property
    def dtype(self) -> torch.dtype:
        return self.input.dtype

    @property
    def device(self) -> torch.device:
        return self.input.device

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the wanted gradient; KeyError where several are wanted."""
        return self.case.shape_of(self.wrt)

    def moved(self, device: str) -> Problem:
        """The same values on another device (torch's name for it); itself where they are there."""
        if self.device == torch.device(device):
            return self
        tensors = {name: getattr(self, name) for name in ("input", "weight", "bias", "grad_output")}
        there = {name: None if tensor is None else tensor.to(device) for name, tensor in tensors.items()}
        draw = self._draw
        return replace(self, **there, _draw=None if draw is None else lambda name: draw(name).to(device))

    def directions(self) -> Directions:
        """Order 2: the directions v; the same tensors at every call."""
        assert self._draw is not None
        return Directions(
            self._draw("direction_input"),
            self._draw("direction_weight"),
            self._draw("direction_bias") if self.case.bias else None,
        )


def make(spec: Spec, seed: int | None = None, grad_output: int | None = None) -> Problem:
    """The problem of one configuration, on its device. Each tensor has its own generator, seeded by
    (seed, its name), so that a case with a bias has the same input, weight and grad_output as without.

    With another `seed` than the configuration's: the same problem with other values, the weight's only where it is
    not fixed, and with grad_output of a third seed where one is given. Of several kinds of data the first; beside the
    data of a file, which are what they are, normal ones.
    """
    if grad_output is not None:
        return replace(make(spec, seed), grad_output=make(spec, grad_output).grad_output)
    if seed is not None and seed != spec.seed:
        return _with_other_values(spec, seed)
    spec = replace(spec, fill=spec.fills[0])
    case = spec.case
    shapes = {
        "input": case.input_shape,
        "weight": case.weight_shape,
        "bias": (case.out_channels,),
        "grad_output": case.output_shape,
        "direction_input": case.input_shape,
        "direction_weight": case.weight_shape,
        "direction_bias": (case.out_channels,),
    }
    drawn: dict[str, Tensor] = {}

    def draw(name: str) -> Tensor:
        if name not in drawn:
            drawn[name] = place(_values(spec, name, shapes[name]), spec)
        return drawn[name]

    if spec.fill == "notebook":
        return _notebook(spec, draw)
    if is_file(spec.fill):
        names = ("input", "weight", *(["bias"] if case.bias else []), "grad_output")
        held = fills.from_file(spec.fill, {name: shapes[name] for name in names})
        drawn.update((name, place(tensor, spec)) for name, tensor in held.items())
    bias = draw("bias") if case.bias else None
    return Problem(spec, draw("input"), draw("weight"), bias, draw("grad_output"), _draw=draw)


def _with_other_values(spec: Spec, seed: int) -> Problem:
    fill = "normal" if is_file(spec.fills[0]) else spec.fills[0]
    made = make(replace(spec, fill=fill, seed=seed))
    return replace(made, weight=make(spec).weight) if spec.fixed_weight else made


def place(tensor: Tensor, spec: Spec) -> Tensor:
    """`tensor` rounded to the dtype, on its device, in its memory format if it has spatial axes."""
    tensor = tensor.to(getattr(torch, spec.dtype)).to(device_of(spec.device).placed)
    if tensor.dim() < 3:
        return tensor
    return tensor.contiguous(memory_format=FORMATS[spec.memory_format, spec.case.dims])


def _values(spec: Spec, name: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(spec.seed * SEEDS_APART + TENSORS.index(name))
    return fills.values(spec, spec.fill, name, shape, generator)


def _notebook(spec: Spec, draw: Callable[[str], Tensor]) -> Problem:
    """The notebook's stream and loss: grad_output = 2·(output − target), loss = Σ (output − target)²."""
    case = spec.case
    stream = Stream(spec.seed)
    x = torch.from_numpy(stream.normal(case.input_shape))
    target = torch.from_numpy(stream.normal(case.output_shape))
    # torch 0.3's ConvTranspose2d: weight, then bias, uniform in ±1/√(in_channels·∏k).
    bound = 1 / math.sqrt(case.in_channels * case.taps)
    w = torch.from_numpy(stream.uniform(case.weight_shape, bound))
    b = torch.from_numpy(stream.uniform((case.out_channels,), bound)) if case.bias else None
    x, target, w = (place(t.float(), spec) for t in (x, target, w))
    bias = None if b is None else place(b.float(), spec)
    difference = forward(x, w, bias, case) - target
    loss = float(difference.to(device_of(spec.device).reference).double().square().sum())
    return Problem(spec, x, w, bias, 2 * difference, loss=loss, _draw=draw)
