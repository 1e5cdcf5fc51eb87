"""What a configuration asks for: a gradient, several that a layer's backward pass computes together, or the output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .values import IllegalCase, InvalidValue

GRADIENTS = ("input", "weight", "bias", "grad_output")
"""What a gradient may be with respect to."""
OUTPUT = "output"
"""The forward pass: what conv computes is the input's gradient of conv_transpose, and the other way round."""
WRT = (*GRADIENTS, OUTPUT)
"""What may be asked for."""
TOGETHER = ("input", "weight", "bias")
"""Those that a layer's backward pass may compute together, in the order in which they are named and returned."""
ALL = "all"
"""Every gradient of the layer: input, weight, and bias where it has one."""
SEPARATOR = "+"


def kind_of(wrt: object) -> str:
    """What it is called: gradient or output."""
    return OUTPUT if wrt == OUTPUT else "gradient"


def parts_of(wrt: str) -> tuple[str, ...]:
    """`input+weight` → ("input", "weight"); a single one by itself."""
    return tuple(wrt.split(SEPARATOR))


def joined(wrts: Sequence[str]) -> str:
    """One name for several gradients, the same in whatever order they are given."""
    return SEPARATOR.join(wrt for wrt in WRT if wrt in wrts)


def all_of(bias: bool) -> str:
    """What `all` stands for."""
    return joined(TOGETHER if bias else TOGETHER[:2])


def wrt_of(value: Any, bias: bool) -> str:
    """A setting as a person writes it (`weight`, `all`, `input+weight`, a list of several) as its one name.

    `bias`: whether the layer has one. Raises InvalidValue, or IllegalCase for gradients that are not computed together.
    """
    given = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else [value]
    names = [name for one in given for name in (parts_of(one) if isinstance(one, str) else [one])]
    if ALL in names and len(names) > 1:
        raise InvalidValue("wrt", f"wrt={_written(value)} names all beside others; write wrt=all, or those alone")
    for name in names or [value]:
        if name not in (*WRT, ALL):
            allowed = f"{', '.join(WRT)}, all, and several at once as [input,weight]"
            raise InvalidValue("wrt", f"wrt={_written(value)} is not known; allowed: {allowed}")
    if len(set(names)) < len(names):
        raise InvalidValue("wrt", f"wrt={_written(value)} names a gradient twice")
    if len(names) > 1 and not set(names) <= set(TOGETHER):
        raise IllegalCase("wrt", f"wrt={_written(value)}: only {', '.join(TOGETHER)} are computed together")
    return all_of(bias) if names == [ALL] else joined(names)


def check_wrt(wrt: str, order: int, bias: bool) -> None:
    """Raises InvalidValue for a name that wrt_of does not give, IllegalCase for what has no gradient of this order."""
    name = wrt_of(wrt, bias)
    if name != wrt:
        raise InvalidValue("wrt", f"wrt={wrt!r} is called {name!r}")
    parts = parts_of(wrt)
    if order == 2 and len(parts) > 1:
        raise IllegalCase("wrt", f"wrt={wrt}: several gradients at once exist for order=1 only; name one")
    if order == 1 and wrt == "grad_output":
        raise IllegalCase(
            "wrt", "wrt=grad_output exists for order=2 only; allowed for order=1: input, weight, bias, output"
        )
    if order == 2 and wrt == OUTPUT:
        raise IllegalCase("wrt", "wrt=output exists for order=1 only; allowed for order=2: input, weight, grad_output")
    if order == 2 and wrt == "bias":
        raise IllegalCase(
            "wrt", "wrt=bias has no second-order gradient (it is zero); allowed for order=2: input, weight, grad_output"
        )
    if order == 1 and "bias" in parts and not bias:
        raise IllegalCase("wrt", f"wrt={wrt} needs bias=true: without a bias there is no gradient with respect to it")


def _written(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, (list, tuple)) else repr(value)
