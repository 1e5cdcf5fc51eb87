"""The explicit formula in the frequency domain.

Covers float32, float16 and bfloat16 with batch ≥ 1, every gradient and order.

With the small side spread out by the stride, the kernel by the dilation, and enough zeros that nothing wraps
round, to_small is a correlation, to_large a convolution and to_weight a correlation of the two sides. The
transforms are in float64 and the result is rounded once: errors of an FFT are relative to the largest
element, not to each (Schatzman, "Accuracy of the discrete Fourier transform and the fast Fourier transform",
1996), which at the sparse borders is too much for transforms in the dtype itself; so float64 is not
covered. Where no product reaches an element it is set to zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..facts.case import ConvCase
from ..measurement.convolution import last_axes
from ..measurement.problem import Problem
from . import Unsupported
from .formulas import Contraction, Contractions, crop
from .zero_insert import insert_zeros


def prepare(problem: Problem) -> Callable[[], Tensor]:
    """Raises Unsupported for float64 and an empty batch."""
    if problem.dtype == torch.float64 or problem.case.batch == 0:
        raise Unsupported(
            f"fft covers float32, float16 and bfloat16 with batch ≥ 1; not {problem.spec.dtype}, "
            f"batch={problem.case.batch}"
        )
    # Made here: copying to a device waits for the device, and a call that waits cannot be queued or captured.
    ones = {side: reached(problem.case, side, problem.input) for side in ("small", "large", "weight")}

    def masked(contraction: Contraction, side: str) -> Contraction:
        return lambda one, other, case: contraction(one, other, case) * ones[side]

    return Contractions(masked(to_small, "small"), masked(to_large, "large"), masked(to_weight, "weight")).wanted(
        problem
    )


def period(case: ConvCase) -> list[int]:
    """Transform length per axis: the padded large side, or all that the small side and the kernel reach."""
    rows = zip(case.small_size, case.large_size, case.kernel, case.stride, case.padding, case.dilation, strict=True)
    return [max(large + 2 * p, (small - 1) * s + d * (k - 1) + 1) for small, large, k, s, p, d in rows]


def transform(tensor: Tensor, case: ConvCase) -> Tensor:
    """[…, *size] → […, *spectrum] in complex128, zeros added up to `period`; the last axis has ⌊period/2⌋ + 1."""
    return torch.fft.rfftn(tensor.double(), s=period(case), dim=_space(case))


def invert(spectrum: Tensor, case: ConvCase) -> Tensor:
    """[…, *spectrum] → […, *period] in float64."""
    return torch.fft.irfftn(spectrum, s=period(case), dim=_space(case))


def _space(case: ConvCase) -> list[int]:
    """The spatial axes, counted from the last."""
    return list(range(-case.dims, 0))


def large_spectrum(large: Tensor, case: ConvCase) -> Tensor:
    """[N, g·b, *large size] → [N, g, b, *spectrum], the padding added first."""
    pads = [n for p in reversed(case.padding) for n in (p, p)]
    return transform(torch.nn.functional.pad(large, pads), case).unflatten(1, (case.groups, -1))


def small_spectrum(small: Tensor, case: ConvCase) -> Tensor:
    """[N, g·a, *small size] → [N, g, a, *spectrum], spread out by the stride first."""
    return transform(insert_zeros(small, case.stride), case).unflatten(1, (case.groups, -1))


def weight_spectrum(weight: Tensor, case: ConvCase) -> Tensor:
    """[g·a, b, *k] → [g, a, b, *spectrum], spread out by the dilation first."""
    return transform(insert_zeros(weight, case.dilation), case).unflatten(0, (case.groups, -1))


def to_small(large: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
    """[N, g·b, *large size] and [g·a, b, *k] → [N, g·a, *small size]: F⁻¹ Σ_b F(large)·F(weight)*, every s-th."""
    spectrum = torch.einsum("ngb...,gab...->nga...", large_spectrum(large, case), weight_spectrum(weight, case).conj())
    dense = invert(spectrum, case).flatten(1, 2)
    strided = dense[last_axes(slice(None, None, s) for s in case.stride)]
    return crop(strided, case.small_size).to(large.dtype)


def to_large(small: Tensor, weight: Tensor, case: ConvCase) -> Tensor:
    """[N, g·a, *small size] and [g·a, b, *k] → [N, g·b, *large size]: F⁻¹ Σ_a F(small)·F(weight), padding cut off."""
    spectrum = torch.einsum("nga...,gab...->ngb...", small_spectrum(small, case), weight_spectrum(weight, case))
    padded = invert(spectrum, case).flatten(1, 2)
    inner = padded[last_axes(slice(p, p + size) for p, size in zip(case.padding, case.large_size, strict=True))]
    return inner.to(small.dtype)


def to_weight(small: Tensor, large: Tensor, case: ConvCase) -> Tensor:
    """[N, g·a, *small size] and [N, g·b, *large size] → [g·a, b, *k]: F⁻¹ Σ_n F(small)*·F(large), every d-th."""
    spectrum = torch.einsum("nga...,ngb...->gab...", small_spectrum(small, case).conj(), large_spectrum(large, case))
    dense = invert(spectrum, case).flatten(0, 1)
    dilated = dense[last_axes(slice(None, None, d) for d in case.dilation)]
    return crop(dilated, case.kernel).to(small.dtype)


def reached(case: ConvCase, side: str, like: Tensor) -> Tensor:
    """Over the spatial axes of `side` (small, large or weight): 1 where any product reaches the element, else 0."""
    mask = like.new_ones(())
    rows = zip(case.small_size, case.large_size, case.kernel, case.stride, case.padding, case.dilation, strict=True)
    for small, large, k, s, p, d in rows:
        position = torch.arange(small).unsqueeze(1) * s + torch.arange(k) * d - p
        inside = (position >= 0) & (position < large)
        if side == "large":
            axis = torch.zeros(large, dtype=torch.bool)
            axis[position[inside]] = True
        else:
            axis = inside.any(1 if side == "small" else 0)
        mask = mask.unsqueeze(-1) * axis.to(like)
    return mask
