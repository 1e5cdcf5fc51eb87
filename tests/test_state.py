"""Whatever a method's code changes in its process is seen, named and put back."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._compile import _disable_dynamo
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from convbench.measurement import convolution, state
from convbench.methods import formulas


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Whatever a test leaves behind is put back, by hand: not by the code under test."""
    kept = torch.get_num_threads(), os.getcwd(), sys.getprofile(), gc.isenabled(), torch.get_default_dtype()
    yield
    torch.set_num_threads(kept[0])
    os.chdir(kept[1])
    sys.setprofile(kept[2])
    (gc.enable if kept[3] else gc.disable)()
    torch.set_default_dtype(kept[4])
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    signal.setitimer(signal.ITIMER_PROF, 0)


def _onednn() -> None:
    torch.backends.mkldnn.enabled = not torch.backends.mkldnn.enabled  # type: ignore[assignment, has-type]


def _tf32_of_old() -> None:
    torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32


def _tf32_of_now() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"


def _benchmark() -> None:
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark


def _half_sums() -> None:
    matmul = torch.backends.cuda.matmul
    matmul.allow_bf16_reduced_precision_reduction = not matmul.allow_bf16_reduced_precision_reduction


def _timer() -> None:
    signal.signal(signal.SIGPROF, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_PROF, 1000, 1000)  # pytest-timeout has the other one


def _gc_callback() -> None:
    gc.callbacks.append(lambda phase, info: None)


def _double() -> None:
    torch.Tensor.double = lambda self: self  # type: ignore[method-assign, assignment, return-value]


def _grad() -> None:
    real = torch.autograd.grad
    torch.autograd.grad = lambda *args, **kwargs: real(*args, **kwargs)  # type: ignore[assignment]


def _own_function() -> None:
    convolution.forward = lambda *args: None  # type: ignore[assignment]


def _own_method() -> None:
    formulas.Contractions.forward = lambda *args: None  # type: ignore[method-assign, assignment]


def _own_code() -> None:
    formulas.Contractions.grad_input.__code__ = (lambda self, *args: None).__code__


def _clock() -> None:
    time.perf_counter_ns = lambda: 0


KEPT: list[Any] = []

CHANGES: dict[str, tuple[Callable[[], Any], str]] = {
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), "threads"),
    "onednn": (_onednn, "onednn"),
    "tf32": (_tf32_of_old, "cudnn.allow_tf32"),
    "tf32 by the newer interface": (_tf32_of_now, "cuda.matmul.fp32_precision"),
    "matmul precision": (lambda: torch.set_float32_matmul_precision("medium"), "float32_matmul_precision"),
    "half sums": (_half_sums, "allow_bf16_reduced_precision_reduction"),
    "cudnn.benchmark": (_benchmark, "cudnn.benchmark"),
    "default dtype": (lambda: torch.set_default_dtype(torch.float64), "default dtype"),
    "default device": (lambda: torch.set_default_device("meta"), "default device"),
    "grad mode": (lambda: torch.set_grad_enabled(False), "grad mode"),
    "inference mode": (lambda: KEPT.append(torch._C._InferenceMode(True)), "inference mode"),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), "autocast on the CPU"),
    "anomaly mode": (lambda: torch.autograd.set_detect_anomaly(True), "anomaly mode"),
    "function mode": (lambda: TorchFunctionMode().__enter__(), "modes of torch.overrides"),
    "dispatch mode": (lambda: TorchDispatchMode().__enter__(), "modes of torch.overrides"),
    "profile function": (lambda: sys.setprofile(lambda *args: None), "profile function"),
    "environment": (lambda: os.environ.update(CONVBENCH_TEST_STATE="1"), "environment variables"),
    "working directory": (lambda: os.chdir("/"), "working directory"),
    "signal handler": (lambda: signal.signal(signal.SIGUSR2, lambda *args: None), "signal handlers"),
    "interval timer": (_timer, "interval timers"),
    "gc": (gc.disable, "garbage collector"),
    "gc callback": (_gc_callback, "garbage collector's callbacks"),
    "gc thresholds": (lambda: gc.set_threshold(5), "garbage collector's thresholds"),
    "flush denormal": (lambda: torch.set_flush_denormal(True), "flushing of denormal numbers"),
    "Tensor.double": (_double, "torch.Tensor.double"),
    "torch.autograd.grad": (_grad, "torch.autograd.grad"),
    "a function of convbench's": (_own_function, "convbench.measurement.convolution.forward"),
    "a method of convbench's": (_own_method, "convbench.methods.formulas.Contractions.forward"),
    "the code of a function": (_own_code, "the code of convbench.methods.formulas.Contractions.grad_input"),
    "a clock": (_clock, "time.perf_counter_ns"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named_and_undone(change: str) -> None:
    before = state.capture()
    do, named = CHANGES[change]
    do()
    found = state.restore(before)
    assert named in [one.what for one in found]
    assert all(one.undone for one in found), list(map(str, found))
    assert state.restore(before) == []


def _by_the_wrapper_of_torch() -> None:
    torch.manual_seed = _disable_dynamo(torch.initial_seed)  # type: ignore[assignment]


def _in_the_wrapper_of_torch() -> None:
    real = torch.manual_seed
    torch.manual_seed = _disable_dynamo(real)  # type: ignore[assignment]
    torch.manual_seed.__code__ = _seeds_nothing(real).__code__


def _with_globals_of_its_own() -> None:
    wrapped = _disable_dynamo(torch.manual_seed)
    torch.manual_seed = types.FunctionType(  # type: ignore[assignment]
        wrapped.__code__, {"__name__": "torch._compile", "getattr": print}, None, None, wrapped.__closure__
    )


def _seeds_nothing(fn: Any, recursive: bool = True) -> Any:
    return lambda *args: (fn, recursive, None)[2]


MEDDLING: dict[str, Callable[[], None]] = {
    "another function": lambda: setattr(torch, "manual_seed", lambda seed: None),
    "around it, with code of its own": lambda: setattr(torch, "manual_seed", _seeds_nothing(torch.manual_seed)),
    "torch's wrapper of another function": _by_the_wrapper_of_torch,
    "torch's wrapper with other code": _in_the_wrapper_of_torch,
    "torch's wrapper with other globals": _with_globals_of_its_own,
}


def test_what_torch_wraps_itself_when_it_first_compiles_is_no_change() -> None:
    real, before = torch.manual_seed, state.capture()
    wrapped = _disable_dynamo(real)  # as `import torch._dynamo` does, once in a process
    try:
        torch.manual_seed = wrapped  # type: ignore[assignment]
        assert state.restore(before) == []
        assert torch.manual_seed is wrapped, "torch's own stays"
        wrapped.__code__ = _seeds_nothing(real).__code__
        (found,) = state.restore(before)
        assert found.what == "the code of torch.random.manual_seed"
    finally:
        torch.manual_seed = real


@pytest.mark.parametrize("meddling", MEDDLING)
def test_what_only_looks_like_torchs_own_wrapping_is_a_change(meddling: str) -> None:
    real, before = torch.manual_seed, state.capture()
    try:
        MEDDLING[meddling]()
        assert [one.what for one in state.restore(before)] == ["torch.manual_seed"]
        assert torch.manual_seed is real
    finally:
        torch.manual_seed = real


def test_nothing_is_found_where_nothing_was_changed() -> None:
    before = state.capture()
    torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    for name in ("fft", "compile"):  # the package then has an attribute of that name, which is no function
        sys.modules.pop(f"convbench.methods.{name}", None)
        importlib.import_module(f"convbench.methods.{name}")
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=False):
        torch.ones(1)
    assert state.restore(before) == []


def test_what_cannot_be_undone_is_said() -> None:
    before, stop = state.capture(), threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        (found,) = state.restore(before)
        assert str(found) == "running Python threads, which cannot be undone"
    finally:
        stop.set()
        thread.join()


def test_short_values_are_said() -> None:
    before = state.capture()
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    (found,) = state.restore(before)
    assert str(found) == f"threads ({threads} → {threads + 1})"
