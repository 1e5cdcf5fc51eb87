"""Tries at a known answer, on this machine: a method against itself and against itself slowed down by calls counted.

This is the measuring side of `validate` and needs torch; what the tries mean is in `trust`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.benchmark import Timer

from ..devices import device_of
from ..devices.device import Device
from ..facts.measure import Measure
from ..facts.spec import Switches
from ..facts.statistics import Interval
from ..measurement.switches import switched
from ..timing import rounds as timing
from ..timing.clocks import Arm, Call
from ..timing.samples import Samples
from ..timing.speed_columns import columns
from . import planted
from .evidence import Planted, Proof, Try
from .slowed_clock import SlowedClock, extra_calls
from .trust import not_asked, timer_agrees

ARMS = ("a", "again", "slowed")

LARGEST_BATCH = 2**14
"""Of the canary: 11 GiB of operands on a GPU, where no doubling makes it long enough."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Where and how the tries are made."""

    device: str
    threads: int
    measure: Measure
    seed: int


FEWEST_CALLS = 44
"""Calls in a sample at least: 5% of them, rounded to whole calls, are then about 4% to 6%, even where the time of one
call was taken a fifth too short or too long."""

QUICK_S = 0.02
"""How long the canary is timed for its batch: a factor of two is all that it is about."""

ONE_CALL_S = 0.1
"""How long the time of one call is taken beforehand: a hundred calls of the GPU's case on a slow device."""

SEVERAL = 10
"""Samples of as many calls by which a device's clock tells the time of one: that of the fastest, as elsewhere."""


def tries(setup: Setup, budget_s: float) -> Iterator[Try]:
    """Tries until the next would end after `budget_s`; at least one. Raises timing.ArmFailed."""
    end = time.perf_counter() + budget_s
    with switched(Switches(threads=setup.threads), setup.device):
        long = workload(setup)
        asked_s = device_of(setup.device).clock(setup.measure).sample_s
        call = fitting(setup, long, asked_s / FEWEST_CALLS)
        sample_s = max(asked_s, FEWEST_CALLS * _call_s(setup, call))
        unlike = Unlike(setup) if device_of(setup.device).is_host else None
        if sample_s > asked_s:
            setup = replace(setup, measure=replace(setup.measure, sample_s=sample_s, gpu_sample_s=sample_s))
        longest, number = 0.0, 0
        while number == 0 or time.perf_counter() + longest <= end:
            begun = time.perf_counter()
            one = _try(replace(setup, seed=setup.seed + number), call, long)
            other = unlike.measured(number) if unlike is not None else None
            yield replace(one, sample_s=sample_s, asked_s=asked_s, number=number, planted=other)
            longest, number = max(longest, time.perf_counter() - begun), number + 1


def workload(setup: Setup) -> Call:
    """One convolution of random data under inference mode, on tensors that stay the same: the device's canary, with a
    batch that makes it long enough there that launching it is not what is timed."""
    device = device_of(setup.device)
    batch = device.work.canary[0]
    while True:
        call = _convolution(device, batch)
        if device.work.canary_s == 0 or batch >= LARGEST_BATCH or _timer(setup, call, QUICK_S) >= device.work.canary_s:
            return call
        batch *= 2


def fitting(setup: Setup, long: Call, most_s: float) -> Call:
    """The same convolution with the largest batch (doubled from one image) of which a call takes `most_s` at most, or
    with one image where that takes longer; `long` where the host is the device, whose calls are short."""
    device = device_of(setup.device)
    if device.is_host:
        return long
    batch = 1
    call = _convolution(device, batch)
    while batch < LARGEST_BATCH and 2 * _call_s(setup, call) <= most_s:
        batch *= 2
        call = _convolution(device, batch)
    return call


def _call_s(setup: Setup, call: Call) -> float:
    """Seconds of one call, about: by the Timer, or where that would wait for the device, by the device's own clock."""
    device = device_of(setup.device)
    if device.is_host:
        return _timer(setup, call, ONE_CALL_S)
    clock = device.clock(setup.measure)
    with clock.context(), torch.inference_mode():
        clock.ready([])
        fastest = math.inf
        for _ in range(SEVERAL):
            clock.submit(call, SEVERAL)
            fastest = min(fastest, clock.drain()[0].seconds)
    return fastest


def _convolution(device: Device, batch: int) -> Call:
    _, channels, size, out, kernel = device.work.canary
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, size, size, generator=generator).to(device.placed)
    w = torch.randn(out, channels, kernel, kernel, generator=generator).to(device.placed)
    return lambda: F.conv2d(x, w)


DO_BENCH = "triton's do_bench"


def do_bench(setup: Setup) -> Proof | None:
    """triton's do_bench beside our clock with cold caches, which is how it measures; None where triton has no say."""
    if not device_of(setup.device).has_triton:
        return None
    try:
        from triton import testing
    except ImportError:
        return not_asked(DO_BENCH, "triton is not installed")
    cold = replace(setup, measure=replace(setup.measure, cache="cold"))
    with switched(Switches(threads=setup.threads), setup.device):
        call = workload(setup)
        own_s = _time_s(cold, call)
        try:
            with device_of(setup.device).context(), torch.inference_mode():
                their_s = testing.do_bench(call, return_mode="median") * 1e-3
        except Exception as error:  # triton compiles its driver's interface with a C compiler, which may be missing
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return not_asked(DO_BENCH, f"triton cannot run here ({said[:150]})")
    return timer_agrees(DO_BENCH, own_s, their_s)


def _try(setup: Setup, call: Call, long: Call) -> Try:
    """One; `long` is what the Timer times, and this clock beside it where it is another call."""
    # Three callables of the same code: the clock knows them apart by identity.
    calls = {name: _wrapped(call) for name in ARMS}
    samples = _samples(setup, calls)
    a = ARMS.index("slowed")
    counted = samples.calls[0][a]
    rows = {name: columns(samples, name, "a", setup.measure) for name in ARMS}
    pair_s = samples.counters["elapsed_s"] * 2 / len(ARMS)
    begun = time.perf_counter()
    rival = (_timer(setup, long, pair_s / 2), _timer(setup, long, pair_s / 2))
    rival_pair_s = time.perf_counter() - begun
    return Try(
        same=_interval(rows["again"]),
        slowed=_interval(rows["slowed"]),
        figures=(_figure(samples, "again"), _figure(samples, "slowed")),
        truth=counted / (counted + extra_calls(counted)),
        converged=rows["again"]["converged"] and rows["slowed"]["converged"],
        own_s=rows["a"]["time_s"] if long is call else _time_s(_briefly(setup), long),
        rival_s=rival,
        pair_s=pair_s,
        rival_pair_s=rival_pair_s,
        timed_share=samples.measured_s / samples.counters["elapsed_s"],
        own_share=rows["a"]["cpus"] if setup.threads == 1 else None,
    )


class Unlike:
    """Measures calls that are not alike; the calls are made once."""

    def __init__(self, setup: Setup) -> None:
        measure = replace(setup.measure, looks=setup.measure.looks[: planted.LOOKS])
        self._setup, self._device = replace(setup, measure=measure), device_of(setup.device)
        self._calls: dict[float, Call] = {}
        self._emptying = planted.emptying()

    def measured(self, number: int) -> Planted:
        """One call against itself and against many, of a kernel and a count that depend on the number of the try."""
        setup, plan = self._setup, planted.PLANS[number % len(planted.PLANS)]
        if plan.call_s not in self._calls:
            self._calls[plan.call_s] = planted.lengthened(lambda batch: _convolution(self._device, batch), plan.call_s)
        call = self._calls[plan.call_s]
        calls = {"a": planted.times(call, 1), "again": planted.times(call, 1), "several": planted.times(call, plan.k)}
        samples = _samples(setup, calls)
        rows = {name: columns(samples, name, "a", setup.measure) for name in calls}
        return Planted(
            call_s=rows["a"]["time_s"],
            k=plan.k,
            same=_interval(rows["again"]),
            several=_interval(rows["several"]),
            figure=_figure(samples, "several"),
            disturbed=bool(rows["several"]["disturbed"]),
            beside_s=self._beside_s(calls["a"]) if number < planted.BESIDE_TRIES else None,
        )

    def _beside_s(self, call: Call) -> float:
        """Seconds of a call in turns with what empties the caches."""
        few = replace(self._setup.measure, looks=(planted.BESIDE_PAIRS,), min_time_s=0.0)
        samples = _samples(replace(self._setup, measure=few), {"a": call, "emptying": self._emptying})
        return float(columns(samples, "a", "a", few)["time_s"])


def _samples(setup: Setup, calls: dict[str, Call]) -> Samples:
    arms = [Arm(name, call, torch.inference_mode) for name, call in calls.items()]
    clock = device_of(setup.device).clock(setup.measure)
    slowed = SlowedClock(clock, calls["slowed"]) if "slowed" in calls else clock
    with clock.context():
        return timing.measure(arms, "a", setup.measure, slowed, setup.seed, timing.unmarked)


def _briefly(setup: Setup) -> Setup:
    """For a device that is warm already."""
    brief = replace(setup.measure, gpu_warmup_s=ONE_CALL_S, looks=setup.measure.looks[:1], min_time_s=0.0)
    return replace(setup, measure=brief)


def _time_s(setup: Setup, call: Call) -> float:
    """Of one call, by the device's clock."""
    return float(columns(_samples(setup, {"a": call}), "a", "a", setup.measure)["time_s"])


def _wrapped(call: Call) -> Call:
    def same() -> Any:
        return call()

    return same


def _timer(setup: Setup, call: Call, seconds: float) -> float:
    """Seconds per call by torch's Timer, in about `seconds`."""
    # The Timer waits for the current device, which is the first one unless told.
    with device_of(setup.device).context(), torch.inference_mode():
        timer = Timer("call()", globals={"call": _wrapped(call)}, num_threads=setup.threads)
        return float(timer.blocked_autorange(min_run_time=seconds).median)


def _interval(row: dict[str, Any]) -> Interval:
    return Interval(row["speedup"], row["speedup_low"], row["speedup_high"])


def _figure(samples: Samples, name: str) -> float:
    return math.exp(samples.centre(name, "a"))
