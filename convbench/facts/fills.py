"""The kinds of data that a configuration can be judged on, by name, without torch."""

from __future__ import annotations

from .dtypes import DTYPES
from .values import InvalidValue

FILLS = {
    "normal": "standard normal",
    "integer": "whole numbers without zero, so small that every sum is exact in float32",
    "notebook": "the notebook's own stream and loss",
    "positive": "uniform in 0 … 1: sums of one sign, as of activations",
    "abs_normal": "absolute values of normal numbers",
    "relu": "input and grad_output normal with zeros for what is negative, weight normal",
    "ones": "every element 1: a result is the number of products it sums",
    "sparse": "normal, nine of ten elements zero",
    "scaled": "normal, the channels of input and grad_output scaled by powers of ten over six decades",
}
"""Name → what every operand holds. A path to a .pt or .npz file is a fill, too."""
WHOLE_NUMBERS = ("integer", "ones")
"""Of these every partial sum is exact in float32 (below 2²⁴ products), so that a result may be `exact`."""
FILES = (".pt", ".npz")


def fills_of(fill: str) -> tuple[str, ...]:
    """The kinds of data that `fill` names: one, or several joined by `+`, the first of which is also timed."""
    return (fill,) if is_file(fill) else tuple(fill.split("+"))


def is_file(fill: str) -> bool:
    return fill.endswith(FILES)


def check_fill(fill: object) -> None:
    """Raises InvalidValue for what is no fill."""
    names = fills_of(fill) if isinstance(fill, str) else ()
    unknown = [n for n in names if n not in FILLS and not is_file(n)]
    if unknown or not names:
        raise InvalidValue(
            "fill",
            f"fill={fill!r} is not known; allowed: {', '.join(FILLS)}, several joined by + (normal+positive), "
            "or a file with input, weight and grad_output (FILE.pt, FILE.npz)",
        )
    if len(set(names)) != len(names):
        raise InvalidValue("fill", f"fill={fill!r} names a kind of data twice")
    if "notebook" in names and len(names) > 1:
        raise InvalidValue("fill", f"fill={fill!r}: notebook has a loss of its own and stands alone")


def largest_integer(reduction_length: int, dtype: str) -> int:
    """A of fill=integer, whose values are ±1 … ±A without zero: the largest of 1…3 with A²K ≤ 2²⁴.

    Then every partial sum is exact in float32.
    In float16 A²K also stays at or below 65504, its largest number, where A ≥ 1 allows it.
    """
    limit = min(2**24, DTYPES[dtype].largest)
    return max([a for a in (1, 2, 3) if a * a * reduction_length <= limit], default=1)


def in_range(reduction_length: int, dtype: str) -> float:
    """A power of two that keeps a float16 sum of K products of one sign within the dtype's numbers; else 1."""
    scale = 1.0
    while dtype == "float16" and scale * scale * reduction_length > DTYPES["float16"].largest:
        scale /= 2
    return scale
