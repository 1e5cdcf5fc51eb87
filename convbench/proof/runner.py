"""Goes through the checks: those already done count, the stages share the time, each result is kept at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..facts.values import InvalidValue
from .checks import FAIL, STAGES, UNKNOWN, Check, Result, Seen, unknown
from .context import Context, Unanswered

SHARES = {"primitives": 0.32, "timers": 0.36, "program": 0.32}
"""Of the time budget, among the stages that are to be run; what one leaves over is the next one's."""


@dataclass(slots=True)
class Run:
    """How the checks are gone through. `keep` is told each result as it comes; `now` is the clock."""

    context: Context
    keep: Callable[[Result], None]
    made: Sequence[str] = ()
    budget_s: float | None = None
    begin: Callable[[Check], None] = lambda check: None
    now: Callable[[], float] = time.monotonic
    done: dict[str, Result] = field(default_factory=dict)
    told: Collection[str] = ()

    def go(self, checks: Sequence[Check]) -> None:
        """Runs what is not in `done` and fits into the time: first what is not among `told`, which an earlier version
        or another environment has told already."""
        end = None if self.budget_s is None else self.now() + self.budget_s
        self._go([check for check in checks if check.name not in self.told], end)
        self._go([check for check in checks if check.name in self.told], end)

    def _go(self, checks: Sequence[Check], end: float | None) -> None:
        """One stage after the other; what had to wait for lack of its stage's time is tried at the end."""
        begun, waiting = self.now(), list[Check]()
        stages = [stage for stage in STAGES if any(check.stage == stage for check in checks)]
        left_s = None if end is None else max(0.0, end - begun)
        for stage, until in zip(stages, deadlines(stages, left_s), strict=True):
            for check in (check for check in checks if check.stage == stage and check.name not in self.done):
                if until is not None and self.now() - begun + check.about_s > until:
                    waiting.append(check)
                else:
                    self._run(check)
        for check in waiting:
            if end is not None and self.now() + check.about_s <= end:
                self._run(check)

    def _run(self, check: Check) -> None:
        self.begin(check)
        begun = self.now()
        result = Result.of(check, _seen(check, self.context), self.now() - begun, self.made)
        self.done[check.name] = result
        self.keep(result)


def _seen(check: Check, context: Context) -> Seen:
    """What the check says; where it raises instead, that it could not tell, or that its process was lost."""
    try:
        return check.run(context)
    except Unanswered as lost:
        return Seen(FAIL, "", str(lost)) if lost.is_fault else unknown(str(lost))
    except Exception as error:  # a check that breaks must not end the others, and has found nothing out
        said = str(error) if isinstance(error, InvalidValue) else f"the check broke: {type(error).__name__}: {error}"
        return unknown(" ".join(said.split())[:400])


def deadlines(stages: Sequence[str], budget_s: float | None) -> Iterator[float | None]:
    """When each of the stages has to be over, in seconds since the first began."""
    whole = sum(SHARES[stage] for stage in stages)
    before = 0.0
    for stage in stages:
        before += SHARES[stage] / whole
        yield None if budget_s is None else before * budget_s


def left(done: Mapping[str, Result], retry: str) -> dict[str, Result]:
    """The results that count as done: with retry=failed those that neither failed nor could not be told."""
    again: Collection[str] = (FAIL, UNKNOWN) if retry == "failed" else ()
    return {name: result for name, result in done.items() if result.verdict not in again}
