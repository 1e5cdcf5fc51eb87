"""Which configurations a sweep has: axes and lines of a cases file multiplied, illegal and repeated ones left out.

A configuration is an index into the product and is made when it is needed, so that a sweep's memory does
not grow with what its configurations hold.
"""

from __future__ import annotations

import math
import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, overload

from ..execution.in_process import check_isolation
from ..facts.spec import Spec
from ..facts.values import IllegalCase, InvalidValue
from .cases import Cases
from .config import Settings, spec_of
from .presets import Preset

MOST = 10_000_000
"""Combinations that one sweep may have: their indices take 80 MB, and checking them takes minutes."""

MOST_REASONS = 20
"""Reasons that are told apart; a sweep may have as many as illegal combinations."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Grid:
    """The product of a cases file's lines (outermost) and of axes (the last one varies fastest).

    `base` holds all settings, `axes` the checked values that replace some of them. `derive` returns the
    settings that were written in terms of others (`size: ${kernel}`), given what differs from the base. `preset` says
    what the table calls the measurement.
    """

    base: Values
    axes: Mapping[str, Sequence[Any]]
    cases: Cases | None = None
    derive: Callable[[Values], Values] | None = None
    preset: Preset | None = None

    def __len__(self) -> int:
        return len(self.cases.rows if self.cases else (None,)) * math.prod(map(len, self.axes.values()))

    def varying(self, index: int) -> dict[str, Any]:
        """What configuration `index` has other than the base."""
        values: dict[str, Any] = {}
        for key, choices in reversed(list(self.axes.items())):
            index, place = divmod(index, len(choices))
            values[key] = choices[place]
        if self.cases:
            values.update(self.cases.settings(index, {**self.base, **values}))
        if self.derive:
            values.update(self.derive(values))
        if self.preset and any(key.startswith("measure.") for key in values):
            values["measure.name"] = self.preset.told({**self.base, **values})
        return values

    @property
    def passes(self) -> int:
        """In how many processes its configurations are measured, at most."""

        def values(key: str) -> list[Any]:
            return [self.base[key], *self.axes.get(key, ())]

        return max(map(int, values("measure.processes"))) if any(values("measure.enabled")) else 1

    def own_methods(self) -> Iterator[tuple[str, str]]:
        """(setting, `module:function`) for the user's own methods anywhere in the product."""
        values: list[tuple[str, Any]] = [(key, self.base[key]) for key in ("methods", "baseline")]
        values += [(key, value) for key in ("methods", "baseline") for value in self.axes.get(key, ())]
        for key, value in values:
            for name in [value] if isinstance(value, str) else value or ():
                # Written in terms of other settings: known only configuration by configuration.
                if ":" in name and "${" not in name:
                    yield key, name

    def spec(self, index: int) -> Spec:
        """Raises InvalidValue or IllegalCase, with the place of the line where there is a cases file."""
        values = {**self.base, **self.varying(index)}
        try:
            return spec_of(values)
        except InvalidValue as error:
            if self.cases:
                raise self.cases.blame(index // math.prod(map(len, self.axes.values())), error) from None
            raise


class Sweep(Sequence[Spec]):
    """The chosen configurations, made anew whenever they are asked for.

    `positions` are their places in the product, which order the table; `illegal` counts combinations that
    are no convolution and `repeated` those that another one equals.
    """

    def __init__(self, grids: Sequence[Grid], positions: Sequence[int], left_out: LeftOut) -> None:
        self.grids = grids
        self.positions = positions
        self.left_out = left_out

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> Spec: ...
    @overload
    def __getitem__(self, index: slice) -> Sweep: ...
    def __getitem__(self, index: int | slice) -> Spec | Sweep:
        if isinstance(index, slice):
            return Sweep(self.grids, self.positions[index], self.left_out)
        grid, place = locate(self.grids, self.positions[index])
        return grid.spec(place)

    def __iter__(self) -> Iterator[Spec]:
        return (self[i] for i in range(len(self)))


@dataclass(slots=True)
class LeftOut:
    """Combinations that a sweep does not run; `first` is the first illegal one's error, `reasons` counts what was
    wrong with each, the first `MOST_REASONS` different reasons by themselves."""

    illegal: int = 0
    repeated: int = 0
    first: IllegalCase | None = None
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, error: IllegalCase) -> None:
        self.illegal += 1
        self.first = self.first or error
        reason = str(error)
        if reason in self.reasons or len(self.reasons) < MOST_REASONS:
            self.reasons[reason] += 1


def locate(grids: Sequence[Grid], position: int) -> tuple[Grid, int]:
    """The grid that holds a place in the sequence of grids, and the place inside it."""
    for grid in grids:
        if position < len(grid):
            return grid, position
        position -= len(grid)
    raise IndexError(position)


def choose(grids: Sequence[Grid], settings: Settings) -> Sweep:
    """The configurations to run: in order or shuffled, then `limit` of the legal ones, then this `shard` of them.

    Raises InvalidValue where nothing is left, or at the first illegal combination with on_illegal=error.
    """
    total = sum(map(len, grids))
    if total > MOST:
        raise InvalidValue(
            "cases", f"the sweep has {total:,} combinations; at most {MOST:,}: sweep fewer values at once"
        )
    if not total:
        raise InvalidValue("cases", "the sweep has no combinations: an axis is empty")
    order: Sequence[int] = range(total)
    if settings.shuffle:
        order = array("Q", order)
        random.Random(settings.shuffle_seed).shuffle(order)
    left_out = LeftOut()
    chosen = array("Q", _legal(grids, order, settings, left_out))
    if not chosen:
        assert left_out.first is not None
        raise left_out.first
    which, count = settings.shard
    return Sweep(grids, chosen[which - 1 :: count], left_out)


def _legal(grids: Sequence[Grid], order: Sequence[int], settings: Settings, left_out: LeftOut) -> Iterator[int]:
    seen: set[int] = set()
    for position in order:
        if len(seen) == settings.limit:
            return
        grid, place = locate(grids, position)
        try:
            spec = grid.spec(place)
        except IllegalCase as error:
            if sum(map(len, grids)) == 1:
                raise
            if settings.on_illegal == "error":
                raise IllegalCase(error.key, f"{error} (on_illegal=skip leaves it out)") from None
            left_out.add(error)
            continue
        check_isolation(settings.isolation, spec)
        identity = hash((*(getattr(spec, name) for name in _IDENTITY), *sorted(spec.labels.items())))
        if identity in seen:
            left_out.repeated += 1
            continue
        seen.add(identity)
        yield position


_IDENTITY = tuple(f.name for f in fields(Spec) if f.name != "labels")
