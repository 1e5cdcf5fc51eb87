"""Several gradients at once: such a call returns a tuple, and each of its tensors has a reference of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from .problem import Problem
from .reference import Reference

Result = Tensor | tuple[Tensor, ...]
"""What a method returns: the gradient, or one for each of `problem.wrts`, in their order."""
Truth = Reference | tuple[Reference, ...]
"""The reference of the gradient, or one for each of several."""


class Part(NamedTuple):
    """One gradient of a configuration."""

    got: Any
    made: Problem
    truth: Reference


def truth_of(made: Problem, find: Callable[[Problem], Reference]) -> Truth:
    """What `find` says of the gradient, or of each of several."""
    return tuple(map(find, made.parts)) if made.joint else find(made)


def references(truth: Truth) -> tuple[Reference, ...]:
    return truth if isinstance(truth, tuple) else (truth,)


def parts(got: Any, made: Problem, truth: Truth) -> list[Part]:
    """The gradients of a result that has the right number of them."""
    results = tensors(got) if made.joint else (got,)
    return [Part(*one) for one in zip(results, made.parts, references(truth), strict=True)]


def tensors(got: Any) -> tuple[Any, ...]:
    """The tensors of a result."""
    return tuple(got) if isinstance(got, (tuple, list)) else (got,)
