"""Which kernels changed with a time: added to what a comparison says of a cell. Pure logic on rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..facts.kernels import changed
from ..facts.record import Record
from .result import CellKey, Finding, Judgement

OF_SPEED = frozenset({"slower", "faster", "drifted", "doubtful", "advisory", "cleared"})


def name_kernels(result: Judgement, base: Mapping[CellKey, Record]) -> Judgement:
    """The judgement in which a cell whose speed changed says which kernels did: `…; kernel a → b`.

    `base`: BASE's rows by cell.
    """

    def named(finding: Finding) -> Finding:
        if finding.kind not in OF_SPEED:
            return finding
        told = changed(base.get(finding.key, {}).get("kernels"), finding.row.get("kernels"))
        return finding if told is None else replace(finding, text=f"{finding.text}; {told}")

    return replace(
        result,
        failures=[named(f) for f in result.failures],
        doubtful=[named(f) for f in result.doubtful],
        advice=[named(f) for f in result.advice],
        improvements=[named(f) for f in result.improvements],
    )
