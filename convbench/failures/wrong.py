"""A wrong result, with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..measurement.accuracy import judge
from ..measurement.joint import Truth, parts
from ..measurement.problem import Problem
from ..measurement.reference import Reference
from .explain import explained


class WrongPart(NamedTuple):
    """A single gradient of a wrong result; as Wrong has them."""

    got: Any
    made: Problem
    truth: Reference
    before: Problem | None
    called: bool


@dataclass(frozen=True, slots=True)
class Wrong:
    """What a method returned (`got`), what it was asked for (`made`) and what is right (`truth`).

    `before`: the operands that it had been prepared on or called with before, where these were others; `called`: it was
    called with them, so that it may be that call's result.
    """

    got: object
    made: Problem
    truth: Truth
    before: Problem | None = None
    called: bool = False

    @property
    def said(self) -> str | None:
        """In a sentence what is wrong with it, of several gradients with the worst; None where no single element is."""
        found = self.worst
        if found is None:
            return None
        return explained(found.got, found.made, found.truth, found.before if found.called else None)

    @property
    def worst(self) -> WrongPart | None:
        """The gradient that is wrong, of several the worst; None where the result is no tuple of gradients."""
        if not self.made.joint:
            assert not isinstance(self.truth, tuple)
            return WrongPart(self.got, self.made, self.truth, self.before, self.called)
        worst = judge(self.got, self.made, self.truth).judged_wrt
        if worst is None:
            return None
        (part,) = (part for part in parts(self.got, self.made, self.truth) if part.made.wrt == worst)
        before = None if self.before is None else self.before.parts[self.made.wrts.index(worst)]
        return WrongPart(*part, before, self.called)

    def added_to(self, reason: str) -> str:
        """The reason with that sentence."""
        said = self.said
        return reason if said is None else f"{reason}; {said}"
