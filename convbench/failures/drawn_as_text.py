"""How a script draws what a configuration's operands hold, to the last bit: measurement/fills.py as lines of Python."""

from __future__ import annotations

from typing import NamedTuple

from ..facts.fills import FILLS, in_range, largest_integer

DRAWN_BY = frozenset(FILLS) - {"notebook"}
"""The kinds of data that a generator alone decides."""


class Drawing(NamedTuple):
    """`lines` set `values` from `generator` and `shape`; `sided`: and from `side`, whether it is an operand with a
    batch axis."""

    said: str
    lines: list[str]
    sided: bool


def drawing(fill: str, dtype: str, reduction_length: int) -> Drawing:
    """The drawing of one kind of data. Raises KeyError for one that a generator does not decide."""
    how = f"generator=generator, dtype=torch.{'float64' if dtype == 'float64' else 'float32'}"
    normal = [f"values = torch.randn(shape, {how})"]
    most = largest_integer(reduction_length, dtype)
    scale = in_range(reduction_length, dtype)
    scaled = "" if scale == 1 else f" * {scale!r}"
    lines = {
        "normal": normal,
        "integer": [f"values = torch.randint({-most}, {most}, shape, {how})", "values = values + (values >= 0)"],
        "positive": [f"values = torch.rand(shape, {how}){scaled}"],
        "abs_normal": [f"values = torch.randn(shape, {how}).abs(){scaled}"],
        "relu": [*normal, "values = values.clamp(min=0) if side else values"],
        "ones": [f"values = torch.ones(shape, {how.partition(', ')[2]})"],
        "sparse": [*normal, "values = values * (torch.rand(shape, generator=generator) < 0.1)"],
        "scaled": [
            *normal,
            "if side:",
            f"    exponents = -6 * torch.rand(shape[1], {how})",
            "    values = values * (10**exponents).view(1, -1, *[1] * (len(shape) - 2))",
        ],
    }[fill]
    return Drawing(FILLS[fill][0].upper() + FILLS[fill][1:], lines, fill in ("relu", "scaled"))
