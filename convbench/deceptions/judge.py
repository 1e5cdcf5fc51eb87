"""Hands on the judge: its reference, its functions, its rows, its clock."""

from __future__ import annotations

import gc
import importlib
import sys
import time
from collections.abc import Callable
from itertools import count
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..measurement.problem import Problem
from ..methods.explicit import prepare as explicit

Call = Callable[[], Any]


def _zeros(problem: Problem) -> Call:
    return lambda: torch.zeros(problem.shape, dtype=problem.dtype, device=problem.device)


def finds_the_reference(problem: Problem) -> Call:
    """Returns the judge's own reference from wherever on the heap it lies; zeros where there is none."""
    wanted = torch.Size(problem.shape)
    found = list[Tensor]()

    def call() -> Tensor:
        if not found:
            candidates = [t for t in gc.get_objects() if type(t) is Tensor]
            held = [v for o in gc.get_objects() for v in _fields(o) if type(v) is Tensor]
            for t in candidates + held:
                if t.dtype == torch.float64 and t.numel() == wanted.numel():
                    found.append(t.view(wanted).to(problem.dtype))
                    break
        return found[0].clone() if found else torch.zeros(wanted, dtype=problem.dtype, device=problem.device)

    return call


def _fields(thing: object) -> list[Any]:
    """What an object of convbench's holds in its slots."""
    if not type(thing).__module__.startswith("convbench"):
        return []
    return [getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ())]


def finds_the_reference_in_a_frame(problem: Problem) -> Call:
    """Returns the reference from a variable of one of its callers; zeros where there is none."""
    found = list[Tensor]()

    def call() -> Tensor:
        frame = None if found else sys._getframe(1)
        while frame is not None:
            for value in frame.f_locals.values():
                expected = getattr(value, "expected", None)
                if isinstance(expected, Tensor):
                    found.append(expected.view(problem.shape).to(problem.dtype))
            frame = frame.f_back
        return found[0] if found else torch.zeros(problem.shape, dtype=problem.dtype, device=problem.device)

    return call


def _everywhere(old: object, new: object) -> None:
    """Puts `new` wherever a module of convbench's knows `old`."""
    for module in _modules():
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


def _modules() -> list[ModuleType]:
    return [m for name, m in list(sys.modules.items()) if name.startswith("convbench") and m is not None]


def replaces_the_judge(problem: Problem) -> Call:
    """Zeros, and a function of its own in the place of the one that judges."""
    accuracy = importlib.import_module("convbench.measurement.accuracy")
    judge = accuracy.judge

    def lenient(result: Any, made: Any, truth: Any, declared: Any = None) -> Any:
        return judge(explicit(made)(), made, truth)

    _everywhere(judge, lenient)
    return _zeros(problem)


def patches_double(problem: Problem) -> Call:
    """Zeros, and a Tensor.double that gives the right answer for them."""
    double, right = Tensor.double, explicit(problem)
    elements = torch.Size(problem.shape).numel()

    def lenient(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        nothing = self.numel() == elements and not bool(self.any())
        return double(right().view(self.shape)) if nothing else double(self, *args, **kwargs)

    Tensor.double = lenient  # type: ignore[method-assign, assignment]
    return _zeros(problem)


def patches_the_code_of_the_judge(problem: Problem) -> Call:
    """Zeros; every function stays what it is, but the judge's runs other code."""
    accuracy = importlib.import_module("convbench.measurement.accuracy")

    def lenient(result: Any, problem: Any, reference: Any, declared: Any = None) -> Any:
        from convbench.measurement.accuracy import Judgement

        return Judgement("exact", None)

    accuracy.judge.__code__ = lenient.__code__
    return _zeros(problem)


class _Kind(dict[str, Any]):
    """A row that does not take bad news."""

    def update(self, *args: Any, **kwargs: Any) -> None:
        news = dict(*args, **kwargs)
        if news.get("accuracy") == "fail":
            news = {**news, "accuracy": "ok", "bound_ratio": 0.1, "reason": None}
        super().update(news)


def wraps_its_row(problem: Problem) -> Call:
    """Zeros, and a row of its own kind in the judge's list."""

    calls = count()

    def call() -> Tensor:
        for thing in gc.get_objects() if next(calls) == 0 else ():
            if type(thing).__module__ == "convbench.runner" and hasattr(thing, "row"):
                if "deceptions" in str(thing.row.get("method")) and type(thing.row) is dict:
                    thing.row = _Kind(thing.row)
        return torch.zeros(problem.shape, dtype=problem.dtype, device=problem.device)

    return call


def slows_the_clock(problem: Problem) -> Call:
    """Clocks that leave out nine tenths of what its calls take."""
    right, skipped = explicit(problem), [0]
    real_ns, real, monotonic_ns, monotonic = (
        time.perf_counter_ns,
        time.perf_counter,
        time.monotonic_ns,
        time.monotonic,
    )
    fakes: list[tuple[str, Any, Any]] = [
        ("perf_counter_ns", real_ns, lambda: real_ns() - skipped[0]),
        ("perf_counter", real, lambda: real() - skipped[0] * 1e-9),
        ("monotonic_ns", monotonic_ns, lambda: monotonic_ns() - skipped[0]),
        ("monotonic", monotonic, lambda: monotonic() - skipped[0] * 1e-9),
    ]
    for name, old, new in fakes:
        _everywhere(old, new)
        setattr(time, name, new)

    def call() -> Tensor:
        start = real_ns()
        out = right()
        skipped[0] += (real_ns() - start) * 9 // 10
        return out

    return call


def blinds_the_guard(problem: Problem) -> Call:
    """Two threads in its call, and every function of convbench's that compares made to find nothing."""
    right = explicit(problem)

    def nothing(*args: Any, **kwargs: Any) -> list[str]:
        return []

    for module in _modules():
        for holder in [module, *(v for v in vars(module).values() if isinstance(v, type))]:
            for name in ("changed", "compare", "differences", "check"):
                if callable(getattr(holder, name, None)) and getattr(holder, "__module__", "").startswith("convbench"):
                    setattr(holder, name, nothing)

    def call() -> Tensor:
        torch.set_num_threads(2)
        return right()

    return call
