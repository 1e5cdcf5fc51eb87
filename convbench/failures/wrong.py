"""A wrong result, with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..measurement.problem import Problem
from ..measurement.reference import Reference
from .explain import explained


@dataclass(frozen=True, slots=True)
class Wrong:
    """What a method returned (`got`), what it was asked for (`made`) and what is right (`truth`).

    `before`: the operands that it had been prepared on or called with before, where these were others; `called`: it was
    called with them, so that it may be that call's result.
    """

    got: object
    made: Problem
    truth: Reference
    before: Problem | None = None
    called: bool = False

    @property
    def said(self) -> str | None:
        """In a sentence what is wrong with it; None where no single element is."""
        return explained(self.got, self.made, self.truth, self.before if self.called else None)

    def added_to(self, reason: str) -> str:
        """The reason with that sentence."""
        said = self.said
        return reason if said is None else f"{reason}; {said}"
