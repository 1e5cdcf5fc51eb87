"""A control that needs no list of what may go wrong: the baseline alone, before and after, and beside other methods.

Whatever slows a baseline when another method is measured beside it, by whatever means, shows in its time. The machine
changes from second to second as well, so that a difference counts only against both: the baseline before the other
method was ever called, and the baseline when nothing of that method is left. What other processes of the machine take
is no method's doing: samples that they interrupted tell by their CPU time, and a machine that was slower at a fixed
piece of work of its own by that much less.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ..facts.measure import Measure
from ..facts.statistics import median_interval
from .sample_size import undisturbed
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


BUSY, OFTEN = 0.5, 0.25
"""What it may take longer where more than this share of the samples was interrupted: after every turn of another
process the caches are that one's, which is CPU time. At six processes per core an honest method's baseline took 1.1
times as long."""


class Seen(NamedTuple):
    """Seconds per call of the baseline, seconds of the clock's fixed piece of work meanwhile, where it has one, and
    whether other processes interrupted it often."""

    times: list[float]
    control_s: float | None = None
    busy: bool = False


NOTHING = Seen([])


def seen(samples: Samples, baseline: str, threads: int) -> Seen:
    """What the baseline took in its samples, without what others took of the core.

    Of `threads` on a busy core not even the CPU time tells, as they wait for each other: what was interrupted is left
    out.
    """
    a = samples.arms.index(baseline)
    times, interrupted = [], 0
    for row, time_s in enumerate(samples.of(baseline)):
        cpu_s = samples.cpu[row][a] if samples.cpu else None
        switches = samples.switches[row][a] if samples.switches else None
        interrupted += bool(switches)
        if switches and (threads > 1 or cpu_s is None):
            continue
        times.append(undisturbed(time_s, cpu_s, switches))
    return Seen(times, samples.counters.get("control_s"), interrupted > OFTEN * samples.rounds)


def in_rounds(samples: Samples, baseline: str, threads: int) -> Seen:
    """The same of rounds, without what finding its code again may have taken."""
    calls = samples.calls[0][samples.arms.index(baseline)] if samples.calls else 1
    found = seen(samples, baseline, threads)
    return found._replace(times=[t - COLD_S / calls for t in found.times])


def slowed(without: Seen, beside: Seen, margin: float) -> float | None:
    """How many times as long the baseline took beside others as without them; None where that is within the margin.

    The lower end of the interval of its median beside them over the upper end of that without them: what is said of
    a method is less than what is seen. Of that the machine's own share is taken, where it was slower.
    """
    if not without.times or not beside.times:
        return None
    low, high = median_interval(beside.times).low, median_interval(without.times).high
    if low is None or high is None:
        return None
    known = without.control_s and beside.control_s
    machine = max(1.0, (beside.control_s or 1.0) / (without.control_s or 1.0)) if known else 1.0
    ratio = low / high / machine
    allowed = BUSY if without.busy or beside.busy else COLD
    return ratio if ratio > 1 + max(margin, allowed) else None
