"""The user's own methods: `package.module:function`, found on sys.path with the working directory first."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..problem import Problem
from . import Unsupported

Prepare = Callable[[Problem], Callable[[], Tensor]]


class CannotLoad(Exception):
    """A method's module or function is not there or cannot be imported; the message says which and why."""


def load(name: str) -> Prepare:
    """The `prepare` of a shipped method or of the user's own. Raises CannotLoad."""
    module, colon, function = name.partition(":")
    if not colon:
        prepare: Prepare = importlib.import_module(f".{name}", __package__).prepare
        return prepare
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # a user's module may raise anything
        raise CannotLoad(f"cannot import {module}: {type(error).__name__}: {error}") from error
    made = getattr(found, function, None)
    if not callable(made):
        raise CannotLoad(f"{module} has no function named {function}")
    return _from_plain(made) if getattr(made, "convbench_plain", False) else made


def uses_autograd(name: str) -> bool:
    """Whether a method must not be called under torch.inference_mode: autograd, and the user's that say so."""
    if name == "autograd":
        return True
    module, colon, function = name.partition(":")
    return bool(colon) and getattr(getattr(importlib.import_module(module), function), "convbench_autograd", False)


def _from_plain(function: Callable[..., Tensor]) -> Prepare:
    def prepare(problem: Problem) -> Callable[[], Tensor]:
        if problem.order != 1:
            raise Unsupported("a plain function has no directions to differentiate in; it covers order=1")
        gy, x, w, case = problem.grad_output, problem.input, problem.weight, problem.case
        return lambda: function(gy, x, w, case)

    return prepare
