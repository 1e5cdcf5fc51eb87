"""What is tried: boundaries, real layers, random places, and what Optuna chooses where it is installed."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from .point import Point, key_of, with_value
from .space import MOST, RANDOM, WIDER, Decks, Space, in_environments, random_value

BOUNDARY = 2112
"""Points at boundaries, in all environments together: by hand, so many found oneDNN#6035 where random ones did not."""
KIND = ("op", "wrt", "dtype", "kernel", "stride", "dilation")
"""Layers that agree in these, and in whether they have groups, are of one kind."""
BLOCK = 100
"""Random points before the environment is changed, which takes a new process."""


class Proposal(NamedTuple):
    """`kind`: boundary, suite, random or optuna."""

    kind: str
    point: Point


def boundary(space: Space, seed: int) -> Iterator[Proposal]:
    """Small convolutions around the edges of what kernels are written for, environment by environment."""
    places = list(in_environments(space))
    each = BOUNDARY // len(places)
    for number, variables in enumerate(places):
        narrow, wide = (_boundary(space, wide, random.Random(f"{seed} {number} {wide}")) for wide in (False, True))
        # In turns, so that a slow machine sees some of both.
        for points in itertools.islice(itertools.cycle((narrow, narrow, wide)), each):
            point = next(points, None)
            if point is not None:
                yield Proposal("boundary", {**point, **variables})


def _boundary(space: Space, wide: bool, dice: random.Random) -> Iterator[Point]:
    """Without end: all combinations of the structure, again and again, with the rest drawn."""
    structure, rest = space.lists(wide)
    combinations = [dict(zip(structure, values, strict=True)) for values in itertools.product(*structure.values())]
    decks = [Decks(rest, dice) for _ in combinations]
    turns = list(zip(combinations, decks, strict=True))
    seen_legal = True
    while seen_legal:
        seen_legal = False
        dice.shuffle(turns)
        for combination, deck in turns:
            # Most of what is illegal is so by what was drawn: a kernel that is larger than the image.
            for _ in range(8):
                point = space.settled({**combination, **deck.draw()}, dice)
                if space.spec(point) is not None:
                    seen_legal = True
                    yield point
                    break


def suites(space: Space) -> Iterator[Proposal]:
    """Real layers, one image each: of every kind of layer the one with the fewest operations first, then the next."""
    turns = {
        "dtype": space.given.get("dtype", ("float32", "bfloat16")),
        "wrt": space.given.get("wrt", ("input", "weight")),
        "memory_format": space.given.get("memory_format", ("contiguous", "channels_last")),
    }
    found: dict[Any, tuple[int, Point]] = {}
    for seed in space.seeds:
        layer = dict(seed) if "batch" in space.given else {**seed, "batch": 1}
        if any(key in layer and not _among(layer[key], space.given[key]) for key in space.given):
            continue
        for values in itertools.product(*turns.values()):
            place = with_value({**space.usual(), **dict(zip(turns, values, strict=True)), **layer})
            spec = space.spec(place)
            if spec is not None:
                found.setdefault(key_of(place), (spec.case.flops(spec.wrt), place))
    kinds: dict[Any, list[Point]] = {}
    for _, point in sorted(found.values(), key=lambda one: one[0]):
        kinds.setdefault(tuple(str(point[key]) for key in KIND) + (point["groups"] > 1,), []).append(point)
    for turn in itertools.zip_longest(*kinds.values()):
        yield from (Proposal("suite", point) for point in turn if point is not None)


def _among(value: Any, given: Sequence[Any]) -> bool:
    """Whether a layer has one of the values that were named."""
    alike = {str(list(value) if isinstance(value, tuple) else value)} | (
        {str(value[0])} if isinstance(value, (list, tuple)) and len(set(value)) == 1 else set()
    )
    return bool(alike & {str(list(one) if isinstance(one, tuple) else one) for one in given})


def drawn(space: Space, seed: int) -> Iterator[Proposal]:
    """Random places, without end, in blocks of one environment each."""
    dice = random.Random(f"{seed} random")
    for variables in itertools.cycle(list(in_environments(space))):
        for _ in range(BLOCK):
            yield Proposal("random", {**_anywhere(space, dice), **variables})


def _anywhere(space: Space, dice: random.Random) -> Point:
    words = {**{k: v for k, v in WIDER.items() if k not in RANDOM}, "memory_format": ("contiguous", "channels_last")}
    words |= {"threads": (1, space.threads)} if not space.timed else {}
    while True:
        point = {key: random_value(key, dice, space.timed) for key in RANDOM if key not in space.given}
        point |= {key: dice.choice(values) for key, values in words.items() if key not in space.given}
        point |= {key: dice.choice(values) for key, values in space.given.items()}
        settled = space.settled(point, dice)
        if space.spec(settled) is not None:
            return settled


def optuna_missing() -> str | None:
    """Why Optuna does not search, or None where it can."""
    return None if find_spec("optuna") else "Optuna is not installed (pip install '.[optuna]' in a clone)"


class Guided:
    """Places that Optuna chooses, each told afterwards how much it had of what is hunted for."""

    def __init__(self, space: Space, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        self._space, self._dice = space, random.Random(f"{seed} optuna")
        self._failed = optuna.trial.TrialState.FAIL
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._trial: Any = None

    def proposal(self) -> Proposal | None:
        """The next place; None where what Optuna chose is no convolution, which counts as nothing."""
        self._trial = self._study.ask()
        variables = {key: self._choice(key, values) for key, values in self._space.environments.items()}
        chosen = {key: self._chosen(key) for key in RANDOM if key not in self._space.given}
        words: dict[str, Any] = {k: v for k, v in WIDER.items() if k not in RANDOM}
        words |= {"memory_format": ("contiguous", "channels_last"), **self._space.given}
        chosen |= {key: self._choice(key, tuple(dict.fromkeys(map(_hashable, v)))) for key, v in words.items()}
        point = self._space.settled({**chosen, **variables}, self._dice)
        if self._space.spec(point) is None:
            self.told(None)
            return None
        return Proposal("optuna", point)

    def told(self, worth: float | None) -> None:
        if worth is None:
            self._study.tell(self._trial, None, state=self._failed)
        else:
            self._study.tell(self._trial, worth)

    def _chosen(self, key: str) -> Any:
        if key in ("in_channels", "out_channels"):
            return self._trial.suggest_int(key, 1, 256, log=True)
        if key == "groups":
            return self._choice(key, (1, 2, "depthwise"))
        low, high = {"padding": (0, 5), "output_padding": (0, 1)}.get(key, (1, MOST[key]))
        return self._trial.suggest_int(key, low, high)

    def _choice(self, key: str, values: Any) -> Any:
        place = self._trial.suggest_categorical(key, list(range(len(values))))
        return list(values)[place]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
