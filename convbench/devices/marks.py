"""Marks around one call, by which a profiler outside tells it from everything else; nothing is timed."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from ..facts.values import InvalidValue

PERF = "CONVBENCH_PERF"
"""Environment variable: the two FIFOs that perf was given as `--control fifo:CONTROL,ACK`, written like that."""

PERF_S = 0.5
"""Seconds of calls for perf, which takes a sample every quarter of a millisecond and sees nothing of a single one."""

LOGS = ("ONEDNN_VERBOSE", "DNNL_VERBOSE", "MKL_VERBOSE")
"""Environment variables by which oneDNN and MKL print what they execute."""


@contextmanager
def on_cuda(name: str, synchronize: Callable[[], None]) -> Iterator[float]:
    """An NVTX range, between cudaProfilerStart and cudaProfilerStop; yields the seconds of calls that are wanted, 0 for
    a single one."""
    import torch

    synchronize()
    torch.cuda.profiler.start()
    torch.cuda.nvtx.range_push(name)
    try:
        yield 0.0
        synchronize()
    finally:
        torch.cuda.nvtx.range_pop()
        torch.cuda.profiler.stop()


@contextmanager
def on_cpu(name: str) -> Iterator[float]:
    """An ITT range, a line before and after in the libraries' logs, and perf switched on meanwhile; as `on_cuda`."""
    import torch

    has_itt = torch.profiler.itt.is_available()
    _log(f"convbench: {name}: begins")
    with _perf() as wanted_s:
        if has_itt:
            torch.profiler.itt.range_push(name)
        try:
            yield wanted_s
        finally:
            if has_itt:
                torch.profiler.itt.range_pop()
    _log(f"convbench: {name}: ends")


def _log(text: str) -> None:
    """A line among those that a library prints, where one was asked to."""
    if any(os.environ.get(name, "0") not in ("", "0") for name in LOGS):
        sys.stdout.flush()
        if os.name == "posix":
            ctypes.CDLL(None).fflush(None)
        print(text, flush=True)


def _perf() -> Any:
    given = os.environ.get(PERF)
    return _recording(*_fifos(given)) if given else nullcontext(0.0)


def _fifos(given: str) -> tuple[str, str]:
    control, _, ack = given.removeprefix("fifo:").partition(",")
    if not (ack and all(os.path.exists(path) for path in (control, ack))):
        raise InvalidValue(
            PERF, f"{PERF}={given} must be two FIFOs, those of `perf record --control fifo:CONTROL,ACK`: CONTROL,ACK"
        )
    return control, ack


@contextmanager
def _recording(control: str, ack: str) -> Iterator[float]:
    """perf's events are enabled meanwhile; each command is acknowledged before it goes on."""
    with open(control, "w", encoding="ascii") as commands, open(ack, encoding="ascii") as answers:

        def tell(command: str) -> None:
            commands.write(f"{command}\n")
            commands.flush()
            answers.readline()

        tell("enable")
        try:
            yield PERF_S
        finally:
            tell("disable")
