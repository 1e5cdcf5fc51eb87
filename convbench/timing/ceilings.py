"""What this machine can do at most, measured: the rate of a large matrix product and of a large copy.

Both are taken under the switches that are in force (threads, TF32), which are therefore the caller's to set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from time import perf_counter, process_time
from typing import Any

import torch

from .cpu_clock import last_level_cache_bytes

OTHERS = "cuda"
"""A type of device that the tables below do not name is given as much work as this one."""

LONG_ENOUGH_S = {"cpu": 0.02, "cuda": 0.005}
"""A product is large enough when it takes this long: a thousand times what starting it costs."""

SIZES = {"cpu": (256, 512, 1024, 2048), "cuda": (1024, 2048, 4096, 8192)}
"""Sides of the square matrices tried in turn. The largest are 48 MiB and 768 MiB in float32, all three together."""

COPY_BYTES = {"cpu": 2**27, "cuda": 2**29}
"""At least; on a CPU four times the last-level cache where that is more. 512 MiB is four times the largest L2 cache of
a GPU in use (126 MiB on a B200; 50 MiB on an H100)."""

REPEATS = 5
"""The best of five: a ceiling is what was reached undisturbed."""

Wait = Callable[[], None]


def measure(device: str, dtype: str, known: Mapping[str, float], synchronize: Wait) -> dict[str, float]:
    """`ceiling_tflops` (2·n³ operations of an n×n matrix product) and `ceiling_gbps` (bytes read plus bytes
    written by a copy); for a half-width `dtype` also `ceiling_float32_tflops`, as it may be computed in float32. What
    is in `known` is taken from there; a figure is left out where the device cannot do that in `dtype`, or has no room
    for it now. `synchronize` waits until the device has done what it was given."""
    kind = torch.device(device).type
    wanted: torch.dtype = getattr(torch, dtype)
    ways = {
        "ceiling_tflops": lambda: _product_flops(kind, device, wanted, synchronize) / 1e12,
        "ceiling_gbps": lambda: _copy_bytes_per_s(kind, device, synchronize) / 1e9,
    }
    if wanted.itemsize < torch.float32.itemsize:
        ways["ceiling_float32_tflops"] = lambda: _product_flops(kind, device, torch.float32, synchronize) / 1e12
    found = dict(known)
    with torch.inference_mode():
        for name in ways.keys() - known.keys():
            with suppress(RuntimeError):  # no such product for this dtype, or no room for it
                found[name] = ways[name]()
    return found


def _product_flops(kind: str, device: str, dtype: torch.dtype, synchronize: Wait) -> float:
    best = 0.0
    for n in SIZES.get(kind, SIZES[OTHERS]):
        try:
            seconds = _product_s(n, device, dtype, synchronize)
        except RuntimeError:
            if best:  # of the sizes that there is room for
                return best
            raise
        best = max(best, 2 * n**3 / seconds)
        if seconds >= LONG_ENOUGH_S.get(kind, LONG_ENOUGH_S[OTHERS]):
            break
    return best


def _product_s(n: int, device: str, dtype: torch.dtype, synchronize: Wait) -> float:
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    out = torch.empty(n, n, device=device, dtype=dtype)
    return _fastest(device, lambda: torch.mm(a, b, out=out), synchronize)


def _copy_bytes_per_s(kind: str, device: str, synchronize: Wait) -> float:
    size = max(COPY_BYTES.get(kind, COPY_BYTES[OTHERS]), 4 * last_level_cache_bytes() if kind == "cpu" else 0)
    source = torch.ones(size, device=device, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return 2 * source.numel() / _fastest(device, lambda: target.copy_(source), synchronize)


def _fastest(device: str, call: Callable[[], Any], synchronize: Wait) -> float:
    """Seconds of the fastest of REPEATS calls, each until the device is done, after one that is not counted."""
    call()
    synchronize()
    if torch.device(device).type == "cuda":
        return _fastest_cuda(device, call)
    best, threads = math.inf, torch.get_num_threads()
    for _ in range(REPEATS):
        start, start_cpu = perf_counter(), process_time()
        call()
        synchronize()
        seconds = perf_counter() - start
        if torch.device(device).type == "cpu":
            # On a busy machine a product longer than a time slice is interrupted every time; a method's call is not.
            seconds = min(seconds, max((process_time() - start_cpu) / threads, 1e-9))
        best = min(best, seconds)
    return best


def _fastest_cuda(device: str, call: Callable[[], Any]) -> float:
    with torch.cuda.device(device):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(REPEATS + 1)]
        events[0].record()
        for event in events[1:]:
            call()
            event.record()
        torch.cuda.synchronize()
        return float(min(a.elapsed_time(b) for a, b in pairwise(events))) * 1e-3
