"""Sets of operands whose values nobody can foresee: what one of the user's own methods is asked about, and when."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import NamedTuple

from .facts.spec import Spec
from .measurement import further, problem, reference
from .measurement.joint import Truth, truth_of
from .measurement.problem import Problem
from .methods.formulas import EXPLICIT

SWITCHED = 6
"""In one of so many samples in a row, which one nobody can foresee, the operands get new values: often enough that
twenty pairs bring three single calls on new values, seldom enough to cost little."""


class Seeds(NamedTuple):
    """Where a set of operands comes from; `grad_output` has a seed of its own where one is given."""

    operands: int
    grad_output: int | None = None

    def __str__(self) -> str:
        return f"seed={self.operands}" + ("" if self.grad_output is None else f", grad_output's {self.grad_output}")


class Sets:
    """Sets of operands of one configuration, by seeds that nobody else knows; all of its guests get the same ones."""

    def __init__(self, spec: Spec) -> None:
        self._spec, self._secret = spec, random.SystemRandom()
        self.prepared, self.second = self._seed(), self._seed()
        self._drawn: list[Seeds] = []
        self._kept: list[bool] = []
        self._due: list[bool] = []
        self._truths: dict[Seeds, tuple[Problem, Truth]] = {}
        self._others: dict[str, tuple[Problem, Truth]] = {}

    def _seed(self) -> int:
        return self._secret.randrange(2**31)

    def due(self, sample: int) -> bool:
        """Whether the operands change before this sample."""
        while len(self._due) <= sample:
            at = self._secret.randrange(SWITCHED)
            self._due += [n == at for n in range(SWITCHED)]
        return self._due[sample]

    def drawn(self, number: int, apart: bool = False) -> Seeds:
        """The set that comes with the change of this number; `apart`: grad_output has a seed of its own."""
        while len(self._drawn) <= number:
            self._drawn.append(Seeds(self._seed(), self._seed()))
            # Each of those so far is the one that is kept with the same probability.
            self._kept.append(self._secret.randrange(len(self._drawn)) == 0)
        return self._drawn[number] if apart else self._drawn[number]._replace(grad_output=None)

    def kept(self, number: int) -> bool:
        """Whether what a timed call returned for this set is kept, to be judged when the clock has stopped."""
        self.drawn(number)
        return self._kept[number]

    def problem(self, seeds: Seeds) -> Problem:
        """The operands that come from these seeds."""
        return self._truths[seeds][0] if seeds in self._truths else problem.make(self._spec, *seeds)

    def truth(self, seeds: Seeds) -> tuple[Problem, Truth]:
        if seeds not in self._truths:
            made = problem.make(self._spec, *seeds)
            self._truths[seeds] = made, truth_of(made, lambda part: further.truth(part, EXPLICIT.wanted))
        return self._truths[seeds]

    def of(self, fill: str) -> tuple[Problem, Truth]:
        """The configuration's own seed on another kind of data."""
        if fill not in self._others:
            made = problem.make(replace(self._spec, fill=fill))
            self._others[fill] = made, truth_of(made, reference.computed)
        return self._others[fill]
