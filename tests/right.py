"""Right ways to compute a gradient that this machine's libraries do not take, written out: for the bounds to hold for.

They yield grad_input of a 3×3, stride-1 case (`correlation`), or the weight's gradient of a 1-D convolution with one
channel, whose K is as long as one likes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, pad

from convbench.measurement.problem import Problem

POINTS = [Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(-2), Fraction(1, 2), Fraction(-1, 2)]
Rows = list[list[Fraction]]


def _inverse(matrix: Rows) -> Rows:
    """By Gauss and Jordan, exactly."""
    n = len(matrix)
    wide = [[*row, *(Fraction(int(i == j)) for j in range(n))] for i, row in enumerate(matrix)]
    for i in range(n):
        pivot = next(k for k in range(i, n) if wide[k][i])
        wide[i], wide[pivot] = wide[pivot], wide[i]
        wide[i] = [x / wide[i][i] for x in wide[i]]
        for k in range(n):
            if k != i:
                wide[k] = [a - wide[k][i] * b for a, b in zip(wide[k], wide[i], strict=True)]
    return [row[n:] for row in wide]


def toom_cook(m: int, r: int) -> tuple[Rows, Rows, Rows]:
    """(A, G, Bᵀ) of F(m, r): m results of a correlation with r taps from m + r − 1 products, y = Aᵀ[(G g) ⊙ (Bᵀ d)].

    The product of two polynomials through its values at points and at infinity, transposed (Winograd, "Arithmetic
    complexity of computations", 1980); the points' factors go to G, as is usual.
    """
    points = POINTS[: m + r - 2]

    def values(degree: int) -> Rows:
        return [[p**j for j in range(degree)] for p in points] + [[*[Fraction(0)] * (degree - 1), Fraction(1)]]

    factors = [math.prod((p - q for q in points if q != p), start=Fraction(1)) for p in points] + [Fraction(1)]
    inverse = _inverse(values(m + r - 1))
    data = [[row[i] * factor for row in inverse] for i, factor in enumerate(factors)]
    return values(m), [[x / f for x in row] for row, f in zip(values(r), factors, strict=True)], data


def winograd(image: Tensor, kernel: Tensor, m: int) -> Tensor:
    """correlation(image [N, C, H, W], kernel [O, C, 3, 3]) by F(m×m, 3×3), in their dtype throughout."""
    a, g, b = (torch.tensor([[float(x) for x in row] for row in t], dtype=image.dtype) for t in toom_cook(m, 3))
    height, width = image.shape[2] - 2, image.shape[3] - 2
    padded = pad(image, [0, -width % m, 0, -height % m])
    tiles = padded.unfold(2, m + 2, m).unfold(3, m + 2, m)
    transformed = torch.einsum("ij,ncxyjk,lk->ncxyil", b, tiles, b)
    weights = torch.einsum("ij,ocjk,lk->ocil", g, kernel, g)
    product = torch.einsum("ncxyil,ocil->noxyil", transformed, weights)
    out = torch.einsum("ji,noxyjk,kl->noxyil", a, product, a)
    n, o, x, y = out.shape[:4]
    return out.permute(0, 1, 2, 4, 3, 5).reshape(n, o, m * x, m * y)[:, :, :height, :width]


def fourier(image: Tensor, kernel: Tensor) -> Tensor:
    """The same in the frequency domain, in float32."""
    size = image.shape[2:]
    spectrum = torch.einsum("ncij,ocij->noij", torch.fft.rfftn(image, size), torch.fft.rfftn(kernel, size).conj())
    out: Tensor = torch.fft.irfftn(spectrum, size)
    return out[:, :, : size[0] - kernel.shape[2] + 1, : size[1] - kernel.shape[3] + 1]


def rounded_bits(tensor: Tensor, bits: int) -> Tensor:
    """float32 with its significand rounded to `bits`, half away from zero."""
    drop = 24 - bits
    whole = tensor.contiguous().view(torch.int32)
    return ((whole + (1 << (drop - 1))) & -(1 << drop)).view(torch.float32)


def cut_bits(tensor: Tensor, bits: int) -> Tensor:
    """float32 with its significand cut to `bits`, toward zero."""
    return (tensor.contiguous().view(torch.int32) & -(1 << (24 - bits))).view(torch.float32)


def split(tensor: Tensor, parts: int) -> list[Tensor]:
    """float32 as a sum of bfloat16 numbers, the largest first."""
    out = []
    for _ in range(parts):
        out.append(tensor.bfloat16().float())
        tensor = tensor - out[-1]
    return out


def bf16_products(image: Tensor, kernel: Tensor, products: int) -> Tensor:
    """float32 by 3, 6 or 9 products of bfloat16, the smallest first, summed in float32."""
    parts = {3: 2, 6: 3, 9: 3}[products]
    pairs = sorted(((i, j) for i in range(parts) for j in range(parts)), key=lambda ij: -sum(ij))[-products:]
    left, right = split(image, parts), split(kernel, parts)
    out = torch.zeros(())
    for i, j in pairs:
        out = out + conv2d(left[i], right[j])
    return out


def split_k(image: Tensor, kernel: Tensor) -> Tensor:
    """The channels in four parts, their sums added in float32."""
    parts = zip(image.chunk(4, 1), kernel.chunk(4, 1), strict=True)
    return torch.stack([conv2d(i, k) for i, k in parts]).sum(0)


CORRELATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Winograd F2": lambda i, k: winograd(i, k, 2),
    "Winograd F4": lambda i, k: winograd(i, k, 4),
    "Winograd F6": lambda i, k: winograd(i, k, 6),
    "FFT in float32": fourier,
    "TF32, rounded": lambda i, k: conv2d(rounded_bits(i, 11), rounded_bits(k, 11)),
    "TF32, truncated": lambda i, k: conv2d(cut_bits(i, 11), cut_bits(k, 11)),
    "bf16x3": lambda i, k: bf16_products(i, k, 3),
    "bf16x6": lambda i, k: bf16_products(i, k, 6),
    "bf16x9": lambda i, k: bf16_products(i, k, 9),
    "split-K": split_k,
}
"""Of an image [N, C, H, W] and a kernel [O, C, 3, 3], both float32."""
TRANSFORMED = ("Winograd F2", "Winograd F4", "Winograd F6", "FFT in float32")


def correlation(made: Problem, how: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """grad_input of a 3×3, stride-1 case with one group: a correlation of the padded grad_output."""
    case = made.case
    assert (case.kernel, case.stride, case.dilation, case.groups) == ((3, 3), (1, 1), (1, 1), 1)
    if case.transposed:
        kernel, margin = made.weight, case.padding
    else:
        kernel, margin = made.weight.flip([2, 3]).transpose(0, 1).contiguous(), tuple(2 - p for p in case.padding)
    image = pad(made.grad_output, [margin[1], margin[1], margin[0], margin[0]])
    return how(image, kernel)


def _weight_products(made: Problem) -> NDArray[np.float64]:
    """[kernel, K], float64: the products of each element of the weight's gradient of a 1-D convolution, one channel."""
    x, gy = made.input.double().numpy().ravel(), made.grad_output.double().numpy().ravel()
    return np.stack([x[t : t + gy.size] * gy for t in range(made.case.taps)])


def _toward_zero(values: NDArray[np.float64]) -> NDArray[np.float64]:
    near = values.astype(np.float32)
    over = np.abs(near.astype(np.float64)) > np.abs(values)
    return np.where(over, np.nextafter(near, np.float32(0)), near).astype(np.float64)


def truncated_sums(made: Problem) -> Tensor:
    """Every 16 products added exactly, the sum then cut to float32 toward zero: as matrix units do."""
    products = _weight_products(made)
    k = products.shape[1] // 16 * 16
    total = np.zeros(products.shape[0])
    for block in products[:, :k].reshape(products.shape[0], -1, 16).sum(2).T:
        total = _toward_zero(total + block)
    total = _toward_zero(total + products[:, k:].sum(1))
    return torch.from_numpy(total).to(made.dtype).view(made.shape)


def sequential_sums(made: Problem) -> Tensor:
    """One product after the other, rounded to float32 each time."""
    total = np.cumsum(_weight_products(made).astype(np.float32), axis=1, dtype=np.float32)[:, -1]
    return torch.from_numpy(total).to(made.dtype).view(made.shape)
