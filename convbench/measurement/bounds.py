"""What a right result may be off by, for each way in which right results are computed.

With e = result − reference, B = the gradient of the absolute values, K = products summed for one element, T =
roundings between partial sums, u and a the unit roundoffs of the dtype and of its accumulator, η half the smallest
subnormal number of the dtype, and ‖S‖² = ‖ref‖₂² + ‖B‖₂²/K over the n elements compared, a class allows

    |e| ≤ of_ref·|ref| + of_sums·B + of_largest·max B + tiny (where B > 0)   and   ‖e‖₂ ≤ l2·‖S‖ + tiny·√n

with max B that of the same image and channel, or of the same two channels (reference.largest_of).

    class          of_ref  of_sums                    l2                       tiny
    ok             u       4a√K                       u + 2a√K                 η + Kη_acc
    transformed    u       u + 4a√K; of_largest 64a√K 2u + 16a√K               the same
    rounded sums   0       u(1 + 2√T) + 4a√K          u·max(4, 1 + √T) + 2a√K  (1 + 2√T)η + flush
    bf16x3         u       3·2⁻¹⁶ + 4a√K              u + 3·2⁻¹⁶ + 2a√K        as ok
    truncated      2u      4a√K + 2aK/16              2u + 2a√K + 1.5aK/16     as ok
    tf32           u       2·2⁻¹⁰ + truncated's       2·2⁻¹⁰ + truncated's     as ok
    bfloat16       2⁻⁸     2·2⁻⁸ + 4a√K               3·2⁻⁸ + 2a√K             2·as ok

ok: one rounding is off by u|ref|, or by η where the result is subnormal. A sum's roundings are independent and grow
with √K (Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019); the factors leave three
times the largest error that right methods showed. A product that underflows loses η of the accumulator.

‖S‖: partial sums of K products in random order are as large as √K times a product even where the whole cancels: a
result of one to three elements may cancel to nothing while its errors do not. B/√K is that size (for normal data
times 0.8).

rounded sums: e = Σ_t δ_t·S_t over T partial sums with |δ_t| ≤ u, 0.43u in the mean. Partial sums of either sign
grow like a random walk, Σ S_t² ≈ T/2·S², so that ‖e‖ ≈ 0.3·u·√T·‖ref‖ (at T = 512: 6.8u); of one sign Σ S_t² ≈
T/3·S². Three times that, and not less than the 4u that a few roundings may cost; each element by the same growth,
on B. Sums rounded so often that the increments are below half a unit (same signs, T near 1/u) are outside: they are
wrong. Devices that flush subnormal numbers lose 2^emin each time; float16 is not flushed by any hardware known to
us, and flush is 0 there.

truncated: matrix units cut the sum after every 16 products toward zero, which is off by −2a·|S_t|·[0, 1), always
toward zero: the errors add up, 2a·K/16·B at most, in the mean 0.72a·Σ|S_t|/‖S‖ ≤ 0.42a·K/16; L2 leaves three times
that.

tf32: operands cut to 11 bits, rounded (2⁻¹¹ each) or truncated (2⁻¹⁰ each, as wgmma does), so that a product is off
by 2·2⁻¹⁰ at most, with a bias; and the sums may be truncated as well. bf16x3: an operand as two bfloat16 leaves
2⁻¹⁶ of it, and the product of the two small parts, 2⁻¹⁶, is left out.

transformed: Winograd's and Fourier's sums carry errors of their largest element to every other of the same image and
channel, whose positions they mix, also to one that sums less and to one that no product reaches. F(6×6, 3×3) with the
points 0, ±1, ±2, ±½ showed 24a√K·max B and 5.4a√K·‖S‖, F(4×4, 3×3) half of it, F(2×2, 3×3) and FFT a tenth; the bounds
are nearly three times the largest. One rounding more, where two transforms are added (gradients of gradients).

bfloat16: float32 operands rounded to it, 2⁻⁸ each, and the result once more, as autocast does. Only for what declares
it: errors of 1% explain too much."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..facts.dtypes import DTYPES

TF32 = 2 * 2.0**-10
BF16X3 = 3 * 2.0**-16
TRUNCATED_AFTER = 16
DECLARED_ONLY = "bfloat16"
DECLARABLE = ("transformed", "bf16x3", "truncated", "tf32", DECLARED_ONLY)
"""What a method may say of itself: its results are `ok` within that class's bounds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one class allows, by the formula above. `rounded` is the part of of_sums that counts only where
    B > exact_below: a whole number of so few bits needs no rounding, however it is formed."""

    of_ref: float
    sums: float
    l2: float
    tiny: float
    rounded: float = 0.0
    exact_below: float = 0.0
    of_largest: float = 0.0


def declared_only(declared: str | None, dtype: str, reduction_length: int, integers: bool) -> dict[str, Bounds]:
    """The class that only those have that declare it: float32 through bfloat16 operands."""
    if declared != DECLARED_ONLY or dtype != "float32":
        return {}
    u, ok = DTYPES[declared].u_out, bounds(dtype, reduction_length, 1)["ok"]
    return {declared: Bounds(u, ok.sums, 3 * u + ok.l2, 2 * ok.tiny, 2 * u, 1 / u if integers else 0.0)}


def bounds(
    dtype: str, reduction_length: int, terms: int, integers: bool = False, products: bool = True
) -> dict[str, Bounds]:
    """The classes by name, `ok` first, then the alternatives of `reduced`; those that do not apply are absent.

    `integers` tells the kind of data, `products` that the sums are of products and not of grad_output alone.
    """
    kind = DTYPES[dtype]
    u, a = kind.u_out, kind.u_acc
    accumulator = DTYPES["float64" if dtype == "float64" else "float32"]
    root, k = math.sqrt(reduction_length), reduction_length
    sums, sums_l2 = 4 * a * root, 2 * a * root
    tiny = kind.half_smallest + k * accumulator.half_smallest
    roundings = 1 + 2 * math.sqrt(terms)
    flush = 0.0 if dtype == "float16" else 2.0**kind.least_exponent
    exact = 1 / u if integers else 0.0
    transformed = {"transformed": Bounds(u, sums, 2 * u + 8 * sums_l2, tiny, u, exact, of_largest=16 * sums)}
    rounded = {
        "rounded sums": Bounds(
            0.0,
            sums,
            u * max(4, 1 + math.sqrt(terms)) + sums_l2,
            roundings * (kind.half_smallest + flush) + k * accumulator.half_smallest,
            u * roundings,
            exact,
        )
    }
    found = {"ok": Bounds(u, sums, u + sums_l2, tiny)}
    if products:
        # In 16 bits what was rounded on the way is far more common, and within either.
        found |= rounded | transformed if u > a else transformed | rounded
    else:
        found |= rounded
    if dtype == "float64":
        return found
    cuts = a * k / TRUNCATED_AFTER
    multiplied = products and dtype == "float32"
    if multiplied:
        # Two bfloat16 hold an integer of 16 bits, TF32's significand one of 11.
        found["bf16x3"] = Bounds(u, sums, u + BF16X3 + sums_l2, tiny, BF16X3, 2.0**16 if integers else 0.0)
    found["truncated"] = Bounds(2 * u, sums + 2 * cuts, 2 * u + sums_l2 + 1.5 * cuts, tiny)
    if multiplied:
        l2 = TF32 + sums_l2 + 1.5 * cuts
        found["tf32"] = Bounds(u, sums + 2 * cuts, l2, tiny, TF32, 2.0**11 if integers else 0.0)
    return found
