"""What a worker finds of one configuration, and what makes a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..facts.record import Record, record
from ..facts.spec import Spec, Switches
from ..facts.timed_as import CALL, COLUMN_OF, of
from ..timing.figures import with_figures
from ..timing.samples import Samples

NOT_APART = (
    "isolation=none: the method ran in the process that judged and timed it, so there is no verdict on its speed"
)


@dataclass(slots=True)
class Measured:
    """What was found of one configuration's arms, in their order, and their samples, one Samples per process
    and way of timing.

    `environments` holds by their ids those of the child that have not been handed on before. `once_s` are the seconds
    that another run of the configuration would not take again: a child's start, the ceilings, the memory pass.
    `apart`: the user's own methods ran in processes of their own.
    """

    found: list[Record]
    samples: list[Samples] = field(default_factory=list)
    environments: dict[str, Any] = field(default_factory=dict)
    once_s: float = 0.0
    apart: bool = True

    def rows(self, spec: Spec) -> list[Record]:
        """The table's rows: what was found, with the figures that follow from the samples."""
        rows = [with_figures(row, self.samples, spec.baseline, spec.measure) for row in self.found]
        for row in rows:
            if not self.apart and ":" in row["method"]:
                said = [row.pop(of("speed", way), None) for way in (CALL, *COLUMN_OF)]
                if any(said):
                    row.setdefault("reason", NOT_APART)
        return [record(row) for row in rows]


class Ceilings:
    """What is known of each device's ceilings, so that a run measures them once for each dtype and its switches."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, Switches], dict[str, float]] = {}

    def of(self, spec: Spec) -> dict[str, float]:
        return self._known.setdefault((spec.device, spec.dtype, spec.switches), {})


class Worker(Protocol):
    """What runs configurations, or some of their arms; `process` seeds the order of the samples, so that another pass
    has another order.

    `used`: it has run something since it was last made `fresh`, which a process that is to be another one must not be.
    `apart`: the user's own methods run in processes of their own.
    """

    used: bool
    apart: bool

    def run(self, spec: Spec, process: int = 0, arms: Sequence[str] | None = None) -> Measured: ...
    def fresh(self) -> None: ...
    def doing(self) -> str: ...
    def close(self) -> None: ...
