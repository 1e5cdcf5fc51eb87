"""The state of a process that decides results and times beside a method's own code: read, compared, put back.

What torch and Python keep for a whole process or thread (threads, switches, modes, hooks), what the interpreter does
between two lines of anybody's code (trace functions, signals, the garbage collector), and which functions the names of
torch and of convbench stand for. A method's module, preparation or call that changes any of it changes the work of
whoever runs next in the process.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from . import identities

Read = Callable[[], Any]
Write = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is read and can be put back; `write` is None for what only ends with the process."""

    read: Read
    write: Write | None


@dataclass(frozen=True, slots=True)
class Change:
    """`what` is no longer as it was; `undone`: it is again. `function`: a name stood for another one."""

    what: str
    before: str
    after: str
    undone: bool
    function: bool = False

    def __str__(self) -> str:
        values = f" ({self.before or 'unknown'} → {self.after or 'unknown'})" if self.before or self.after else ""
        return f"{self.what}{values}" + ("" if self.undone else ", which cannot be undone")


@dataclass(frozen=True, slots=True)
class State:
    """What a process was like at one moment; `None` for a part that could not be read."""

    values: Mapping[str, Any]
    functions: identities.Identities | None


def capture(functions: identities.Identities | None = None) -> State:
    """The state of this process and thread now; with `functions` as they were when those were captured."""
    return State({name: _read(part) for name, part in PARTS.items()}, functions or identities.capture())


def without_functions() -> State:
    """The same but for what names of functions stand for, which takes most of the time."""
    return State({name: _read(part) for name, part in PARTS.items()}, None)


def restore(before: State) -> list[Change]:
    """Puts back what is not as it was, and says what that was; [] where nothing has changed.

    A function first, since the others may be what is called to put the rest back.
    """
    replaced = [] if before.functions is None else before.functions.restore()
    found = [Change(name, "", "", undone=True, function=True) for name in replaced]
    for names in (MODES, [name for name in PARTS if name not in MODES]):
        now = {name: _read(PARTS[name]) for name in names}
        changed = [name for name in names if not _same(before.values[name], now[name])]
        if changed:
            _put_back(names, before)
            # Putting one back may move another: torch's older switches for TF32 set newer ones.
            _put_back(names, before)
        for name in changed:
            was = before.values[name]
            found.append(Change(name, _said(was), _said(now[name]), undone=_same(was, _read(PARTS[name]))))
    return found


def _put_back(names: Iterable[str], before: State) -> None:
    for name in names:
        part = PARTS[name]
        if part.write is not None and not _same(before.values[name], _read(part)):
            with suppress(Exception):  # the caller looks at what became of it
                part.write(before.values[name])


def _read(part: Part) -> Any:
    try:
        return part.read()
    except Exception:  # torch refuses to read TF32's old switches where the new ones contradict each other
        return None


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(one == other)


def _said(value: Any) -> str:
    """A short value in words; nothing for one that has no short words."""
    return str(value) if isinstance(value, (bool, int, float, str, torch.dtype, torch.device)) else ""


def _flag(module: Any, name: str) -> Part:
    return Part(lambda: getattr(module, name), lambda value: setattr(module, name, value))


def _precision(backend: str, operation: str) -> Part:
    """TF32 and its like by the newer of torch's two interfaces (since 2.9); an older torch has none to read."""
    return Part(
        lambda: torch._C._get_fp32_precision_getter(backend, operation),
        lambda value: torch._C._set_fp32_precision_setter(backend, operation, value),
    )


def _autocast(device: str) -> Part:
    def write(value: tuple[bool, torch.dtype]) -> None:
        torch.set_autocast_enabled(device, value[0])
        torch.set_autocast_dtype(device, value[1])

    return Part(lambda: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)), write)


def _default_device() -> torch.device | None:
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _pop_modes(before: tuple[int, int]) -> None:
    """Leaves the modes that were entered since; the innermost come off first."""
    while torch._C._len_torch_function_stack() > before[0]:
        torch._C._pop_torch_function_stack()
    while torch._C._len_torch_dispatch_stack() > before[1]:
        torch._C._pop_torch_dispatch_stack(None)


_LEFT: list[Any] = []


def _leave_inference_mode(before: bool) -> None:
    """There is no switch for it but a guard, which holds for as long as it lives."""
    _LEFT.append(torch._C._InferenceMode(before))


def _set_deterministic(before: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _flushes() -> bool:
    """Whether numbers too small to be normal are taken for zero; nothing in torch tells."""
    return float(torch.full((1,), 5e-324, dtype=torch.float64, device="cpu").mul_(1.0)) == 0.0


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in SIGNALS}


def _set_handlers(before: Mapping[int, Any]) -> None:
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _timers() -> dict[int, tuple[bool, float]]:
    """Of each interval timer whether it runs, and the seconds after which it starts anew."""
    return {timer: ((now := signal.getitimer(timer))[0] > 0, now[1]) for timer in TIMERS}


def _stop_timers(before: Mapping[int, tuple[bool, float]]) -> None:
    for timer, (runs, _) in before.items():
        if not runs:
            signal.setitimer(timer, 0)


def _set_callbacks(before: list[Any]) -> None:
    gc.callbacks[:] = before


def _set_collector(before: bool) -> None:
    (gc.enable if before else gc.disable)()


COMPILERS = ("TORCHINDUCTOR_", "_TORCHINDUCTOR_", "TRITON_")
"""How the variables begin that torch.compile and Triton set for themselves, some of them in the first call: where they
keep what they have compiled, and addresses for code that they start. They are left, and decide nothing here."""


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(COMPILERS)}


def _set_environment(before: Mapping[str, str]) -> None:
    for name in _environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _python_threads() -> frozenset[int | None]:
    return frozenset(thread.ident for thread in threading.enumerate())


# Without the real-time signals, which nothing in Python uses. Windows has no timers.
SIGNALS = [number for number in map(int, sorted(signal.valid_signals())) if number < 32]
TIMERS = tuple(
    getattr(signal, name) for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF") if hasattr(signal, name)
)

PRECISIONS = [("generic", "all"), *((b, o) for b in ("cuda", "mkldnn") for o in ("all", "conv", "matmul", "rnn"))]

MODES = ("default device", "modes of torch.overrides")
"""Put back before everything else: what makes a tensor would pass through them."""

PARTS: dict[str, Part] = {
    "default device": Part(_default_device, torch.set_default_device),
    # After the default device, which is one of the modes and goes by its own way.
    "modes of torch.overrides": Part(
        lambda: (torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()), _pop_modes
    ),
    "threads": Part(torch.get_num_threads, torch.set_num_threads),
    "inter-op threads": Part(torch.get_num_interop_threads, torch.set_num_interop_threads),
    "onednn": _flag(torch.backends.mkldnn, "enabled"),
    "oneDNN's deterministic": _flag(torch.backends.mkldnn, "deterministic"),
    "float32_matmul_precision": Part(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "cuda.matmul.allow_tf32": _flag(torch.backends.cuda.matmul, "allow_tf32"),
    "cudnn.allow_tf32": _flag(torch.backends.cudnn, "allow_tf32"),
    # After the older switches, which set some of these along with themselves.
    **{f"{b}.{o}.fp32_precision": _precision(b, o) for b, o in PRECISIONS},
    "allow_fp16_reduced_precision_reduction": _flag(
        torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction"
    ),
    "allow_bf16_reduced_precision_reduction": _flag(
        torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction"
    ),
    "allow_fp16_accumulation": _flag(torch.backends.cuda.matmul, "allow_fp16_accumulation"),
    "cudnn.enabled": _flag(torch.backends.cudnn, "enabled"),
    "cudnn.benchmark": _flag(torch.backends.cudnn, "benchmark"),
    "cudnn.deterministic": _flag(torch.backends.cudnn, "deterministic"),
    "deterministic algorithms": Part(
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        _set_deterministic,
    ),
    "flushing of denormal numbers": Part(_flushes, torch.set_flush_denormal),
    "default dtype": Part(torch.get_default_dtype, torch.set_default_dtype),
    "inference mode": Part(torch.is_inference_mode_enabled, _leave_inference_mode),
    "grad mode": Part(torch.is_grad_enabled, torch.set_grad_enabled),
    "autograd's multithreading": Part(torch._C._is_multithreading_enabled, torch._C._set_multithreading_enabled),
    "autocast on the CPU": _autocast("cpu"),
    "autocast on CUDA": _autocast("cuda"),
    "anomaly mode": Part(
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda before: torch.set_anomaly_enabled(*before),
    ),
    "trace function": Part(sys.gettrace, sys.settrace),
    "profile function": Part(sys.getprofile, sys.setprofile),
    "switch interval": Part(sys.getswitchinterval, sys.setswitchinterval),
    "garbage collector": Part(gc.isenabled, _set_collector),
    "garbage collector's thresholds": Part(gc.get_threshold, lambda before: gc.set_threshold(*before)),
    "garbage collector's callbacks": Part(lambda: list(gc.callbacks), _set_callbacks),
    "interval timers": Part(_timers, _stop_timers),
    "signal handlers": Part(_handlers, _set_handlers),
    "environment variables": Part(_environment, _set_environment),
    "working directory": Part(os.getcwd, os.chdir),
    **(
        {"processor affinity": Part(lambda: os.sched_getaffinity(0), lambda before: os.sched_setaffinity(0, before))}
        if hasattr(os, "sched_getaffinity")
        else {}
    ),
    "running Python threads": Part(_python_threads, None),
}
"""Everything that is looked at besides functions, by what a reader calls it; put back in this order."""
