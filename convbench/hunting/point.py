"""One place of the space that is searched: settings, and variables of the environment that a process starts with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..facts.case import OPS, PER_AXIS
from ..facts.dtypes import DTYPES
from ..facts.spec import MEMORY_FORMATS, Spec
from ..facts.values import IllegalCase, InvalidValue
from ..facts.wrt import OUTPUT, TOGETHER
from ..sweep.config import spec_of

VARIABLE = "env."
"""What the key of an environment variable begins with."""

CHANNELS = ("in_channels", "out_channels")
NUMBERS = ("batch", *CHANNELS, "groups", *PER_AXIS, "threads")
"""Axes whose values are whole numbers, or one for each axis of space; the least that is allowed is the simplest."""
LEAST = {key: 0 if key in ("padding", "output_padding") else 1 for key in NUMBERS}
WORDS: dict[str, Sequence[Any]] = {
    "op": tuple(OPS),
    "dtype": ("float32", "float64", "bfloat16", "float16"),
    "memory_format": MEMORY_FORMATS,
    "wrt": (*TOGETHER, OUTPUT),
    "bias": (False, True),
    "fill": ("normal", "positive", "integer", "ones"),
    "order": (1, 2),
    "onednn": (True, False),
}
"""Axes whose values are words, the simplest first."""
assert set(WORDS["dtype"]) == set(DTYPES)

Point = Mapping[str, Any]
"""Setting, or VARIABLE and a name, → value; an environment variable that is not set has None."""


def axes(point: Point) -> int:
    """Of space."""
    return OPS[point["op"]][0]


def per_axis(point: Point, key: str) -> tuple[int, ...]:
    """The value of a setting for each axis."""
    value = point[key]
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * axes(point)


def with_value(point: Point, **values: Any) -> dict[str, Any]:
    """The point with other values; a tuple that says one number for every axis becomes that number."""
    found = {**point, **values}
    for key in PER_AXIS:
        if isinstance(found[key], (list, tuple)):
            every = set(found[key])
            found[key] = every.pop() if len(every) == 1 else tuple(found[key])
    return found


def key_of(point: Point) -> tuple[tuple[str, Any], ...]:
    """Equal for points that are the same."""
    return tuple(sorted((key, str(value)) for key, value in with_value(point).items()))


def environment_of(point: Point) -> dict[str, str | None]:
    """The variables, each with its value or None where it is not set."""
    return {key.removeprefix(VARIABLE): value for key, value in point.items() if key.startswith(VARIABLE)}


@dataclass(frozen=True)
class Asked:
    """What a configuration has beside its point: every other setting, and the methods."""

    base: Mapping[str, Any]
    methods: tuple[str, ...]
    baseline: str

    def of(self, *methods: str, baseline: str | None = None) -> Asked:
        """The same with these methods alone, the first of which is the baseline where none is named."""
        return replace(self, methods=methods, baseline=methods[0] if baseline is None else baseline)

    def spec(self, point: Point, kind: str, **settings: Any) -> Spec:
        """The point's configuration, with a label that says what it was tried for. Raises IllegalCase, and
        InvalidValue for what is refused whatever it is combined with."""
        own = {key: value for key, value in point.items() if not key.startswith(VARIABLE)}
        labels = {"hunt": kind, **{k: v for k, v in environment_of(point).items() if v is not None}}
        named = {"methods": list(self.methods), "baseline": self.baseline, "labels": labels}
        return spec_of({**self.base, **own, **named, **settings})

    def legal(self, point: Point) -> bool:
        """Whether the point is a convolution at all."""
        try:
            self.spec(point, "legal")
        except IllegalCase:
            return False
        except InvalidValue:
            return False
        return True
