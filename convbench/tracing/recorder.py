"""What a backward pass really asks for: every call of aten::convolution_backward, as torch has resolved it.

Hooks of modules do not see that: padding="same" is a number only inside torch, and reflect and circular padding are an
operation of their own, after which the convolution pads by nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as all_modules
from torch.utils._python_dispatch import TorchDispatchMode

from ..facts.case import OPS, ConvCase
from ..facts.dtypes import DTYPES
from ..facts.values import InvalidValue
from ..facts.wrt import joined

GRADIENTS = ("input", "weight", "bias")
"""In the order of aten::convolution_backward's output_mask."""
OP = {dims_transposed: op for op, dims_transposed in OPS.items()}
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class Wanted:
    """One gradient of one convolution, or all that were asked for in one call."""

    case: ConvCase
    dtype: str
    memory_format: str
    wrt: str


@dataclass
class Found:
    """How often a gradient was asked for; the layers that did, each with its first place in the forward pass."""

    count: int = 0
    places: dict[str, int] = field(default_factory=dict)

    def add(self, layer: str, place: int) -> None:
        self.count += 1
        self.places[layer] = min(place, self.places.get(layer, place))

    @property
    def place(self) -> int:
        return min(self.places.values())

    @property
    def layers(self) -> list[str]:
        """Their names, in the order of the forward pass."""
        return [layer for layer in sorted(self.places, key=lambda layer: self.places[layer]) if layer]


class Recorder(TorchDispatchMode):
    """Records while it is entered; `together`: the gradients of one call as one. `skipped`: why convolutions that were
    met are not among `found`."""

    def __init__(self, together: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._together = together
        self.found: dict[Wanted, Found] = {}
        self.skipped: list[str] = []
        self._layers = Layers()
        self._forward: dict[tuple[Any, ...], tuple[str, int]] = {}
        self._calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            # A later call with the same operands has taken the place of one that is not differentiated any more.
            self._forward[_operands(args[0], args[1])] = self._layers.current, self._calls
            self._calls += 1
        elif func is torch.ops.aten.convolution_backward.default:
            self._record(*args)
        return func(*args, **(kwargs or {}))

    @contextmanager
    def recording(self) -> Iterator[None]:
        with self._layers.followed(), self:
            yield

    def _record(
        self,
        grad_output: Tensor,
        input: Tensor,
        weight: Tensor,
        bias_sizes: Sequence[int] | None,
        *geometry: Any,
    ) -> None:
        output_mask = geometry[-1]
        layer, place = self._forward.get(_operands(input, weight), ("", self._calls))
        try:
            case = _case(grad_output, input, weight, bool(bias_sizes and bias_sizes[0]), *geometry[:-1])
            dtype = str(input.dtype).removeprefix("torch.")
            if dtype not in DTYPES:
                raise InvalidValue("dtype", f"dtype={dtype} is not one of {', '.join(DTYPES)}")
        except InvalidValue as error:
            self.skipped.append(f"{layer or 'a convolution'}: {error}")
            return
        wanted = [wrt for wrt, asked in zip(GRADIENTS, output_mask, strict=True) if asked]
        for wrt in [joined(wanted)] if self._together and wanted else wanted:
            key = Wanted(case, dtype, _memory_format(input, weight), wrt)
            self.found.setdefault(key, Found()).add(layer, place)


class Layers:
    """Which module's forward is running, by the name that the outermost one has for it."""

    def __init__(self) -> None:
        self._running: list[nn.Module] = []
        self._names: dict[int, str] = {}
        self._roots: list[nn.Module] = []  # kept, so that no other module gets the id of one of theirs

    @property
    def current(self) -> str:
        return self._names.get(id(self._running[-1]), "") if self._running else ""

    @contextmanager
    def followed(self) -> Iterator[None]:
        hooks = [
            all_modules.register_module_forward_pre_hook(self._enter),
            all_modules.register_module_forward_hook(self._leave, always_call=True),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        if not self._running:
            self._roots.append(module)
            for name, inner in module.named_modules():
                self._names.setdefault(id(inner), name or type(module).__name__)
        self._running.append(module)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._running:
            self._running.pop()


def _operands(input: Tensor, weight: Tensor) -> tuple[Any, ...]:
    """What a backward call has in common with its forward call, whose operands it holds."""
    return input.data_ptr(), weight.data_ptr(), tuple(input.shape), tuple(weight.shape)


def _case(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: bool,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> ConvCase:
    """Raises InvalidValue for what ConvCase does not describe."""
    dims = input.dim() - 2

    def whole(given: Sequence[int]) -> tuple[int, ...]:
        return tuple(given) * (dims if len(given) == 1 else 1)

    case = ConvCase(
        op=OP[dims, transposed],
        batch=input.shape[0],
        in_channels=input.shape[1],
        out_channels=grad_output.shape[1],
        size=tuple(input.shape[2:]),
        kernel=tuple(weight.shape[2:]),
        stride=whole(stride),
        padding=whole(padding),
        output_padding=whole(output_padding),
        dilation=whole(dilation),
        groups=groups,
        bias=bias,
    )
    assert case.output_shape == tuple(grad_output.shape)
    return case


def _memory_format(input: Tensor, weight: Tensor) -> str:
    """As torch chooses it: channels last where either operand is, and is not contiguous as well."""
    for tensor in (input, weight):
        last = FORMATS.get(tensor.dim())
        if last is not None and tensor.is_contiguous(memory_format=last) and not tensor.is_contiguous():
            return "channels_last"
    return "contiguous"
