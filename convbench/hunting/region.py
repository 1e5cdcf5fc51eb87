"""Hits that are one thing: the same method, and the same values of the axes that matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..facts.case import PER_AXIS
from .objective import Hit
from .point import LEAST, NUMBERS, VARIABLE, WORDS, Point, per_axis, with_value

Steps = tuple[tuple[str, Any], ...]


@dataclass
class Region:
    """`point` is the simplest place that was found, `hit` what it does there, `origin` where the first was found.

    `matters` are the axes without which it goes away, each with the value that it had then; `stays` those that were
    changed and did not. `also` counts the other hits in it, `worst` is the one with the largest value. `times`: of so
    many fresh processes, in how many it was seen again. `done`: nothing was cut short.
    """

    hit: Hit
    point: Point
    origin: Point
    kind: str
    rows: Sequence[Mapping[str, Any]]
    matters: dict[str, Any] = field(default_factory=dict)
    stays: dict[str, Any] = field(default_factory=dict)
    also: int = 0
    worst: tuple[float, Point] | None = None
    times: tuple[int, int] = (1, 1)
    done: bool = False
    elsewhere: bool = False
    steps: int = 0
    files: list[str] = field(default_factory=list)
    script: str = ""

    def holds(self, point: Point, method: str | None = None) -> bool:
        """Whether a point is one of this region, as far as its axes tell: the words that matter are the same, and
        the numbers that matter are at their least where those here are."""
        if method is not None and method != self.hit.method:
            return False
        return all(key in point and alike(key, point, self.point) for key in self.matters)

    def same(self, other: Region) -> bool:
        """Whether two regions are one, each with a simplest place of its own."""
        return self.hit.method == other.hit.method and self.holds(other.point) and other.holds(self.point)

    def note(self, hit: Hit, point: Point) -> None:
        """Takes note of another hit in the region."""
        self.also += 1
        if hit.value is not None and (self.worst is None or hit.value > self.worst[0]):
            self.worst = hit.value, point


def alike(key: str, one: Point, other: Point) -> bool:
    """The same word, or both at the least number or both above it."""
    if key not in NUMBERS:
        return str(one[key]) == str(other[key])
    return above_least(key, one) == above_least(key, other)


def above_least(key: str, point: Point) -> bool:
    """Whether a number is above its least, along any axis of space."""
    values = per_axis(point, key) if key in PER_AXIS else (point[key],)
    return any(value > LEAST[key] for value in values)


def others(point: Point, environments: Mapping[str, Sequence[str | None]]) -> dict[str, Point]:
    """For each axis that is at its simplest value, a place that differs in it alone, to see whether it matters."""
    found: dict[str, Point] = {}
    for key, order in WORDS.items():
        if key == "op" or key not in point or key == "order":
            continue
        other = next((value for value in order if value != point[key]), None)
        if other is not None:
            found[key] = with_value(point, **{key: other})
    for key in NUMBERS:
        if key in point and not above_least(key, point) and key != "groups":
            found[key] = with_value(point, **{key: LEAST[key] + (1 if key != "kernel" else 2)})
    for key, values in environments.items():
        if key.startswith(VARIABLE) and point.get(key) is None:
            other = next((value for value in values if value is not None), None)
            if other is not None:
                found[key] = with_value(point, **{key: other})
    return found


def probe(region: Region, places: Mapping[str, Point], does: Callable[[Point], bool]) -> None:
    """Finds out which axes matter: what is not at its simplest value has been tried there and does; the others are
    moved one at a time."""
    point = region.point
    for key, value in point.items():
        above = above_least(key, point) if key in NUMBERS else _not_first(key, value)
        if above:
            region.matters[key] = value
    for key, other in places.items():
        if key in region.matters:
            continue
        if does(other):
            region.stays[key] = other[key]
        else:
            region.matters[key] = point[key]


def _not_first(key: str, value: Any) -> bool:
    if key.startswith(VARIABLE):
        return value is not None
    return key in WORDS and WORDS[key][0] != value
