"""The values of a problem's tensors, by the kind of data; the names are those of facts/fills.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..facts.fills import in_range, largest_integer
from ..facts.spec import Spec
from ..facts.values import InvalidValue

DECADES = 6
KEPT = 0.1
"""Share of sparse data that is not zero."""
SIDES = ("input", "grad_output", "direction_input")
"""Operands with a batch axis: activations and their gradients."""

Shape = tuple[int, ...]


def values(spec: Spec, fill: str, name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    """The tensor called `name`, float64 for a float64 problem and float32 otherwise, drawn from `generator` alone."""
    return _DRAW[fill](spec, name, shape, generator)


def _wide(spec: Spec) -> torch.dtype:
    return torch.float64 if spec.dtype == "float64" else torch.float32


def _normal(spec: Spec, name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=_wide(spec))


def _integer(spec: Spec, name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    a = largest_integer(spec.case.reduction_length(spec.wrt), spec.dtype)
    drawn = torch.randint(-a, a, shape, generator=generator, dtype=_wide(spec))
    for block in drawn.view(-1).split(2**20):
        block += block >= 0
    return drawn


def _scale(spec: Spec) -> float:
    return in_range(spec.case.reduction_length(spec.wrt), spec.dtype)


def _positive(spec: Spec, name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=_wide(spec)) * _scale(spec)


def _abs_normal(spec: Spec, name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    return _normal(spec, name, shape, generator).abs_() * _scale(spec)


def _relu(spec: Spec, name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    drawn = _normal(spec, name, shape, generator)
    return drawn.clamp_min_(0) if name in SIDES else drawn


def _ones(spec: Spec, name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.ones(shape, dtype=_wide(spec))


def _sparse(spec: Spec, name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    drawn = _normal(spec, name, shape, generator)
    return drawn * (torch.rand(shape, generator=generator) < KEPT)


def _scaled(spec: Spec, name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    drawn = _normal(spec, name, shape, generator)
    if name not in SIDES:
        return drawn
    exponents = -DECADES * torch.rand(shape[1], generator=generator, dtype=_wide(spec))
    return drawn * (10**exponents).view(1, -1, *[1] * (len(shape) - 2))


_DRAW: dict[str, Callable[[Spec, str, Shape, torch.Generator], Tensor]] = {
    "normal": _normal,
    "integer": _integer,
    "positive": _positive,
    "abs_normal": _abs_normal,
    "relu": _relu,
    "ones": _ones,
    "sparse": _sparse,
    "scaled": _scaled,
}


def from_file(path: str, shapes: dict[str, Shape]) -> dict[str, Tensor]:
    """The tensors that `shapes` names, from a .pt file (a dict, read with weights_only) or a .npz file.

    Raises InvalidValue, naming the file, for one that cannot be read, lacks a tensor or has one of another shape.
    """
    try:
        held = _read(path)
    except Exception as error:  # whatever torch and numpy raise for a file that is not theirs
        raise InvalidValue("fill", f"fill={path} cannot be read: {type(error).__name__}: {error}") from error
    found = {}
    for name, shape in shapes.items():
        tensor = held.get(name)
        if not isinstance(tensor, Tensor):
            raise InvalidValue("fill", f"fill={path} has no tensor {name}; it needs {', '.join(shapes)}")
        if tuple(tensor.shape) != shape:
            raise InvalidValue(
                "fill", f"fill={path}: {name} has shape {list(tensor.shape)}; the configuration's has {list(shape)}"
            )
        if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            raise InvalidValue("fill", f"fill={path}: {name} must hold finite floating-point numbers")
        found[name] = tensor
    return found


def _read(path: str) -> dict[str, object]:
    if Path(path).suffix == ".npz":
        import numpy as np

        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    held = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(held, dict):
        raise TypeError(f"it holds a {type(held).__name__}, not a dict of tensors")
    return held
