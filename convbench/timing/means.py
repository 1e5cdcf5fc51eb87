"""The mean of a call beside the time of its median part: what it costs to make many of them, seldom work included."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..facts.statistics import Interval, student_quantile
from .sample import Kept


def mean_columns(parts: Sequence[Kept], method: str, baseline: str) -> dict[str, Any]:
    """`mean_s`, `mean_speedup` and the ends of its interval, of the samples of each process; None where unknown."""
    mine = [_values(part, method) for part in parts]
    if not all(mine):
        return {}
    out: dict[str, Any] = {"mean_s": _mean([value for values in mine for value in values])}
    theirs = [_values(part, baseline) if baseline in part.arms else [] for part in parts]
    if method == baseline or not all(theirs):
        return out
    ratio = ratio_of_means(theirs[0], mine[0]) if len(parts) == 1 else ratio_of_means(*_of_each(theirs, mine))
    return out | {"mean_speedup": ratio.estimate, "mean_speedup_low": ratio.low, "mean_speedup_high": ratio.high}


def differing(row: Mapping[str, Any]) -> dict[str, Any]:
    """`mean_differs` of a row with the columns of both ratios: whether they are apart by more than noise and margin."""
    low, high, mean_low, mean_high = (
        row.get(f"{which}_{end}", None) for which in ("speedup", "mean_speedup") for end in ("low", "high")
    )
    if low is None or high is None or mean_low is None or mean_high is None:
        return {}
    apart = abs(math.log(row["mean_speedup"] / row["speedup"])) > math.log1p(row["margin"])
    return {"mean_differs": bool(apart and (mean_low > high or mean_high < low))}


def ratio_of_means(above: Sequence[float], below: Sequence[float]) -> Interval:
    """mean(above) / mean(below) of pairs, with the 95% interval of the delta method and Student's t.

    R ± t(n−1) · s / (√n · mean(below)), with s the standard deviation of above − R·below (Cochran, Sampling
    Techniques, §6.3). Work that is done more seldom than once in all samples is in neither.
    """
    n, ratio = len(above), _mean(above) / _mean(below)
    if n < 2:
        return Interval(ratio, None, None)
    rest = math.fsum((a - ratio * b) ** 2 for a, b in zip(above, below, strict=True)) / (n - 1)
    half = student_quantile(n - 1) * math.sqrt(rest / n) / _mean(below)
    return Interval(ratio, max(ratio - half, 0.0), ratio + half)


def _values(part: Kept, arm: str) -> list[float]:
    a = part.arms.index(arm)
    known = [row[a] for row in part.means]
    return [value for value in known if value is not None] if None not in known else []


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _of_each(*arms: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[_mean(values) for values in arm] for arm in arms]
