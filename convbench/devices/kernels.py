"""What one call runs underneath, seen by torch's profiler and by oneDNN's own log; nothing is timed."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any

from .device import Underneath

_FREE = (
    "empty empty_like empty_strided empty_permuted new_empty new_empty_strided resize_ set_ as_strided as_strided_ "
    "view _unsafe_view _reshape_alias reshape expand expand_as select slice narrow transpose transpose_ t permute "
    "movedim unsqueeze squeeze unsqueeze_ squeeze_ flatten unflatten view_as detach detach_ alias unfold diagonal "
    "lift_fresh resolve_conj resolve_neg result_type split chunk unbind mT mH adjoint to _to_copy contiguous clone "
    "zeros zeros_like new_zeros ones ones_like new_ones full full_like new_full _nnpack_available"
)
FREE = frozenset(_FREE.split())
"""torch's operations that compute nothing by themselves: they make memory or a view, or are a fill or a copy of it."""

MINOR = frozenset({"zero_", "fill_", "copy_"})
"""What an operation may do before it computes: a convolution without oneDNN clears its result, addmm copies."""

ONEDNN = "onednn_verbose"


def operations(call: Callable[[], Any]) -> list[str] | None:
    """torch's operations of one call, without those that are made of others alone, and after them oneDNN's primitives
    (`onednn convolution backward_data jit:avx512_core`). None where torch was built without its profiler."""
    import torch

    if not torch.profiler.kineto_available():
        return None
    with _primitives() as primitives, torch.autograd.profiler.profile() as profile:
        call()
    events = [e for e in profile.kineto_results.events() if not e.name().startswith("autograd::engine")]
    return [*_leaves([(e.start_ns(), e.start_ns() + e.duration_ns(), e.name()) for e in events]), *primitives]


def _leaves(spans: list[tuple[int, int, str]]) -> list[str]:
    """Names of the (start, end, name) that compute, and hold no other that does more than copy or fill."""
    working = [span for span in sorted(spans, key=lambda s: (s[0], -s[1])) if not _is_free(span[2])]
    found = []
    for number, (_, end, name) in enumerate(working):
        # In the order of their start, one that holds others is followed by them.
        within = takewhile(lambda span, end=end: span[0] < end, working[number + 1 :])  # type: ignore[misc]
        if all(other.removeprefix("aten::") in MINOR for *_, other in within):
            found.append(name.removeprefix("aten::"))
    return found


def _is_free(name: str) -> bool:
    return name.startswith("aten::") and name.removeprefix("aten::") in FREE


@contextmanager
def _primitives() -> Iterator[list[str]]:
    """A list that holds what oneDNN executed, when the block has ended; empty where it cannot be asked.

    oneDNN prints it to the process's standard output, which leads into a file meanwhile. What others print there in
    that time comes after it.
    """
    found: list[str] = []
    verbose = _onednn_log()
    if verbose is None:
        yield found
        return
    flush = ctypes.CDLL(None).fflush
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        flush(None)
        before = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            with verbose:
                yield found
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            flush(None)
            os.dup2(before, 1)
            os.close(before)
        file.seek(0)
        for line in file:
            primitive = primitive_of(line.decode(errors="replace"))
            if primitive is not None:
                found.append(primitive)
            elif not line.startswith(ONEDNN.encode()):
                os.write(1, line)


def _onednn_log() -> Any:
    """A block in which oneDNN tells what it executes; None where it is not there, is told to be quiet or is in use."""
    import torch

    backend = torch.backends.mkldnn
    if os.name != "posix" or not backend.is_available() or not hasattr(backend, "verbose"):
        return None
    if os.environ.get("ONEDNN_VERBOSE", "0") not in ("", "0"):  # leaving the block would switch off what was asked for
        return None
    try:
        os.fstat(1)
    except OSError:
        return None
    return backend.verbose(backend.VERBOSE_ON)


def primitive_of(line: str) -> str | None:
    """`onednn convolution backward_data jit:avx512_core` of a line of oneDNN's log; None for one of another kind.

    onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx512_core,backward_data,…
    """
    words = line.strip().split(",")
    if words[0] != ONEDNN or "exec" not in words[:5]:
        return None
    kind = words[words.index("exec") + 2 :][:3]
    if len(kind) < 3:
        return None
    return " ".join(["onednn", kind[0], *(word for word in (kind[2], kind[1]) if word not in ("", "undef"))])


def launched(call: Callable[[], Any], synchronize: Callable[[], None]) -> Underneath | None:
    """The kernels that one call launches on torch's cuda devices, copies and fills among them, on whatever stream.

    None where the driver does not tell, as under another profiler.
    """
    import torch

    if not torch.profiler.kineto_available():
        return None
    # The driver's own tracing ends with the block: launches that are timed later do not pay for it.
    os.environ.setdefault("TEARDOWN_CUPTI", "1")
    synchronize()
    with torch.autograd.profiler.profile(use_cpu=False, use_device="cuda", use_kineto=True) as profile:
        call()
        synchronize()
    events = [e for e in profile.kineto_results.events() if e.device_type().name == "CUDA"]
    if not events:
        return None
    names = [e.name() for e in sorted(events, key=lambda e: e.start_ns())]
    return Underneath(names, 1e-9 * covered([(e.start_ns(), e.start_ns() + e.duration_ns()) for e in events]))


def covered(spans: list[tuple[int, int]]) -> int:
    """The length of the union of (start, end): kernels of several streams run at the same time."""
    length = reached = 0
    for start, end in sorted(spans):
        length += max(0, end - max(start, reached))
        reached = max(reached, end)
    return length
