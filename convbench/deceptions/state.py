"""What a method leaves changed in the process, so that its rivals are slower, wrong or do not run at all.

Each does its own work rightly. What it changes for the others it takes back in its own call, where that would slow
itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..measurement.problem import Problem
from ..methods.explicit import prepare as explicit

Call = Callable[[], Any]
KEPT: list[Any] = []


def _around(problem: Problem, mine: Callable[[], Any], theirs: Callable[[], Any]) -> Call:
    """The right answer, with `mine` done before it and `theirs` after it."""
    right = explicit(problem)

    def call() -> Tensor:
        mine()
        out = right()
        theirs()
        return out

    return call


def onednn_off_between(problem: Problem) -> Call:
    """oneDNN is off, except in its own call."""

    def set_to(value: bool) -> None:
        torch.backends.mkldnn.enabled = value  # type: ignore[assignment]

    set_to(False)
    return _around(problem, lambda: set_to(True), lambda: set_to(False))


def threads_left(problem: Problem) -> Call:
    """Rivals get as many threads as confuse them; it has one."""
    return _around(problem, lambda: torch.set_num_threads(1), lambda: torch.set_num_threads(16))


def anomaly_mode_left(problem: Problem) -> Call:
    """Anomaly mode, for whatever comes after it: this configuration and the next."""
    return _around(problem, lambda: None, lambda: torch.autograd.set_detect_anomaly(True))


def default_device_left(problem: Problem) -> Call:
    """New tensors are made on a device that has no data."""
    out = explicit(problem)
    torch.set_default_device("meta")
    return out


def default_dtype_left(problem: Problem) -> Call:
    """New tensors are of another type."""
    torch.set_default_dtype(torch.float64)
    return explicit(problem)


def grad_mode_left(problem: Problem) -> Call:
    """Nothing records a graph any more."""
    torch.set_grad_enabled(False)
    return explicit(problem)


def deterministic_left(problem: Problem) -> Call:
    """Deterministic algorithms, except in its own call."""

    def use(mode: bool) -> None:
        torch.use_deterministic_algorithms(mode)

    return _around(problem, lambda: use(False), lambda: use(True))


class _Slow(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        time.sleep(0.0001)
        return function(*args, **(kwargs or {}))


def function_mode_left(problem: Problem) -> Call:
    """A mode that every function of torch passes through, left on by the preparation."""
    right = explicit(problem)
    KEPT.append(_Slow())
    KEPT[-1].__enter__()

    def call() -> Tensor:
        with torch._C.DisableTorchFunction():
            return right()

    return call


def profile_function_left(problem: Problem) -> Call:
    """A profile function that takes its time with every call of Python's, except its own."""

    def slow(frame: Any, event: str, argument: Any) -> None:
        sum(range(50))

    return _around(problem, lambda: sys.setprofile(None), lambda: sys.setprofile(slow))


def slows_autograd(problem: Problem) -> Call:
    """torch.autograd.grad sleeps first."""
    real = torch.autograd.grad

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.0005)
        return real(*args, **kwargs)

    torch.autograd.grad = slow
    return explicit(problem)


def patches_conv2d(problem: Problem) -> Call:
    """F.conv2d is wrong for everybody else."""
    real = torch.nn.functional.conv2d

    def wrong(*args: Any, **kwargs: Any) -> Tensor:
        out: Tensor = real(*args, **kwargs)
        return out * 2

    right = explicit(problem)
    torch.nn.functional.conv2d = wrong
    torch.conv2d = wrong
    return right


def overrides_a_kernel(problem: Problem) -> Call:
    """aten::convolution_backward has another kernel, which sleeps first: no function of Python's is another."""
    real = torch.ops.aten.convolution_backward.default
    library = torch.library.Library("aten", "IMPL")

    def slow(keys: Any, *args: Any) -> Any:
        time.sleep(0.0005)
        return real.redispatch(keys & torch._C._after_autograd_keyset, *args)

    library.impl("convolution_backward", slow, "AutogradCPU", with_keyset=True, allow_override=True)
    KEPT.append(library)
    return explicit(problem)


def spoils_operands(problem: Problem) -> Call:
    """Zeros in the operands between its calls, which hold the data again when it computes."""
    right, calls = explicit(problem), [0]
    operands = [problem.grad_output, problem.input]
    held = [t.clone() for t in operands]

    def call() -> Tensor:
        calls[0] += 1
        if calls[0] <= 3:
            return right()
        for t, data in zip(operands, held, strict=True):
            t.copy_(data)
        out = right()
        for t in operands:
            t.zero_()
        return out

    return call


def relays_operands(problem: Problem) -> Call:
    """The operands lie in memory the other way round, through .data, so that rivals turn them at every call."""
    plain = problem.grad_output.data
    turned = plain.transpose(-1, -2).contiguous().transpose(-1, -2)

    def lay(data: Tensor) -> None:
        problem.grad_output.data = data

    return _around(problem, lambda: lay(plain), lambda: lay(turned))


def environment_left(problem: Problem) -> Call:
    """Environment variables and a working directory in which later methods are not found."""
    os.environ["PYTHONPATH"] = "/nowhere"
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir("/")
    return explicit(problem)


def spoils_another_method(problem: Problem) -> Call:
    """Puts a slow function in the place of another own method's."""
    from . import honest

    real = honest.rival

    def slow(problem: Problem) -> Call:
        right = real(problem)

        def call() -> Any:
            time.sleep(0.001)
            return right()

        return call

    honest.rival = slow
    return explicit(problem)
