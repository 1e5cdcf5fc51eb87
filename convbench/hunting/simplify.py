"""A point that does something, made as simple as it can be while it still does it.

As property-based testing does (Hypothesis): each axis towards its simplest value, again and again until none goes any
further. Axes that only move together (the channels and groups of a depthwise convolution; a kernel that has to be as
wide as the image) are moved together as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..facts.case import OPS, PER_AXIS
from .point import CHANNELS, LEAST, NUMBERS, VARIABLE, WORDS, Point, axes, key_of, per_axis, with_value

Holds = Callable[[Point], bool]
"""Whether a point still does it. Told nothing of points that are no convolution, or that were asked for before."""

Setter = Callable[[int], dict[str, Any]]
"""A number → the point with that number in its place."""


class Simplifier:
    """`allowed` holds the values that a key may have where a person has named some. `holds` is asked about each point
    once; it may raise to end the search, and `best` is what it had come to."""

    def __init__(
        self, point: Point, holds: Holds, legal: Holds, allowed: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        self.best: Point = with_value(point)
        self._holds, self._legal, self._allowed = holds, legal, allowed or {}
        self._known = {key_of(self.best): True}

    def run(self) -> Point:
        """The simplest point that was found: no axis alone can be made simpler."""
        while True:
            before = key_of(self.best)
            self._words()
            for key in NUMBERS:
                self._number(key)
            self._together()
            if key_of(self.best) == before:
                return self.best

    def does(self, point: Point) -> bool:
        """Whether the point does it: legal, within what is allowed, and holding."""
        key = key_of(point)
        if key not in self._known:
            fits = all(self._fits(name, point[name]) for name in point)
            self._known[key] = fits and self._legal(point) and self._holds(point)
        return self._known[key]

    def _fits(self, key: str, value: Any) -> bool:
        """A value that is among those named; sizes and the like may be named once for all axes."""
        if key not in self._allowed or value == self.best.get(key):
            return True
        return str(value) in {str(with_value(self.best, **{key: a})[key]) for a in self._allowed[key]}

    def _try(self, point: Point) -> bool:
        """Takes the point where it does it."""
        if not self.does(point):
            return False
        self.best = with_value(point)
        return True

    def _words(self) -> None:
        """Axes without an order of size: the first value that does."""
        for simpler in self._fewer_axes():
            if self._try(simpler):
                break
        for key in [k for k in self.best if k.startswith(VARIABLE)]:
            if self.best[key] is not None:
                self._try(with_value(self.best, **{key: None}))
        for key, order in WORDS.items():
            if key == "op" or key not in self.best or self.best[key] not in order:
                continue
            for value in order[: order.index(self.best[key])]:
                if self._try(with_value(self.best, **{key: value})):
                    break

    def _fewer_axes(self) -> Iterator[Point]:
        """A convolution instead of its transpose, and fewer axes of space: the last ones are kept."""
        op = self.best["op"]
        for other in list(OPS)[: list(OPS).index(op)] if op in OPS else ():
            count = OPS[other][0]
            if count > axes(self.best):
                continue
            kept = {key: per_axis(self.best, key)[-count:] for key in PER_AXIS}
            extra = {} if OPS[other][1] else {"output_padding": 0}
            yield with_value({**self.best, **kept, "op": other, **extra})

    def _number(self, key: str) -> None:
        if key not in self.best:
            return
        if key not in PER_AXIS:
            number = int(self.best[key])
            self._lower(number, LEAST[key], lambda v: with_value(self.best, **{key: v}), key in CHANNELS)
            return
        values = per_axis(self.best, key)
        self._lower(max(values), LEAST[key], lambda v: with_value(self.best, **{key: tuple(min(v, x) for x in values)}))
        for place in range(len(values)):
            self._one_axis(key, place)

    def _one_axis(self, key: str, place: int) -> None:
        """The value of one axis of space, the others as they are."""
        now = per_axis(self.best, key)
        if len(now) > place:

            def at(value: int) -> dict[str, Any]:
                return with_value(self.best, **{key: (*now[:place], value, *now[place + 1 :])})

            self._lower(now[place], LEAST[key], at)

    def _lower(self, now: int, least: int, at: Setter, divisors: bool = False) -> None:
        """The least number that does it, by bisection between one that does not and one that does.

        With `divisors` those of what was found are tried as well: some kernels need whole vectors of channels.
        """
        if now <= least or self._try(at(least)):
            return
        fails, does = least, now
        while does - fails > 1:
            middle = (fails + does) // 2
            if self._try(at(middle)):
                does = middle
            else:
                fails = middle
        if divisors:
            next((n for n in range(least + 1, does) if does % n == 0 and self._try(at(n))), None)

    def _together(self) -> None:
        """What can only be moved together."""
        groups = int(self.best["groups"])
        if groups > 1:
            # As many channels in each group as before, in fewer groups.
            each = [int(self.best[key]) // groups for key in CHANNELS]
            self._lower(
                groups,
                1,
                lambda g: with_value(
                    self.best, groups=g, **{key: g * n for key, n in zip(CHANNELS, each, strict=True)}
                ),
                divisors=True,
            )
        if self.best["in_channels"] == self.best["out_channels"]:
            self._lower(
                int(self.best["in_channels"]), 1, lambda c: with_value(self.best, in_channels=c, out_channels=c), True
            )
        size, kernel = per_axis(self.best, "size"), per_axis(self.best, "kernel")
        most = min(min(size), min(kernel)) - 1
        # The number is what is left of the difference, so that less is simpler here too.
        self._lower(most, 0, lambda left: self._narrower(size, kernel, most - left))

    def _narrower(self, size: Sequence[int], kernel: Sequence[int], by: int) -> dict[str, Any]:
        return with_value(self.best, size=tuple(s - by for s in size), kernel=tuple(k - by for k in kernel))
