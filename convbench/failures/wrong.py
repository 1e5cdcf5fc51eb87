"""A wrong result, with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..measurement.accuracy import judge
from ..measurement.joint import Truth, parts
from ..measurement.problem import Problem
from .explain import explained


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
        before = self.before if self.called else None
        if not self.made.joint:
            assert not isinstance(self.truth, tuple)
            return explained(self.got, self.made, self.truth, before)
        worst = judge(self.got, self.made, self.truth).judged_wrt
        if worst is None:  # no tuple of gradients
            return None
        (part,) = (part for part in parts(self.got, self.made, self.truth) if part.made.wrt == worst)
        earlier = None if before is None else before.parts[self.made.wrts.index(worst)]
        return explained(*part, earlier)

    def added_to(self, reason: str) -> str:
        """The reason with that sentence."""
        said = self.said
        return reason if said is None else f"{reason}; {said}"
