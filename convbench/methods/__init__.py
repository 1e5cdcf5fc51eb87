"""What can compute a gradient, or the output: the methods that ship, and the user's own.

A method is a function `prepare(problem) -> Callable[[], Tensor]`. What `prepare` does is not timed, the
callable is; it returns the gradient that `problem.wrt` names, or the output. Of several gradients at once it is asked
for one after the other, unless it is marked `together`. Importing this package imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, TypeVar, overload

from ..facts.case import OPS
from ..facts.wrt import ALL, GRADIENTS, TOGETHER, WRT, joined
from ..measurement.bounds import DECLARABLE

Function = TypeVar("Function", bound=Callable[..., Any])

METHODS: dict[str, str] = {
    "autograd": "PyTorch's autograd through the forward operation",
    "explicit": "the gradient written as an ordinary convolution",
    "aten": "aten::convolution_backward called directly: autograd's kernel without its engine",
    "unfold": "im2col and a matrix product",
    "zero_insert": "conv's grad_input as a stride-1 convolution of the zero-interleaved grad_output",
    "upcast": "the explicit formula in float32, rounded once (float16 and bfloat16)",
    "fft": "the explicit formula in the frequency domain, transformed in float64",
    "compile": "torch.compile of the explicit formula",
}
"""Name → what it is, in a line. The module of the same name in this package holds its `prepare`."""


class Unsupported(Exception):
    """A method does not cover this configuration; the message says which ones it does cover."""


@overload
def plain(function: Function) -> Function: ...


@overload
def plain(
    *, op: str | Sequence[str] | None = None, wrt: str | Sequence[str] | None = None
) -> Callable[[Function], Function]: ...


def plain(
    function: Function | None = None,
    *,
    op: str | Sequence[str] | None = None,
    wrt: str | Sequence[str] | None = None,
) -> Function | Callable[[Function], Function]:
    """Marks `function(grad_output, input, weight, case) -> Tensor` as a method that needs no preparation.

    `@plain(op="conv2d", wrt="input")` says which operation's gradient it computes, and which one, so that others are
    `unsupported`; both may be lists, and what is left out is every single gradient. `wrt="output"` is the forward pass
    of a case without a bias, which the function is not given. With `wrt="input+weight"`, or `"all"` for every gradient
    that the case has, it returns a tuple of them, in that order. Raises ValueError for one that does not exist.
    """
    wrts = GRADIENTS if wrt is None else chosen("wrt", wrt, (*WRT, *SEVERAL, ALL))
    ops = chosen("op", op, OPS)

    def mark(function: Function) -> Function:
        function.convbench_plain = True  # type: ignore[attr-defined]
        function.convbench_covers = {"op": ops, "wrt": wrts}  # type: ignore[attr-defined]
        return function

    return mark if function is None else mark(function)


SEVERAL = tuple(joined(found) for n in (2, 3) for found in combinations(TOGETHER, n))
"""Names of gradients that are computed together."""


def chosen(key: str, given: str | Sequence[str] | None, allowed: Sequence[str] | dict[str, Any]) -> tuple[str, ...]:
    """The values of `key` that a method says it covers, all of them where it says nothing; raises ValueError."""
    values = tuple(allowed) if given is None else (given,) if isinstance(given, str) else tuple(given)
    for value in values:
        if value not in allowed:
            kind = "a gradient" if key == "wrt" else "an operation"
            raise ValueError(f"{key}={value!r} is not {kind}; allowed: {', '.join(allowed)}")
    return values


def together(function: Function) -> Function:
    """Marks a `prepare` that computes several gradients in one call: where `problem.wrts` names more than one, its
    callable returns a tuple of them, in that order."""
    function.convbench_together = True  # type: ignore[attr-defined]
    return function


def with_autograd(function: Function) -> Function:
    """Marks a `prepare` whose callable uses autograd and so must not be called under torch.inference_mode."""
    function.convbench_autograd = True  # type: ignore[attr-defined]
    return function


def accuracy(declared: str) -> Callable[[Function], Function]:
    """Marks a method whose results are right, but not by one rounding of an accurate sum: `@accuracy("tf32")`.

    They are `ok` within the bounds of that class. Raises ValueError for a class that does not exist.
    """
    if declared not in DECLARABLE:
        raise ValueError(f"accuracy={declared!r} is not a class of bounds; allowed: {', '.join(DECLARABLE)}")

    def mark(function: Function) -> Function:
        function.convbench_accuracy = declared  # type: ignore[attr-defined]
        return function

    return mark
