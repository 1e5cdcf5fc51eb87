"""What is traced: a module, a function, a torchvision model by its name, or a script with its own training step."""

from __future__ import annotations

import importlib
import inspect
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..facts.values import InvalidValue, did_you_mean

Step = Callable[[], None]
"""A forward and a backward pass."""


def step_of(target: str, inputs: Sequence[str], dtype: str, channels_last: bool, arguments: Sequence[str]) -> Step:
    """The training step that `target` names, ready to be run. Raises InvalidValue."""
    if target.endswith(".py"):
        if inputs:
            raise InvalidValue("--input", f"--input is for a model; {target} makes its own")
        if not os.path.isfile(target):
            raise InvalidValue(
                "trace", f"{target} does not exist; give a script, MODULE:FUNCTION or a torchvision model"
            )
        return lambda: _script(target, arguments)
    if arguments:
        raise InvalidValue("trace", f"{arguments[0]!r} is an argument for a script, and {target} is none")
    if not inputs:
        raise InvalidValue("--input", f"{target} needs its input's shape: --input 8,3,224,224")
    model = _model(target)
    if isinstance(model, nn.Module):
        model = model.to(getattr(torch, dtype)).train()
    tensors = [_tensor(text, dtype) for text in inputs]
    if channels_last:
        tensors = [_channels_last(tensor) for tensor in tensors]
        model = model.to(memory_format=torch.channels_last) if isinstance(model, nn.Module) else model  # type: ignore[call-overload]
    return lambda: _backward(target, model(*tensors))


def _script(path: str, arguments: Sequence[str]) -> None:
    before = sys.argv[:], sys.path[:]
    sys.argv, sys.path[:0] = [path, *arguments], [os.path.dirname(os.path.abspath(path))]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise InvalidValue("trace", f"{path} ended with {stop.code!r}") from stop
    finally:
        sys.argv, sys.path[:] = before


def _model(target: str) -> Any:
    """A module, or a function of the inputs."""
    module, colon, name = target.partition(":")
    if not colon:
        return _torchvision(target)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise InvalidValue("trace", f"cannot import {module}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidValue("trace", f"{module} has no {name}{did_you_mean(part, dir(found))}")
        found = getattr(found, part)
    if isinstance(found, nn.Module) or not callable(found):
        if not callable(found):
            raise InvalidValue("trace", f"{target} is a {type(found).__name__}; give a module or a function")
        return found
    if _takes_nothing(found):
        found = found()
        if not isinstance(found, nn.Module):
            raise InvalidValue("trace", f"{target} returned {type(found).__name__}, which is no torch.nn.Module")
    return found


def _takes_nothing(function: Callable[..., Any]) -> bool:
    """Whether it can be called without arguments: it makes a model, where others are one."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    return True


def _torchvision(name: str) -> nn.Module:
    try:
        from torchvision.models import get_model, list_models
    except (ImportError, RuntimeError) as error:  # RuntimeError where it was built for another torch
        raise InvalidValue(
            "trace",
            f"{name} would be a model of torchvision, which cannot be imported here ({error}); install the one built "
            f"for torch {torch.__version__}, or write MODULE:FUNCTION",
        ) from error
    if name not in list_models():
        raise InvalidValue("trace", f"torchvision has no model {name}{did_you_mean(name, list_models())}")
    # Without weights, which would be fetched.
    model: nn.Module = get_model(name, weights=None)
    return model


def _tensor(text: str, dtype: str) -> Tensor:
    """`8,3,224,224`, or `8,128:int64` for indices, which are all 0."""
    shape, _, of = text.partition(":")
    try:
        sizes = [int(size) for size in shape.split(",")]
        kind = getattr(torch, of or dtype)
        if min(sizes) < 0 or not isinstance(kind, torch.dtype):
            raise ValueError
    except (ValueError, AttributeError):
        raise InvalidValue(
            "--input", f"--input {text} is no shape; write 8,3,224,224, or 8,128:int64 for another dtype"
        ) from None
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(sizes, generator=generator).to(kind) if kind.is_floating_point else torch.zeros(sizes, dtype=kind)
    )


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _backward(target: str, output: Any) -> None:
    """The backward pass of the sum of all outputs that have a gradient."""
    outputs = [tensor for tensor in _tensors(output) if tensor.requires_grad]
    if not outputs:
        raise InvalidValue("trace", f"nothing that {target} returned requires a gradient")
    torch.autograd.backward([tensor.sum() for tensor in outputs])


def _tensors(found: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, dicts and objects such as a model's output."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, dict):
        for value in found.values():
            yield from _tensors(value)
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _tensors(value)
    elif hasattr(found, "__dict__"):
        yield from _tensors(vars(found))
