"""How the wrong elements of a gradient lie: in one channel, every second column, the border, one block."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

MOST_WRONG = 0.5
"""A pattern says something if so many of its elements are wrong: some may be right by chance, zeros for instance."""

NEARLY_ALL = 0.9
"""Where more are wrong, that they lie in no pattern says nothing."""


def places_of(dims: int) -> list[str]:
    """What a place along each spatial axis is called."""
    return ["depth", "row", "column"][3 - dims :]


def axes_of(wrt: str, transposed: bool, dims: int) -> list[str]:
    """What each axis of a gradient is called."""
    places = places_of(dims)
    if wrt == "bias":
        return ["channel"]
    if wrt != "weight":
        return ["image", "channel", *places]
    return [
        "input channel" if transposed else "output channel",
        "channel of its group",
        *(f"kernel {p}" for p in places),
    ]


def pattern(wrong: Tensor, index: Tensor, shape: Sequence[int], axes: Sequence[str]) -> str:
    """The smallest pattern that holds every wrong element and is mostly wrong.

    `wrong` [n], bool, of the elements at the flat places `index` [n] of a result of this `shape`.
    """
    if bool(wrong.all()):
        return "every element is wrong"
    places = torch.stack(torch.unravel_index(index, tuple(shape)))
    said = f"{int(wrong.sum())} of {wrong.numel()} elements are wrong"
    fitting = [
        (int(mask.sum()), name)
        for name, mask in _patterns(places, wrong, shape, axes)
        if bool((mask | ~wrong).all()) and not bool(mask.all()) and float(wrong[mask].double().mean()) >= MOST_WRONG
    ]
    if fitting:
        return f"{said}: {min(fitting, key=lambda one: one[0])[1]}"
    return said if float(wrong.double().mean()) > NEARLY_ALL else f"{said}, in no simple pattern"


def _patterns(places: Tensor, wrong: Tensor, shape: Sequence[int], axes: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Name and mask of what could hold the wrong elements; of several of a size, the first is told."""
    bad = places[:, wrong]
    low, high = bad.amin(1), bad.amax(1)
    spatial = [axis for axis, name in enumerate(axes) if name.split()[-1] in ("depth", "row", "column")]
    for axis, (name, size) in enumerate(zip(axes, shape, strict=True)):
        values = sorted(set(bad[axis].tolist()))
        yield _along(name, size, values), torch.isin(places[axis], torch.tensor(values, device=places.device))
    if spatial:
        edge = torch.zeros_like(wrong)
        for axis in spatial:
            edge |= (places[axis] == 0) | (places[axis] == shape[axis] - 1)
        yield "the border", edge
    inside = ((places >= low[:, None]) & (places <= high[:, None])).all(0)
    ranges = ", ".join(
        f"{one}" if one == two else f"{one}:{two + 1}" for one, two in zip(low.tolist(), high.tolist(), strict=True)
    )
    if bad.shape[1] == 1:
        yield f"the one at [{ranges}]", inside
    else:
        yield f"those of the block [{ranges}]", inside


def _along(name: str, size: int, values: Sequence[int]) -> str:
    """These places on an axis, in words."""
    if len(values) == 1:
        which = " (the last)" if values[0] == size - 1 and size > 1 else ""
        return f"all in {name} {values[0]}{which}"
    steps = {b - a for a, b in itertools.pairwise(values)}
    if steps == {1}:
        return f"all in {name}s {values[0]} to {values[-1]}"
    if len(steps) == 1 and len(values) > 2:
        return f"every {_ordinal(steps.pop())} {name}, from {values[0]} on"
    shown = ", ".join(map(str, values[:6])) + (" …" if len(values) > 6 else "")
    return f"all in {name}s {shown}"


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
