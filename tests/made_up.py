"""Specs and rows made up for tests of what reads the table: nothing is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convbench.facts.record import Record, record
from convbench.facts.spec import Spec

from .settings import MEASURED, make_spec

METHODS = ("autograd", "explicit", "aten", "unfold")


def spec(
    methods: tuple[str, ...] = METHODS, labels: Mapping[str, str] | None = None, threads: int = 1, **keys: Any
) -> Spec:
    """The notebook's case with some keys changed."""
    return make_spec(**{**MEASURED, **keys}, methods=list(methods), threads=threads, labels=dict(labels or {}))


def row(of: Spec, method: str, **values: Any) -> Record:
    """One row, right and untimed unless `values` say otherwise."""
    usual = {"status": "ok"}
    if values.get("status", "ok") == "ok":
        usual |= {"accuracy": "ok", "bound_ratio": 0.25}
    return record({**of.columns(), "method": method, **usual, **values})


def timing(seconds: float, baseline_s: float, half_width: float = 0.01) -> dict[str, Any]:
    """The speed columns of a method that took `seconds`, with intervals of ± `half_width` of the value."""
    speedup = baseline_s / seconds
    low, high = speedup * (1 - half_width), speedup * (1 + half_width)
    decided = "faster" if low > 1.03 else "slower" if high < 1 / 1.03 else "inconclusive"
    return {
        "time_s": seconds,
        "time_low_s": seconds * (1 - half_width),
        "time_high_s": seconds * (1 + half_width),
        "speedup": speedup,
        "speedup_low": low,
        "speedup_high": high,
        "speed": decided,
        "samples": 20,
        "converged": half_width <= 0.01,
    }


def timed(of: Spec, seconds: Mapping[str, float], half_width: float = 0.01, **values: Any) -> list[Record]:
    """A row for each method of `of`, in the given times; the first method is the baseline."""
    base = seconds[of.baseline]
    return [row(of, m, **{**timing(seconds[m], base, half_width), **values}) for m in of.arms]


def skipped(of: Spec, reason: str, status: str = "skipped") -> list[Record]:
    return [row(of, m, status=status, reason=reason) for m in of.arms]
