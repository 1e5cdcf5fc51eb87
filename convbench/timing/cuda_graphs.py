"""Calls captured as CUDA graphs, and what a capture may have missed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from .clocks import Arm, Lost

SIZES = (64, 16, 4, 1)
"""Calls in each of an arm's graphs: starting a graph costs the device some microseconds, which a graph of one call
would add to its time. A sample of 250 calls starts ten."""

DIFFERENT = 0.01
"""Relative error (L2) from which a replay is not what the call returned; between two calls that sum in another order
it is far smaller in every element type."""

MISSED = (
    "its calls launch nothing on torch's current stream, which is what is captured and timed; launch on "
    "torch.cuda.current_stream() (docs/methods.md, The stream)"
)


class Replay:
    """Replays what was captured: one call, or many in fewer graphs."""

    def __init__(self, graphs: Sequence[Any], result: Any) -> None:
        self._graphs, self._result = graphs, result

    def __call__(self) -> Any:
        self._graphs[-1].replay()
        return self._result

    def many(self, calls: int) -> Any:
        """`calls` calls; the result of the last, which is a graph of its own."""
        left = calls - 1
        for graph, size in zip(self._graphs, SIZES, strict=True):
            for _ in repeat(None, left // size):
                graph.replay()
            left %= size
        return self()


def captured(arm: Arm, cuda: Any, stream: Any) -> Replay:
    """The arm's call as graphs. Raises Lost where they are not what the call does, and whatever capturing raises."""
    with arm.context():
        # Lazy initialisation (handles, workspaces, algorithm search) is not allowed while capturing.
        for _ in range(3):
            expected = arm.call()
        stream.synchronize()
        graphs = [_graph(arm.call, size, cuda, stream) for size in SIZES]
        result = graphs[-1][1]
        replay = Replay([graph for graph, _ in graphs], result)
        pairs = list(zip(_tensors(result), _tensors(expected), strict=False))
        if pairs:
            for found, _ in pairs:
                if found.is_floating_point():
                    found.fill_(torch.nan)
            replay()
            stream.synchronize()
            if any(_differs(found, wanted) for found, wanted in pairs):
                raise Lost(accuracy="fail", reason=f"replayed as a CUDA graph it returns something else: {MISSED}")
    return replay


def _graph(call: Callable[[], Any], calls: int, cuda: Any, stream: Any) -> tuple[Any, Any]:
    graph = cuda.CUDAGraph()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with cuda.graph(graph, stream=stream):
            for _ in range(calls):
                result = call()
    if any("graph is empty" in str(warning.message).lower() for warning in said):
        raise Lost(accuracy="fail", reason=MISSED)
    return graph, result


def _tensors(result: Any) -> list[Tensor]:
    """Those of a result, which may be several gradients."""
    return [one for one in (result if isinstance(result, (tuple, list)) else (result,)) if isinstance(one, Tensor)]


def _differs(result: Tensor, expected: Tensor) -> bool:
    """Whether the one is off by more than sums in another order are; NaN is."""
    return not float((result - expected).float().norm()) <= DIFFERENT * float(expected.float().norm())
