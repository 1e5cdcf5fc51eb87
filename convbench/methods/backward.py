"""The backward pass of somebody's own forward: an autograd.Function, an nn.Module or a function, timed as autograd is.

The forward pass is preparation. Because it may save anything that it has computed from its operands, it is run again
whenever input, weight and bias have got new values, outside of the clock; grad_output has other values by the time
that the backward pass is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..facts.case import OPS, PER_AXIS, ConvCase
from ..facts.wrt import GRADIENTS
from ..measurement.joint import Result
from ..measurement.problem import Problem
from . import Unsupported, chosen, together, with_autograd
from .autograd import differentiable
from .own import InTurn, Prepare, check_covered

Forward = Callable[[Tensor, Tensor, "Tensor | None", ConvCase], Tensor]
"""(input, weight, bias, case) → output."""

TENSORS = {"input": "input", "x": "input", "weight": "weight", "w": "weight", "bias": "bias", "b": "bias"}
"""Parameter of a forward → the operand that it gets."""
NEUTRAL = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
"""What a forward that has no such parameter computes with."""
OF_A_MODULE = {"kernel_size": "kernel", "in_channels": "in_channels", "out_channels": "out_channels", "bias": "bias"}
"""Parameter of a module's constructor, besides NEUTRAL's → what it gets of the case."""


class Backward:
    """Calls the backward pass of a forward; only the wanted tensors require a gradient."""

    def __init__(self, problem: Problem, forward: Forward) -> None:
        self._problem, self._forward = problem, forward
        self._output, self._wanted = self._recorded()

    def forward_again(self) -> None:
        """Records the forward pass anew, from the values that the operands have now."""
        self._output, self._wanted = self._recorded()

    def __call__(self) -> Result:
        found = torch.autograd.grad(self._output, self._wanted, self._problem.grad_output, retain_graph=True)
        return found if self._problem.joint else found[0]

    def _recorded(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        problem = self._problem
        input, weight, bias, wanted = differentiable(problem)
        output = self._forward(input, weight, bias, problem.case)
        if not isinstance(output, Tensor) or tuple(output.shape) != problem.case.output_shape:
            found = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"the forward pass returned {found}; the output has {list(problem.case.output_shape)}")
        return output, wanted


def forward_again(call: object) -> Callable[[], None] | None:
    """What runs the forward pass of a prepared method once more; None for a method that has none."""
    if isinstance(call, Backward):
        return call.forward_again
    again = [one for each in call.calls if (one := forward_again(each))] if isinstance(call, InTurn) else []

    def all_again() -> None:
        for one in again:
            one()

    return all_again if again else None


def backward_of(
    target: type[torch.autograd.Function] | type[nn.Module] | nn.Module | Callable[..., Tensor],
    *,
    op: str | Sequence[str] | None = None,
    wrt: str | Sequence[str] | None = None,
) -> Prepare:
    """A method that times the backward pass of `target`; its forward pass is preparation.

    `target` is an autograd.Function or a function, whose forward's parameters are named input (or x), weight (w), bias
    (b), stride, padding, output_padding, dilation, groups and case, as far as it has them (integers per axis come as
    tuples); a class of modules that is constructed as nn.Conv2d is; or a module, for the cases whose weight has the
    shape of its own. `op` and `wrt` say what it covers, as for `plain`. Raises ValueError for parameters that are none
    of these, and for an op or wrt that does not exist.
    """
    covers = {"op": chosen("op", op, OPS), "wrt": chosen("wrt", wrt, GRADIENTS)}
    name, forward = getattr(target, "__name__", type(target).__name__), _forward_of(target)

    @together
    @with_autograd
    def prepare(problem: Problem) -> Callable[[], Result]:
        if problem.order != 1:
            raise Unsupported(f"the backward pass of {name} covers order=1")
        check_covered(name, covers, problem)
        return Backward(problem, forward(problem))

    return prepare


def _forward_of(target: Any) -> Callable[[Problem], Forward]:
    """What makes the forward of a problem."""
    if isinstance(target, nn.Module):
        return lambda problem: _of_module(target, problem)
    if isinstance(target, type) and issubclass(target, nn.Module):
        given = _known(target.__name__, inspect.signature(target), {**OF_A_MODULE, **{key: key for key in NEUTRAL}})
        return lambda problem: _of_module(_constructed(target, given, problem), problem)
    if isinstance(target, type) and issubclass(target, torch.autograd.Function):
        parameters = list(inspect.signature(target.forward).parameters.values())
        if target.setup_context is torch.autograd.Function.setup_context:
            parameters = parameters[1:]  # the context
        return _by_name(target.__name__, target.apply, inspect.Signature(parameters))
    if not callable(target):
        raise ValueError(f"{target!r} is no autograd.Function, nn.Module or function")
    return _by_name(getattr(target, "__name__", repr(target)), target, inspect.signature(target))


def _by_name(name: str, function: Callable[..., Tensor], signature: inspect.Signature) -> Callable[[Problem], Forward]:
    """The forward that gives each parameter of a function what its name says."""
    given = _known(name, signature, {**TENSORS, **{key: key for key in (*NEUTRAL, "case")}})
    parameters = signature.parameters.values()

    def forward(input: Tensor, weight: Tensor, bias: Tensor | None, case: ConvCase) -> Tensor:
        operands = {"input": input, "weight": weight, "bias": bias, "case": case}
        values = {p.name: p.default for p in parameters}
        for parameter, key in given.items():
            values[parameter] = operands[key] if key in operands else getattr(case, key)
        # By place, as an autograd.Function takes no names.
        placed = [values[p.name] for p in parameters if p.kind is not p.KEYWORD_ONLY]
        return function(*placed, **{p.name: values[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY})

    def made(problem: Problem) -> Forward:
        _check_parameters(name, given.values(), problem.case)
        return forward

    return made


def _known(name: str, signature: inspect.Signature, known: Mapping[str, str]) -> dict[str, str]:
    """Parameter → what it gets; others keep their default value. Raises ValueError for one that has none."""
    parameters = signature.parameters.values()
    unknown = [p.name for p in parameters if p.name not in known and p.default is p.empty]
    if unknown:
        raise ValueError(
            f"{name} has a parameter {unknown[0]}, and none but {', '.join(known)} can be given; "
            "write a function of (input, weight, bias, case) that calls it"
        )
    return {p.name: known[p.name] for p in parameters if p.name in known}


def _check_parameters(name: str, keys: Any, case: ConvCase) -> None:
    """Raises Unsupported for a case whose stride, bias … the forward cannot be told."""
    keys = set(keys)
    if "case" in keys:
        return
    for key, neutral in NEUTRAL.items():
        value = getattr(case, key)
        if key not in keys and value not in (neutral, (neutral,) * case.dims):
            told = list(value) if key in PER_AXIS else value
            raise Unsupported(f"{name} has no parameter {key}; it does not cover {key}={told}")
    if case.bias and "bias" not in keys:
        raise Unsupported(f"{name} has no parameter bias; it does not cover bias=true")


def _constructed(target: type[nn.Module], given: Mapping[str, str], problem: Problem) -> nn.Module:
    case = problem.case
    _check_parameters(target.__name__, given.values(), case)
    module = target(**{parameter: getattr(case, key) for parameter, key in given.items()})
    return module.to(device=problem.device, dtype=problem.dtype)


def _of_module(module: nn.Module, problem: Problem) -> Forward:
    """The module's forward with the problem's tensors for its parameters named weight and bias, wherever they are."""
    named = dict(module.named_parameters())
    weights = [name for name in named if name.rpartition(".")[2] == "weight"]
    if len(weights) != 1:
        raise ValueError(f"{type(module).__name__} has {len(weights)} parameters named weight; give a module with one")
    if tuple(named[weights[0]].shape) != problem.case.weight_shape:
        shapes = f"{list(named[weights[0]].shape)}; the case's has {list(problem.case.weight_shape)}"
        raise Unsupported(f"the weight of {type(module).__name__} has the shape {shapes}")
    bias_name = weights[0].removesuffix("weight") + "bias"
    if (bias_name in named) != problem.case.bias:
        word = "a" if bias_name in named else "no"
        raise Unsupported(f"{type(module).__name__} has {word} bias; not bias={str(problem.case.bias).lower()}")

    def forward(input: Tensor, weight: Tensor, bias: Tensor | None, case: ConvCase) -> Tensor:
        parameters = {weights[0]: weight} if bias is None else {weights[0]: weight, bias_name: bias}
        output: Tensor = torch.func.functional_call(module, parameters, (input,))
        return output

    return forward
