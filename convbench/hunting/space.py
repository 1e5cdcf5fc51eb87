"""The space that is searched: what a command line leaves open, and the values that are tried there."""

from __future__ import annotations

import os
import platform
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..facts.case import OPS, PER_AXIS
from ..facts.spec import Spec
from ..facts.values import IllegalCase
from .point import NUMBERS, VARIABLE, WORDS, Asked, Point, with_value

ISA = f"{VARIABLE}ONEDNN_MAX_CPU_ISA"

DEPTHWISE = "depthwise"
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33)
"""Around the widths of vector registers: 4, 8 and 16 numbers of 32 bits; 24 is whole for one and not for the next."""
MANY = (63, 64, 65, 127, 128, 129)
"""Around what libraries block channels by."""
SIZES = (7, 8, 9, 14, 15, 16, 17)
FITTING = "fitting"
"""The least that the kernel fits into: of a convolution the output has one place."""
STRUCTURE: dict[str, Sequence[Any]] = {
    "kernel": (1, 2, 3),
    "stride": (1, 2),
    "memory_format": ("contiguous", "channels_last"),
    "wrt": ("input", "weight"),
    "padding": (0, 1),
    "groups": (1, DEPTHWISE),
}
"""What chooses among a library's kernels: every combination is tried equally often."""
REST: dict[str, Sequence[Any]] = {
    "batch": (1, 2, 2, 3),
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "size": SIZES,
}
"""What is drawn for each of those combinations: in turn, so that each value is there as often as it is listed."""
WIDER: dict[str, Sequence[Any]] = {
    "op": ("conv2d", "conv_transpose2d", "conv1d", "conv3d"),
    "dtype": ("float32", "bfloat16", "float16"),
    "wrt": ("input", "weight", "bias", "output"),
    "kernel": (1, 2, 3, 4, 5),
    "stride": (1, 2, 3, 4),
    "padding": (0, 1, 2, 3),
    "groups": (1, 1, 2, DEPTHWISE),
    "dilation": (1, 1, 2),
    "output_padding": (0, 0, 1),
    "bias": (False, True),
    "in_channels": (1, 1, 1, *CHANNELS, *MANY),
    "out_channels": (1, 1, 1, *CHANNELS, *MANY),
    "size": (1, 2, 3, FITTING, FITTING, FITTING, *SIZES),
    "fill": ("normal", "normal", "positive"),
}
"""What the last third of the boundary varies as well."""
TIMED: dict[str, Sequence[Any]] = {
    "kernel": (1, 3),
    "batch": (1, 4),
    "in_channels": (16, 32, 64, 128),
    "out_channels": (16, 32, 64, 128),
    "size": (14, 28, 56),
    "groups": (1, DEPTHWISE),
}
"""For times: small enough to be quick, large enough that not the call itself is what takes the time."""
USUAL: dict[str, Any] = {
    "op": "conv2d",
    "batch": 1,
    "in_channels": 1,
    "out_channels": 1,
    "size": 8,
    "kernel": 1,
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": False,
    "threads": 1,
    **{key: values[0] for key, values in WORDS.items() if key != "op"},
}
MOST = {"batch": 8, "size": 64, "kernel": 11, "stride": 5, "padding": 5, "dilation": 3, "output_padding": 1}
"""The largest values that random places have."""
MOST_FLOPS = 3e8
"""Of one configuration that is drawn; its float64 reference then takes a second or so."""


class Decks:
    """Draws from lists, each as a shuffled deck that is shuffled anew when it is empty."""

    def __init__(self, values: Mapping[str, Sequence[Any]], dice: random.Random) -> None:
        self._values, self._dice = values, dice
        self._left: dict[str, list[Any]] = {}

    def draw(self) -> dict[str, Any]:
        return {key: self._next(key) for key in self._values}

    def _next(self, key: str) -> Any:
        left = self._left.get(key)
        if not left:
            left = self._left[key] = list(self._values[key])
            self._dice.shuffle(left)
        return left.pop()


@dataclass(frozen=True)
class Space:
    """`given` are the values of whatever the command line named, `environments` those of variables; the rest is free.

    `seeds` are real cases to begin with.
    """

    asked: Asked
    given: Mapping[str, Sequence[Any]]
    environments: Mapping[str, Sequence[str | None]]
    timed: bool
    threads: int
    seeds: Sequence[Mapping[str, Any]] = ()

    def usual(self) -> dict[str, Any]:
        """What a point has where nothing is drawn: the first of the given values."""
        first = {key: values[0] for key, values in {**self.given, **self.environments}.items()}
        return {**USUAL, **first}

    def allowed(self) -> dict[str, Sequence[Any]]:
        """By axis, the values that a person has named."""
        return {**self.given, **{k: v for k, v in self.environments.items() if k != ISA or None not in v}}

    def lists(self, wide: bool) -> tuple[dict[str, Sequence[Any]], dict[str, Sequence[Any]]]:
        """The axes of which every combination is tried, and those that are drawn: what is given, else ours."""
        structure, rest = dict(STRUCTURE), dict(REST)
        if wide:
            more = {**WIDER, "threads": tuple(dict.fromkeys((1, self.threads)))}
            structure |= {k: v for k, v in more.items() if k in ("op", "dtype", "wrt")}
            rest |= {k: v for k, v in more.items() if k not in ("op", "dtype", "wrt")}
            structure = {k: v for k, v in structure.items() if k not in rest}
        if self.timed:
            structure |= {k: v for k, v in TIMED.items() if k in structure}
            rest |= {k: v for k, v in TIMED.items() if k not in structure}
        for key, values in self.given.items():
            if key in structure:
                structure[key] = values
            else:
                rest[key] = values
        return structure, rest

    def settled(self, drawn: Mapping[str, Any], dice: random.Random) -> Point:
        """The point of what was drawn: groups as they are meant, one value for all axes or one for each."""
        point = {**self.usual(), **drawn}
        if point["groups"] == DEPTHWISE:
            point["groups"] = point["out_channels"] = point["in_channels"]
        elif "groups" not in self.given and point["groups"] != 1:
            for key in {"in_channels", "out_channels"} - self.given.keys():
                point[key] *= point["groups"]
        if point["size"] == FITTING:
            point["size"] = _fitting(point)
        dims = OPS[point["op"]][0]
        if dims == 1 and "memory_format" not in self.given:
            point["memory_format"] = "contiguous"
        if not point["op"].startswith("conv_transpose") and "output_padding" not in self.given:
            point["output_padding"] = 0
        if point["wrt"] == "bias" and "bias" not in self.given:
            point["bias"] = True
        for key in PER_AXIS:
            # Now and then each axis has a value of its own; an axis that a person named keeps what they wrote.
            if dims > 1 and key not in self.given and isinstance(point[key], int) and dice.random() < 0.1:
                point[key] = tuple(dice.choice((point[key], USUAL[key])) for _ in range(dims))
        return with_value(point)

    def spec(self, point: Point) -> Spec | None:
        """The configuration that a point would be tried as; None where it is none, or too large to be drawn."""
        try:
            spec = self.asked.spec(point, "drawn")
        except IllegalCase:
            return None
        return spec if spec.case.flops(spec.wrt) <= MOST_FLOPS else None


def _fitting(point: Mapping[str, Any]) -> Any:
    kernel, dilation, padding = (point[key] for key in ("kernel", "dilation", "padding"))
    if not all(isinstance(value, int) for value in (kernel, dilation, padding)):  # as a person named it for each axis
        return USUAL["size"]
    return max(1, dilation * (kernel - 1) + 1 - 2 * padding)


Variables = dict[str, Sequence[str | None]]


def surroundings(named: Mapping[str, Sequence[str | None]], device: str, timed: bool) -> Variables:
    """Variables of the environment to search over, by the keys of a point: those that were named; and which
    instructions oneDNN may use, where nobody has said so and it decides anything."""
    found: Variables = {f"{VARIABLE}{name}": tuple(values) for name, values in named.items()}
    set_already = os.environ.get(ISA.removeprefix(VARIABLE))
    if ISA not in found and set_already is not None:
        return {**found, ISA: (set_already,)}
    if ISA not in found and not timed and device == "cpu" and platform.machine() in ("x86_64", "AMD64"):
        return {**found, ISA: (None, "AVX2")}
    return found


def in_environments(space: Space) -> Iterator[dict[str, Any]]:
    """Every combination of the variables' values, the first of each first."""
    found: list[dict[str, Any]] = [{}]
    for key, values in space.environments.items():
        found = [{**one, key: value} for one in found for value in values]
    yield from found


def random_value(key: str, dice: random.Random, timed: bool) -> Any:
    """A value from the whole range, small ones more often."""
    if key in ("in_channels", "out_channels"):
        return round(2 ** dice.uniform(0, 9 if timed else 7.5))
    if key == "groups":
        return dice.choice((1, 1, 2, DEPTHWISE))
    if key in ("padding", "output_padding"):
        return round(MOST[key] * dice.random() ** 2)
    return round(MOST[key] ** dice.random())


RANDOM = tuple(key for key in NUMBERS if key != "threads")
