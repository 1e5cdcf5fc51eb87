"""The table's figures of one method, from its samples: the one place where times, ratios and rates become columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..facts.rates import Work
from ..facts.spec import Measure
from .samples import Samples, combine


def figures(parts: Sequence[Samples], method: str, baseline: str, measure: Measure, work: Work) -> dict[str, Any]:
    """The speed columns and the rates of one row, from the samples of one process or of several, one Samples each.

    The passes of one process (the visits under a time budget) are one Samples: merge them first.
    """
    found = combine(parts, method, baseline, measure)
    return {**found, **work.rates(found["time_s"]), **work.verdict(found)}
