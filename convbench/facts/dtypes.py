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
