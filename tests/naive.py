"""Convolutions and their gradients by loops over every element: the judge of everything else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from convbench.facts.case import ConvCase

Array = npt.NDArray[np.float64]
Position = tuple[int, ...]


def products(case: ConvCase) -> Iterator[tuple[Position, Position, Position]]:
    """Index triples (of input, weight, output) whose product is one term of the output: the definition, spelled out.

    conv: y[n, co, o] += x[n, ci, o·s + t·d − p] · w[co, ci', t]
    conv_transpose: y[n, co, i·s + t·d − p] += x[n, ci, i] · w[ci, co', t]
    """
    per_in, per_out = case.in_channels // case.groups, case.out_channels // case.groups
    strided = case.size if case.transposed else case.output_size
    reached = case.output_size if case.transposed else case.size
    for n, g, i, o in itertools.product(range(case.batch), range(case.groups), range(per_in), range(per_out)):
        ci, co = g * per_in + i, g * per_out + o
        for start in itertools.product(*map(range, strided)):
            for tap in itertools.product(*map(range, case.kernel)):
                rows = zip(start, tap, case.stride, case.dilation, case.padding, strict=True)
                at = tuple(a * s + t * d - p for a, t, s, d, p in rows)
                if any(not 0 <= a < size for a, size in zip(at, reached, strict=True)):
                    continue
                if case.transposed:
                    yield (n, ci, *start), (ci, o, *tap), (n, co, *at)
                else:
                    yield (n, ci, *at), (co, i, *tap), (n, co, *start)


def forward(x: Array, w: Array, b: Array | None, case: ConvCase) -> Array:
    y = np.zeros(case.output_shape)
    for xi, wi, yi in products(case):
        y[yi] += x[xi] * w[wi]
    if b is not None:
        y += b.reshape(-1, *[1] * case.dims)
    return y


def grad_input(w: Array, gy: Array, case: ConvCase) -> Array:
    gx = np.zeros(case.input_shape)
    for xi, wi, yi in products(case):
        gx[xi] += gy[yi] * w[wi]
    return gx


def grad_weight(x: Array, gy: Array, case: ConvCase) -> Array:
    gw = np.zeros(case.weight_shape)
    for xi, wi, yi in products(case):
        gw[wi] += gy[yi] * x[xi]
    return gw


def grad_bias(gy: Array) -> Array:
    gb = np.zeros(gy.shape[1])
    for index in np.ndindex(gy.shape):
        gb[index[1]] += gy[index]
    return gb
