"""What this machine can do at most, measured: the rate of a large matrix product and of a large copy.

Both are taken under the switches that are in force (threads, TF32), which are therefore the caller's to set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress

import torch

from .device import Device

COPIED_CACHES = 4
"""A copy is of so many times the last cache at least; the largest of a GPU in use has 126 MiB, on a B200."""


def measure(device: Device, dtype: str, known: Mapping[str, float]) -> dict[str, float]:
    """`ceiling_tflops` (2·n³ operations of an n×n matrix product) and `ceiling_gbps` (bytes read plus bytes
    written by a copy); for a half-width `dtype` also `ceiling_float32_tflops`, as it may be computed in float32. What
    is in `known` is taken from there; a figure is left out where the device cannot do that in `dtype`, or has no room
    for it now."""
    wanted: torch.dtype = getattr(torch, dtype)
    ways = {
        "ceiling_tflops": lambda: _product_flops(device, wanted) / 1e12,
        "ceiling_gbps": lambda: _copy_bytes_per_s(device) / 1e9,
    }
    if wanted.itemsize < torch.float32.itemsize:
        ways["ceiling_float32_tflops"] = lambda: _product_flops(device, torch.float32) / 1e12
    found = dict(known)
    with torch.inference_mode():
        for name in ways.keys() - known.keys():
            with suppress(RuntimeError):  # no such product for this dtype, or no room for it
                found[name] = ways[name]()
    return found


def _product_flops(device: Device, dtype: torch.dtype) -> float:
    best = 0.0
    for n in device.work.products:
        try:
            seconds = _product_s(n, device, dtype)
        except RuntimeError:
            if best:  # of the sizes that there is room for
                return best
            raise
        best = max(best, 2 * n**3 / seconds)
        if seconds >= device.work.long_enough_s:
            break
    return best


def _product_s(n: int, device: Device, dtype: torch.dtype) -> float:
    a, b = (torch.randn(n, n, device=device.placed).to(dtype) for _ in range(2))
    out = torch.empty(n, n, device=device.placed, dtype=dtype)
    return device.fastest(lambda: torch.mm(a, b, out=out))


def _copy_bytes_per_s(device: Device) -> float:
    """Of a copy that is larger than what is in front of the memory by far."""
    cache = device.cache_bytes()
    size = max(device.work.copy_bytes, int(COPIED_CACHES * cache) if math.isfinite(cache) else 0)
    source = torch.ones(size, device=device.placed, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return 2 * source.numel() / device.fastest(lambda: target.copy_(source))
