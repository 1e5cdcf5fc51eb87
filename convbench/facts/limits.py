"""The least time that any algorithm needs on a machine: below it a measurement is impossible, not fast."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .case import ConvCase
from .dtypes import DTYPES

SLACK = 2.0
"""A ceiling is what one large product or copy reached; others may reach somewhat more, and a core's clock varies."""

CACHE_RATE = 32.0
"""Bytes that fit into the last-level cache may come this many times as fast as a large copy moves them: a core reads
its first-level cache at up to 128 bytes a cycle, some 400 GB/s, where a large copy reaches 10 to 20."""


def least_time(
    case: ConvCase, wrt: str, dtype: str, ceilings: Mapping[str, float], cache_bytes: float, exact: bool = True
) -> float | None:
    """Seconds that no call can do without: the larger of its arithmetic and its memory traffic. None without ceilings.

    Arithmetic: the fewest multiply-adds at SLACK times the fastest product that was measured. Without `exact` it does
    not count: what is allowed to compute in a narrower type has other ceilings. Memory: each operand once and the
    result once, at SLACK times the rate of a large copy, what fits into `cache_bytes` at CACHE_RATE times that rate.
    """
    tflops, gbps = _fastest(ceilings), ceilings.get("ceiling_gbps")
    if not tflops or not gbps:
        return None
    used = min(used_shares(case))
    # Of several gradients each by itself as well: that of the bias reads all of grad_output.
    shares = {name: 1.0 if name == "bias" else used for name in (wrt, *wrt.split("+"))}
    moved = max(case.elements_moved(name) * share for name, share in shares.items()) * DTYPES[dtype].bytes
    cached = min(moved, cache_bytes)
    memory_s = ((moved - cached) / SLACK + cached / CACHE_RATE) / (gbps * 1e9)
    arithmetic_s = 2 * fewest_products(case, wrt) / (SLACK * tflops * 1e12) if exact else 0.0
    return max(memory_s, arithmetic_s)


def _fastest(ceilings: Mapping[str, float]) -> float:
    return max((value for name, value in ceilings.items() if name.endswith("_tflops")), default=0.0)


def fewest_products(case: ConvCase, wrt: str) -> int:
    """Multiplications that every bilinear algorithm needs, channel by channel.

    For a pair of channels and one image, as many as the larger side has positions that meet the kernel: an algorithm
    with fewer could not tell two inputs apart that give different results. For stride 1 that is Winograd's
    ∏ (m + r − 1) for m outputs and r taps (Arithmetic Complexity of Computations, 1980), which a transform of infinite
    size reaches; the direct algorithm has ∏ m·r. 0 for the bias gradient, which only adds. As many for several
    gradients at once as for one: whether their products could be shared, nobody has ruled out.
    """
    if wrt == "bias":
        return 0
    small, taps, large = zip(*_used(case), strict=True)
    positions: int = max(math.prod(small), math.prod(taps), math.prod(large))
    return case.batch * case.in_channels * case.out_channels // case.groups * positions


def used_shares(case: ConvCase) -> tuple[float, float]:
    """Shares of the small and of the large side that meet the kernel anywhere: with padding wider than the kernel or a
    stride longer than it, the rest is never read."""
    small, _, large = zip(*_used(case), strict=True)
    return _share(small, case.small_size), _share(large, case.large_size)


def _share(used: tuple[int, ...], size: tuple[int, ...]) -> float:
    return math.prod(used) / max(1, math.prod(size))


def _used(case: ConvCase) -> list[tuple[int, int, int]]:
    """Per axis the positions of the small side, the taps and the positions of the large side that meet each other."""
    rows = zip(case.small_size, case.kernel, case.large_size, case.stride, case.padding, case.dilation, strict=True)
    return [_used_on_axis(*row) for row in rows]


def _used_on_axis(small: int, taps: int, large: int, stride: int, padding: int, dilation: int) -> tuple[int, int, int]:
    outputs, met, inputs = set[int](), 0, set[int]()
    for tap in range(taps):
        start = tap * dilation - padding
        # o·s + start in [0, large)
        first, last = max(0, -(start // stride)), min(small - 1, (large - 1 - start) // stride)
        if first <= last:
            met += 1
            outputs.update(range(first, last + 1))
            inputs.update(range(first * stride + start, last * stride + start + 1, stride))
    return len(outputs), met, len(inputs)
