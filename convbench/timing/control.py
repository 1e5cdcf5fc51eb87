"""A control that needs no list of what may go wrong: the baseline alone, before and after, and beside other methods.

Whatever slows a baseline when another method is measured beside it, by whatever means, shows in its time. The machine
changes from second to second as well, so that a difference counts only against both: the baseline before the other
method was ever called, and the baseline when nothing of that method is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..facts.spec import Measure
from ..facts.statistics import median_interval
from .samples import Samples

SAMPLES = 12
"""Of the baseline alone. The interval of their median ends at the tenth, so that two disturbed ones do no harm."""

COLD, COLD_S = 0.1, 1e-4
"""What a sample may take longer after another process's turn, which has left the caches full of its own: this share for
data, and this much for code. Without the second, samples of 0.1 ms took 1.2 times as long beside an honest method."""

SHARE, WARM = 0.3, 0.1
"""Of a sample's length and of the warm-up: twelve samples of 3 ms and 10 ms before them are little beside the second
or two that a configuration with the user's own methods takes."""


def alone(measure: Measure) -> Measure:
    """How the baseline is measured by itself."""
    return replace(
        measure,
        looks=(SAMPLES,),
        min_time_s=0.0,
        cuda_graph=False,
        sample_s=measure.sample_s * SHARE,
        gpu_sample_s=measure.gpu_sample_s * SHARE,
        warmup_s=measure.warmup_s * WARM,
        gpu_warmup_s=measure.gpu_warmup_s * WARM,
    )


def in_rounds(samples: Samples, baseline: str) -> list[float]:
    """Times of the baseline in the rounds, without what finding its code again may have taken."""
    a = samples.arms.index(baseline)
    return [t - COLD_S / calls[a] for t, calls in zip(samples.of(baseline), samples.calls, strict=True)]


def slowed(without: Sequence[float], beside: Sequence[float], margin: float) -> float | None:
    """How many times as long the baseline took beside others as without them; None where that is within the margin.

    The lower end of the interval of its median beside them over the upper end of that without them: what is said of
    a method is less than what is seen.
    """
    if not without or not beside:
        return None
    low, high = median_interval(beside).low, median_interval(without).high
    if low is None or high is None:
        return None
    ratio = low / high
    return ratio if ratio > 1 + max(margin, COLD) else None
