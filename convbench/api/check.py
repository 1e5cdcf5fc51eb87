"""`convbench.check`: is a gradient right? A verdict with its evidence, without timing anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..facts.record import VERDICTS, Record
from ..results.naming import configuration_name
from .functions import Functions, Method, known_here
from .run import planned_with
from .words import words_of

if TYPE_CHECKING:
    from ..facts.spec import Spec


@dataclass(frozen=True)
class Judged:
    """One configuration's verdict.

    `configuration` names it, `status` is ok, unsupported, skipped, oom or error, `accuracy` exact, ok, reduced or fail
    (None where the method returned nothing), `reason` says why in a sentence, `row` has every column that is known
    (docs/columns.md), `error` is what the method raised.
    """

    configuration: str
    status: str
    accuracy: str | None
    reason: str | None
    row: Record
    error: BaseException | None = None

    @property
    def right(self) -> bool:
        """Whether the method returned the gradient, in the accuracy of its dtype or one that explains its rounding."""
        return self.status == "ok" and self.accuracy not in ("fail", None)

    def __str__(self) -> str:
        said = self.accuracy if self.status == "ok" else self.status
        return f"{said}: {self.configuration}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Verdict:
    """What became of a method on one or several configurations; true where it was right on all that it covers."""

    method: str
    judged: tuple[Judged, ...]

    def __bool__(self) -> bool:
        """Right wherever it is not unsupported, and somewhere."""
        return not self.wrong and any(one.right for one in self.judged)

    @property
    def wrong(self) -> list[Judged]:
        """The configurations on which it was wrong, raised or ran out of memory."""
        return [one for one in self.judged if not one.right and one.status not in ("unsupported", "skipped")]

    @property
    def accuracy(self) -> str | None:
        """The worst accuracy; None where there is none."""
        found = [one.accuracy for one in self.judged if one.accuracy is not None]
        return max(found, key=VERDICTS.index) if found else None

    def __str__(self) -> str:
        right = sum(one.right for one in self.judged)
        lines = [f"{self.method} is right on {right} of {len(self.judged)} configurations"]
        return "\n".join([*lines, *(str(one) for one in self.judged if not one.right)])


def check(method: Method, *words: str, **settings: Any) -> Verdict:
    """Judges one method on the configurations of `words` and `settings` (as for `run`), in this process.

    Each is judged as in a sweep: against the independent reference, with operands that it was not prepared on. Nothing
    is timed, no process is started, and nothing ends a call that hangs. Raises InvalidValue.
    """
    functions = Functions([method])
    plan = planned_with([*words, *words_of(settings)], functions.names)
    return verdict(functions, plan.sweep)


def verdict(functions: Functions, specs: Iterable[Spec]) -> Verdict:
    """The verdict on the one method in `functions`."""
    (name,) = functions.names
    with known_here(functions):
        return Verdict(name, tuple(_judged(name, specs)))


def _judged(method: str, specs: Iterable[Spec]) -> Iterator[Judged]:
    from .judging import judged

    asked = (replace(spec, methods=(method,), measure=replace(spec.measure, enabled=False)) for spec in specs)
    for spec, row, error in judged(asked, method):
        yield Judged(
            configuration_name(spec.columns()), row["status"], row.get("accuracy"), row.get("reason"), row, error
        )
