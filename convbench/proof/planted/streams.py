"""Right results whose work is not on the stream that is timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ...devices import device_of
from ...measurement.problem import Problem
from ...methods import Unsupported
from ...methods.explicit import prepare as explicit


def another(problem: Problem) -> Callable[[], Tensor]:
    """The explicit formula on a stream of its own, which nothing waits for."""
    cuda = _interface(problem)
    return _on(explicit(problem), cuda, cuda.Stream(problem.device))


def default(problem: Problem) -> Callable[[], Tensor]:
    """The explicit formula on the default stream, where a plain launch goes."""
    cuda = _interface(problem)
    return _on(explicit(problem), cuda, cuda.default_stream(problem.device))


def _on(right: Callable[[], Tensor], cuda: Any, stream: Any) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with cuda.stream(stream):
            return right()

    return call


def _interface(problem: Problem) -> Any:
    cuda = device_of(problem.spec.device).interface()
    if not hasattr(cuda, "default_stream"):
        raise Unsupported("a device without streams")
    return cuda
