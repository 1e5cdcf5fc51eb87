"""The user's own methods: `package.module:function`, found on sys.path with the working directory first."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ..facts.wrt import ALL, GRADIENTS, OUTPUT, WRT, all_of
from ..measurement.joint import Result
from ..measurement.problem import Problem
from . import Unsupported, accuracy, with_autograd
from .formulas import grad_bias

Prepare = Callable[[Problem], Callable[[], Any]]
MARK_PLAIN = "mark a function of (grad_output, input, weight, case) with @convbench.plain"


class CannotLoad(Exception):
    """A method's module or function is not there or cannot be imported; the message says which and why."""


def is_own(name: str) -> bool:
    """Whether a method's name is that of a user's function; the methods that ship have no colon."""
    return ":" in name


def load(name: str) -> Prepare:
    """The `prepare` of a shipped method or of the user's own. Raises CannotLoad, or Unsupported if the module does."""
    module, colon, function = name.partition(":")
    if not colon:
        return _in_turn(importlib.import_module(f".{name}", __package__).prepare)
    if os.getcwd() not in sys.path and "" not in sys.path:
        # Not there when convbench is started by its installed command, or with PYTHONSAFEPATH set.
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except Unsupported:  # a module that says of itself that it cannot work on this machine
        raise
    except (Exception, SystemExit) as error:  # a user's module may raise anything, and a script may end itself
        raise CannotLoad(f"cannot import {module}: {type(error).__name__}: {error}") from error
    made = getattr(found, function, None)
    if not callable(made):
        raise CannotLoad(f"{module} has no function named {function}")
    if getattr(made, "convbench_plain", False):
        return _marked_as(made, _from_plain(made))
    return _in_turn(_marked_as(made, _from_prepare(name, made)))


def _marked_as(made: Callable[..., Any], loaded: Prepare) -> Prepare:
    """`loaded` with the marks of what it was made of."""
    loaded.convbench_together = getattr(made, "convbench_together", False)  # type: ignore[attr-defined]
    loaded = with_autograd(loaded) if uses_autograd(made) else loaded
    declared = declared_accuracy(made)
    return loaded if declared is None else accuracy(declared)(loaded)


class InTurn:
    """Calls that compute one gradient each, one after the other."""

    def __init__(self, calls: Sequence[Callable[[], Any]]) -> None:
        self.calls = calls

    def __call__(self) -> tuple[Tensor, ...]:
        return tuple(call() for call in self.calls)


def _in_turn(prepare: Prepare) -> Prepare:
    """A method that is prepared for each of several gradients by itself, unless it is marked `together`."""
    if getattr(prepare, "convbench_together", False):
        return prepare

    def prepared(problem: Problem) -> Callable[[], Result]:
        return (
            InTurn([_part(prepare, part, problem.wrt) for part in problem.parts]) if problem.joint else prepare(problem)
        )

    return _marked_as(prepare, prepared)


def _part(prepare: Prepare, part: Problem, asked: str) -> Callable[[], Result]:
    try:
        return prepare(part)
    except Unsupported as error:
        raise Unsupported(f"{error}; so not wrt={asked} either") from error


def gradients(
    *,
    input: Callable[..., Any] | None = None,
    weight: Callable[..., Any] | None = None,
    bias: Callable[..., Any] | None = None,
) -> Prepare:
    """One method made of a method for each gradient, called one after the other where several are wanted.

    Each is a function as for `methods`: of a problem, or marked `plain`. Without one, the gradient with respect to the
    bias is the sum of grad_output by torch. Raises ValueError where none is given.
    """
    given = {"input": input, "weight": weight, "bias": bias}
    of = {wrt: _loaded(function) for wrt, function in given.items() if function is not None}
    if not of:
        raise ValueError("gradients() is given no method; give input=…, weight=… or bias=…")
    of.setdefault("bias", lambda problem: lambda: grad_bias(problem.grad_output))

    def prepare(problem: Problem) -> Callable[[], Result]:
        if problem.order != 1 or problem.wrt not in of:
            raise Unsupported(f"there is no method for wrt={problem.wrt}, order={problem.order}")
        return of[problem.wrt](problem)

    return with_autograd(prepare) if any(map(uses_autograd, of.values())) else prepare


def _loaded(function: Callable[..., Any]) -> Prepare:
    if getattr(function, "convbench_plain", False):
        return _marked_as(function, _from_plain(function))
    return _marked_as(function, _from_prepare(getattr(function, "__name__", "a method"), function))


def uses_autograd(prepare: Prepare) -> bool:
    """Whether a loaded method is marked with `with_autograd`."""
    return getattr(prepare, "convbench_autograd", False)


def declared_accuracy(prepare: Prepare) -> str | None:
    """The class of bounds that a loaded method says its results belong to; None where it says nothing."""
    return getattr(prepare, "convbench_accuracy", None)


def context_of(prepare: Prepare) -> Callable[[], AbstractContextManager[Any]]:
    """What a loaded method's callable is called under: inference mode, unless it uses autograd."""
    return nullcontext if uses_autograd(prepare) else torch.inference_mode


def _from_prepare(name: str, made: Callable[..., Any]) -> Prepare:
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError):  # some functions written in C have none
        signature = inspect.Signature([inspect.Parameter("problem", inspect.Parameter.POSITIONAL_ONLY)])
    try:
        signature.bind(object())
    except TypeError as error:
        raise CannotLoad(f"{name} is not a function of one problem ({error}); {MARK_PLAIN}") from error

    def prepare(problem: Problem) -> Callable[[], Tensor]:
        call = made(problem)
        if not callable(call):
            raise CannotLoad(f"{name} returned {type(call).__name__}, which cannot be called and timed; {MARK_PLAIN}")
        return call

    return prepare


def _from_plain(function: Callable[..., Tensor]) -> Prepare:
    covers: Mapping[str, Sequence[str]] = getattr(function, "convbench_covers", {})

    def prepare(problem: Problem) -> Callable[[], Tensor]:
        if problem.order != 1:
            raise Unsupported("a plain function has no directions to differentiate in; it covers order=1")
        _check_plain(function.__name__, covers, problem)
        gy, x, w, case = problem.grad_output, problem.input, problem.weight, problem.case
        return lambda: function(gy, x, w, case)

    return prepare


def _check_plain(name: str, covers: Mapping[str, Sequence[str]], problem: Problem) -> None:
    """A plain function is told nothing of `wrt`: it covers several gradients where it is marked for just these."""
    wrts = covers.get("wrt", GRADIENTS)
    if problem.wrt == OUTPUT and problem.case.bias:
        raise Unsupported(f"{name} is a plain function, which is given no bias; not wrt=output with bias=true")
    asked = ALL if ALL in wrts and problem.wrt == all_of(problem.case.bias) else problem.wrt
    if problem.joint and not set(wrts) - set(WRT):
        raise Unsupported(
            f"{name} computes one gradient (wrt={','.join(wrts)}); not wrt={problem.wrt}: a plain function that "
            f"returns a tuple of them is marked wrt={problem.wrt!r}"
        )
    check_covered(name, {**covers, "wrt": (problem.wrt,) if asked in wrts else wrts}, problem, whole=True)


def check_covered(name: str, covers: Mapping[str, Sequence[str]], problem: Problem, whole: bool = False) -> None:
    """Raises Unsupported where a method says that it covers other operations or gradients than the problem's; each of
    several gradients has to be covered, or with `whole` all of them together."""
    if (op := problem.case.op) not in covers.get("op", (op,)):
        raise Unsupported(f"{name} is marked for op={','.join(covers['op'])}; not op={op}")
    wanted = {problem.wrt} if whole else set(problem.wrts)
    if not wanted <= set(covers.get("wrt", wanted)):
        raise Unsupported(f"{name} is marked for wrt={','.join(covers['wrt'])}; not wrt={problem.wrt}")
