"""The element types: all that has to be known of them, without torch. Torch's own is `getattr(torch, name)`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DType:
    """A binary floating-point format: `bytes` of an element, `precision` in bits of the significand, the hidden one
    included, and `least_exponent`, that of the smallest normal number."""

    bytes: int
    precision: int
    least_exponent: int

    @property
    def largest(self) -> float:
        """The largest finite number, (2 − 2¹⁻ᵖ)·2^emax with emax = 1 − emin (IEEE 754-2019, 3.3)."""
        return (2 - 2.0 ** (1 - self.precision)) * 2.0 ** (1 - self.least_exponent)

    @property
    def half_smallest(self) -> float:
        """2^(emin − p): half the smallest subnormal number, the largest error of rounding to nearest below 2^emin.

        In float64 the smallest subnormal itself, since its half is no number there.
        """
        return max(2.0 ** (self.least_exponent - self.precision), 5e-324)

    @property
    def u_out(self) -> float:
        """Unit roundoff 2⁻ᵖ: the largest relative error of rounding to nearest."""
        return 2.0**-self.precision

    @property
    def u_acc(self) -> float:
        """Unit roundoff of the accumulator, which is float32 at least."""
        return min(self.u_out, 2.0**-24)


DTYPES = {
    "float64": DType(8, 53, -1022),
    "float32": DType(4, 24, -126),
    "bfloat16": DType(2, 8, -126),
    "float16": DType(2, 11, -14),
}
"""By torch's names. IEEE 754-2019, table 3.5; bfloat16 is float32 with its significand cut to 8 bits."""

AUTOCAST = (
    "autocast computes the gradients of dtype=bfloat16 (of float16 on CUDA) and casts that of the weight to float32; "
    'ask for that dtype, or mark a method of your own that casts float32 operands with @convbench.accuracy("bfloat16")'
)
FLOAT8 = "torch convolves float8 on no device; ask for bfloat16, or let a method of your own convert its operands"
MODES = {
    "autocast": AUTOCAST,
    "amp": AUTOCAST,
    "tf32": "TF32 is a way to compute float32: dtype=float32 tf32=true allows it",
    "bf16x": "bfloat16 products are a way to compute float32; a method of your own says so with @convbench.accuracy",
    "fp8": FLOAT8,
    "float8": FLOAT8,
}
"""What is no element type, or none that torch convolves, and what to do instead."""


def mode(word: str) -> str | None:
    """What to do instead of dtype=`word`; None where nothing is known of it."""
    return next((said for name, said in MODES.items() if word.lower().startswith(name)), None)
