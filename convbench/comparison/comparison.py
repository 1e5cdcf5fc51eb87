"""A judgement with what it takes to show it, and in which words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..facts.record import Record
from ..facts.units import count, share
from .environments import Environments
from .result import CellKey, Finding, Judgement, Policy
from .speed import ENOUGH_TIMES

WORDS = {
    "regression": "REGRESSION",
    "nothing": "NOTHING TO COMPARE",
    "untrusted": "INCONCLUSIVE (too noisy)",
    "elsewhere": "INCONCLUSIVE (another environment)",
    "unexplained": "INCONCLUSIVE (all times changed)",
    "first": "nothing to compare with yet",
    "good": "no regression",
}

TITLES = {
    "vanished": "vanished",
    "unmeasured": "no longer measured",
    "accuracy": "less accurate",
    "impossible": "impossible",
    "untimed": "no longer timed",
    "slower": "slower",
    "drifted": "slower over the nights",
    "doubtful": "in doubt",
    "advisory": "advisory",
    "cleared": "cleared by a second measurement",
    "faster": "faster",
    "better": "better",
}


@dataclass(frozen=True)
class Comparison:
    """A judgement with what it takes to show it.

    `names`: config_id → the configuration's name for people. `paired`: BASE and NEW are two sides that were measured in
    alternating pairs, not two runs. `environments`: those of two runs. `schemas`: a note where their tables' versions
    differ.
    """

    base: str
    new: str
    judgement: Judgement
    policy: Policy
    names: Mapping[str, str]
    paired: bool = False
    environments: Environments = field(default_factory=Environments)
    schemas: Sequence[str] = ()

    @property
    def notes(self) -> list[str]:
        """What is to be said beside the findings."""
        return [*self.judgement.notes, *self.environments.notes, *self.schemas]

    def name(self, row: Record) -> str:
        return self.names.get(row["config_id"], row["config_id"])

    def method(self, key: CellKey) -> str:
        """The method's name, with its baseline where it has a cell for more than one."""
        several = self._cells[key.config_id, key.method] > 1
        return f"{key.method} against {key.baseline}" if several else key.method

    @cached_property
    def _cells(self) -> Counter[tuple[str, str]]:
        return Counter((key.config_id, key.method) for key in self.judgement.rows)

    @property
    def summary(self) -> str:
        """What was compared and what came of it, in one or two sentences."""
        j = self.judgement
        if j.verdict in ("first", "nothing"):
            return j.no_base or " ".join(j.absent.values()) or self._nothing
        both = "on both sides" if self.paired else "in both runs"
        parts = [f"{count(j.cells, 'cell')} {both}, {j.timed} of them compared by speed"]
        worse = [*j.failures, *j.doubtful]
        failed = [f"{sum(f.kind == kind for f in worse)} {TITLES[kind]}" for kind in kinds(worse)]
        parts.append(", ".join(failed) or "nothing worse")
        parts.append(f"{len(j.improvements)} better or faster, {len(j.fresh)} new")
        text = "; ".join(parts) + "."
        if j.resolution is not None and math.isfinite(j.resolution):
            text += (
                f" Sensitivity: slowdowns of {share(j.resolution - 1)} would have been detected in half of the cells."
            )
        elif j.resolution is not None:
            text += " Half of the speedups have no interval to compare."
        if j.coarse:
            worst = max(j.resolutions[method] for method in j.coarse)
            least = "none" if math.isinf(worst) else f"none below {share(worst - 1)}"
            text += (
                f" For {' and '.join(j.coarse)}, {least} would have been detected in half of the cells, which is too "
                "coarse to judge by: measure longer (measure=rigorous) or on a quieter machine."
            )
        if j.unexplained:
            text += f" {j.unexplained[0].upper()}{j.unexplained[1:]}; `duet` measures both sides at once and can tell."
        if j.drifted:
            text += (
                f" {count(j.drifted, 'time')} that no ratio covers became longer in another environment, and none "
                "shorter: a baseline that is slower there would look like this."
            )
        return text

    @property
    def _nothing(self) -> str:
        j = self.judgement
        if not j.cells:
            return f"{self.base} and {self.new} have no cell (configuration and method) in common."
        if not j.measured:
            return f"No cell is ok in both {self.base} and {self.new}, so that nothing was compared."
        if self.paired:
            return f"Of {count(j.asked, 'cell')} with times none has an interval: the measurement was interrupted."
        return (
            f"{self.base} has times of {count(j.asked, 'cell')}, and none could be compared: a ratio needs a method "
            f"beside the baseline, and absolute times need {ENOUGH_TIMES} cells of one environment; --accuracy-only "
            "compares without times."
        )


def kinds(findings: Sequence[Finding]) -> list[str]:
    return [kind for kind in TITLES if any(f.kind == kind for f in findings)]


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """By kind as in TITLES, the largest changes first."""
    order = list(TITLES)
    return sorted(findings, key=lambda f: (order.index(f.kind), -abs(f.change.log) if f.change else 0.0))


def listed(judgement: Judgement) -> list[Finding]:
    groups = (judgement.failures, judgement.doubtful, judgement.advice, judgement.improvements)
    return [finding for group in groups for finding in in_order(group)]
