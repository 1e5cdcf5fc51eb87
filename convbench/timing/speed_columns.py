"""The table's speed columns, which follow from samples alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from ..facts.measure import Measure
from ..facts.statistics import Interval, median_interval, pairs_interval, processes_interval, speed_verdict
from ..facts.timed_as import DEVICE_TIME
from .conditions import CONDITIONS, OBSERVED, together
from .disturbance import stretch, widened
from .means import differing, mean_columns
from .modes import two_modes
from .samples import Samples, half_width, is_narrow, relative


def columns(samples: Samples, method: str, baseline: str, measure: Measure) -> dict[str, Any]:
    """The speed columns of one method's row, from the samples of one process.

    The baseline's own row has speedup 1 by definition, and neither an interval nor a verdict for it. Where the
    baseline was not timed (it failed), no row has a speedup.
    """
    out = _observed([samples], method, measure)
    time = median_interval(samples.of(method))
    out.update(_time_columns(time), samples=samples.rounds)
    out.update(mean_columns([samples], method, baseline))
    if method == baseline:
        return out | {"speedup": 1.0, "converged": samples.narrow(baseline)}
    if baseline not in samples.arms:
        return out | {"converged": is_narrow(relative(time), measure.half_width)}
    ratio = pairs_interval(samples.log_ratios(method, baseline), samples.ran_first(method, baseline))
    wide = widened(ratio, [stretch(samples, method, baseline)])
    converged = wide is None and is_narrow(samples.spread(method, baseline), measure.half_width)
    out.update(_ratio_columns(_exp(wide or ratio), measure.margin, wide is not None), converged=converged)
    return out | differing(out)


def combine(parts: Sequence[Samples], method: str, baseline: str, measure: Measure) -> dict[str, Any]:
    """The speed columns from several fresh processes, of which each counts with its median time and its ratio's centre.

    The intervals are statistics.processes_interval of these, on the log scale. They include what differs from process
    to process (memory layout), which no number of pairs within one process can show.
    """
    if len(parts) == 1:
        return columns(parts[0], method, baseline, measure)
    out = _observed(parts, method, measure)
    time = _exp(processes_interval([math.log(median(part.of(method))) for part in parts]))
    out.update(_time_columns(time), samples=sum(part.rounds for part in parts))
    out.update(mean_columns(parts, method, baseline))
    own = {"converged": is_narrow(relative(time), measure.half_width)}
    shared = set.intersection(*(set(part.arms) for part in parts))
    if baseline not in shared:
        return out | own
    if method == baseline:
        rows = [combine(parts, arm, baseline, measure) for arm in shared - {baseline}]
        return out | {"speedup": 1.0} | ({"converged": all(row["converged"] for row in rows)} if rows else own)
    ratio = processes_interval([part.centre(method, baseline) for part in parts])
    wide = widened(ratio, [stretch(part, method, baseline) for part in parts])
    converged = wide is None and is_narrow(half_width(ratio), measure.half_width)
    out.update(_ratio_columns(_exp(wide or ratio), measure.margin, wide is not None), converged=converged)
    return out | two_modes([part.log_ratios(method, baseline) for part in parts]) | differing(out)


def _time_columns(time: Interval) -> dict[str, Any]:
    return {"time_s": time.estimate, "time_low_s": time.low, "time_high_s": time.high}


def _ratio_columns(ratio: Interval, margin: float, disturbed: bool) -> dict[str, Any]:
    return {
        "speedup": ratio.estimate,
        "speedup_low": ratio.low,
        "speedup_high": ratio.high,
        "speed": speed_verdict(ratio.low, ratio.high, margin),
        "margin": margin,
        "disturbed": disturbed,
    }


def _observed(parts: Sequence[Samples], method: str, measure: Measure) -> dict[str, Any]:
    conditions = together([part.counters for part in parts])
    own = together([part.per_arm.get(method, {}) for part in parts])
    calls = sorted(row[part.arms.index(method)] for part in parts for row in part.calls)
    return {
        "processes": len(parts),
        "calls_per_sample": calls[len(calls) // 2],
        "time": conditions.get("time", DEVICE_TIME),
        "cache": conditions.get("cache", measure.cache),
        "cuda_graph": conditions.get("cuda_graph", False),
        **{key: conditions.get(key) for key in CONDITIONS},
        **{key: own.get(key) for key in OBSERVED},
    }


def _exp(interval: Interval) -> Interval:
    return Interval(*(None if v is None else math.exp(v) for v in interval))  # type: ignore[arg-type]
