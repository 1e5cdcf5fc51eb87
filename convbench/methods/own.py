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

from ..measurement.problem import Problem
from . import Unsupported, accuracy, with_autograd

Prepare = Callable[[Problem], Callable[[], Tensor]]
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
        prepare: Prepare = importlib.import_module(f".{name}", __package__).prepare
        return prepare
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
    loaded = _from_plain(made) if getattr(made, "convbench_plain", False) else _from_prepare(name, made)
    loaded = with_autograd(loaded) if uses_autograd(made) else loaded
    declared = declared_accuracy(made)
    return loaded if declared is None else accuracy(declared)(loaded)


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
        check_covered(function.__name__, covers, problem)
        gy, x, w, case = problem.grad_output, problem.input, problem.weight, problem.case
        return lambda: function(gy, x, w, case)

    return prepare


def check_covered(name: str, covers: Mapping[str, Sequence[str]], problem: Problem) -> None:
    """Raises Unsupported where a method says that it covers other operations or gradients than the problem's."""
    for key, asked in (("op", problem.case.op), ("wrt", problem.wrt)):
        if asked not in covers.get(key, (asked,)):
            raise Unsupported(f"{name} is marked for {key}={','.join(covers[key])}; not {key}={asked}")
