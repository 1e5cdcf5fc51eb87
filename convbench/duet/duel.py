"""One method in two environments: what is known of it so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..facts.record import Record
from ..facts.spec import Spec
from ..timing.samples import Samples
from .pair import NAMES


@dataclass(slots=True)
class Duel:
    """One method of a `configuration`: each side's row so far, and the samples of each pair of processes.

    `commits`: the columns of either side that say which commits its code is of.

    `spec` is the configuration as this method alone measures it, in one pair of processes.
    """

    configuration: Spec
    method: str
    rows: dict[str, Record] = field(default_factory=dict)
    parts: list[Samples] = field(default_factory=list)
    commits: dict[str, Record] = field(default_factory=dict)

    @property
    def spec(self) -> Spec:
        once = replace(self.configuration.measure, processes=1)
        return replace(self.configuration, methods=(self.method,), baseline=self.method, measure=once)

    @property
    def timeable(self) -> bool:
        return (
            self.configuration.measure.enabled
            and set(self.rows) == set(NAMES)
            and all(r["status"] == "ok" and r.get("accuracy") != "fail" for r in self.rows.values())
        )

    def arm(self, side: str) -> str:
        """`explicit@a`: the name of one side's row."""
        return f"{self.method}@{side}"

    def fail(self, status: str, reason: str, side: str | None) -> None:
        """Marks one side's row, or both; what was timed before is void."""
        self.parts.clear()
        known = {key: value for key, value in self.spec.columns().items() if value is not None}
        for name in NAMES if side is None else (side,):
            self.rows.setdefault(name, dict(known)).update(status=status, reason=reason)
