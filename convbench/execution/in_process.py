"""Runs configurations in this very process, for debugging."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..failures.kept import FOLDER, keep_all
from .measured import Ceilings, Measured

FEW = 5
"""Up to so many processes the first alone may stand in for them, and the column `processes` says so."""


def check_isolation(isolation: str, spec: Spec) -> None:
    """Raises InvalidValue where a measurement for publication is to be taken in one process."""
    if isolation == "none" and spec.measure.passes > FEW:
        raise InvalidValue(
            "isolation",
            f"isolation=none runs everything in one process, and measure={spec.measure.name} takes "
            f"{spec.measure.processes} fresh ones; use isolation=process or measure=default",
        )


class InProcess:
    """Runs configurations in this process, for debugging: nothing is limited and nothing is survived.

    The user's own methods share the interpreter with their judge, and get no verdict on their speed.
    """

    used = apart = False

    def __init__(self, out: Path | None = None) -> None:
        self._ceilings = Ceilings()
        self._failures = None if out is None else out / FOLDER

    def doing(self) -> str:
        return ""

    def fresh(self) -> None:
        pass

    def run(self, spec: Spec, process: int = 0, arms: Sequence[str] | None = None) -> Measured:
        """Raises InvalidValue where the configuration is to be repeated in fresh processes."""
        from ..timing.rounds import ArmFailed

        check_isolation("none", spec)
        wanted = spec.arms if arms is None else arms
        try:
            return self._once(spec, wanted, process)
        except ArmFailed:  # one of them
            each = [self._once(spec, [arm], process) for arm in wanted]
            rows = [row for alone in each for row in alone.rows(spec)]
            return Measured(rows, [], each[0].environments, each[0].once_s, apart=False)

    def _once(self, spec: Spec, arms: Sequence[str], process: int) -> Measured:
        from ..runner import run
        from ..timing.rounds import unmarked

        result = run(spec, arms, unmarked, process, self._ceilings.of(spec))
        if self._failures is not None:
            keep_all(self._failures, result.records, result.failures, process)
        self._ceilings.of(spec).update(result.ceilings)
        environment = result.environment or {}
        told = {environment["environment_id"]: environment} if environment else {}
        return Measured(result.records, result.samples, told, result.once_s, apart=False)

    def close(self) -> None:
        pass
