"""What of a configuration's methods is timed: their calls, then the same as a training step has it.

This is the child's side. Each way of timing has rounds of its own, with the baseline in every one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from statistics import median
from typing import Any

from .candidate import Candidate
from .devices import device_of
from .facts.measure import Measure
from .facts.spec import Spec
from .facts.timed_as import BACKWARD, CALL, DEVICE_TIME, WALL, WALL_TIME
from .measurement.meddling import Watch
from .measurement.problem import Problem
from .methods.in_training import empty_backward
from .timing import clocks
from .timing import rounds as timing
from .timing.samples import Samples
from .timing.turns import Turns

BATCHES, BATCH_CALLS = 15, 20
"""Of calls of autograd's engine alone, some 20 µs each: 6 ms, whose median leaves out what is disturbed."""


STILL_WARM = 0.2
"""Share of the warm-up that is enough where the same work has just been timed."""


@dataclass(slots=True)
class Phases:
    """Times `methods`, those that are right, on `made`. `spent`: as runner.Result has it."""

    spec: Spec
    methods: Sequence[Candidate]
    stage: timing.Stage
    process: int
    made: Problem
    spent: bool = False

    def run(self, clock: clocks.Clock) -> list[Samples]:
        """The samples of every way of timing, those of the calls first; none where no call could be timed."""
        spec, device = self.spec, device_of(self.spec.device)
        calls = self._timed(CALL, clock if spec.measure.time == DEVICE_TIME else None, spec.measure)
        if calls is None:
            return []
        found, again = [calls], self._again(calls)
        if not device.is_host:
            waited = calls.counters.get("time") == WALL_TIME
            wall = replace(calls, timed_as=WALL) if waited else self._timed(WALL, None, again)
            found += [] if wall is None else [wall]
        if spec.measure.backward and spec.in_backward:
            alike = all(m.timed_as(BACKWARD) == m.timed_as(CALL) for m in self.methods)
            used = replace(found[-1], timed_as=BACKWARD) if alike else self._timed(BACKWARD, None, again)
            found += [] if used is None else [self._with_engine(used)]
        failed = [method.name for method in self.methods if not method.timeable]
        return [left for samples in found if (left := samples.without(failed)) is not None]

    def _again(self, calls: Samples) -> Measure:
        """How what has just been timed is timed in another way: it is warm, and of `max_time_s` it has what the calls
        have left, or half of it."""
        measure = self.spec.measure
        return replace(
            measure,
            max_time_s=max(measure.max_time_s - float(calls.counters["sampling_s"]), measure.max_time_s / 2),
            warmup_s=measure.warmup_s * STILL_WARM,
            gpu_warmup_s=measure.gpu_warmup_s * STILL_WARM,
        )

    def _timed(self, timed_as: str, clock: clocks.Clock | None, measure: Measure) -> Samples | None:
        """Samples of all methods that can be timed so; one that fails meanwhile drops out and the rest start again."""
        spec = self.spec
        clock = device_of(spec.device).clock_of(measure, timed_as) if clock is None else clock
        if any(method.guest is not None for method in self.methods):
            clock = Turns(measure, clock)
        watch = Watch(())
        while arms := [arm for m in self.methods if (arm := m.timed_as(timed_as)) is not None]:
            try:
                samples = timing.measure(arms, spec.baseline, measure, clock, spec.seed, self.stage, self.process)
                return self._believed(replace(samples, timed_as=timed_as), watch)
            except timing.ArmFailed as failed:
                if not failed.name and len(arms) > 1:
                    raise  # any of them; who it is, each of them tells by itself
                for method in self.methods:
                    if method.timeable and failed.name in ("", method.name):
                        method.drop(failed.error, timed_as)
            finally:
                self.spent = self.spent or clock.conditions().get("cuda_graph_error") is not None
        return None

    def _believed(self, samples: Samples, watch: Watch) -> Samples | None:
        """The samples without those of methods that were not what was judged while they were timed."""
        changed = watch.said("timing")
        for method in self.methods:
            if method.name not in samples.arms:
                continue
            if method.guest is None:
                method.heed(changed)
                continue
            self.stage("", "timed results")
            method.believe(samples.timed_as)
        return samples.without([m.name for m in self.methods if m.timed_as(samples.timed_as) is None])

    def _with_engine(self, samples: Samples) -> Samples:
        """The samples, and beside them what autograd's engine takes for nothing."""
        self.stage("", "engine")
        engine_s = seconds_of(empty_backward(self.made))
        return replace(samples, counters={**samples.counters, "engine_s": engine_s})


def seconds_of(call: Callable[[], Any]) -> float:
    """Host seconds of a call that gives a device nothing to do: the median of BATCHES, the first one left out."""
    batches = []
    for _ in range(BATCHES + 1):
        begun = time.perf_counter()
        for _ in repeat(None, BATCH_CALLS):
            call()
        batches.append((time.perf_counter() - begun) / BATCH_CALLS)
    return median(batches[1:])
