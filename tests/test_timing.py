"""The sampling logic on a clock that passes time as told: nothing here depends on the machine."""

from __future__ import annotations

import gc
import json
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convbench.facts import statistics
from convbench.facts.configuration_key import ConfigurationKey
from convbench.facts.measure import Measure
from convbench.timing import rounds as timing
from convbench.timing.clocks import Arm, Call, Reading
from convbench.timing.conditions import CONDITIONS, OBSERVED
from convbench.timing.rounds import ArmFailed
from convbench.timing.samples import Samples
from convbench.timing.speed_columns import columns, combine
from convbench.timing.turns import Elsewhere, Turns

from .fake_clock import FakeClock

DEFAULT = Measure(
    looks=(20, 30, 40, 60, 80, 120, 200), half_width=0.01, min_time_s=0.0, max_time_s=20.0, warmup_s=0.0, processes=1
)
"""A process of many pairs, in which the rule for stopping has the most to do."""
RUNS = 200


def silent(method: str, phase: str) -> None:
    """A stage marker that marks nothing."""


class Named:
    """A call that a cost model can tell from the others."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> None:
        raise AssertionError("the fake clock does not call anything")


def arms(*names: str) -> list[Arm]:
    return [Arm(name, Named(name)) for name in names]


Noise = Callable[[np.random.Generator], Iterator[float]]
"""Makes an endless stream of the log of the disturbance of one sample after the other, in time order."""


def _blocks(draw: Callable[[int], Any]) -> Iterator[float]:
    while True:
        yield from draw(512).tolist()


def gaussian(scale: float) -> Noise:
    return lambda rng: _blocks(lambda n: rng.normal(0, scale, n))


def spikes(rng: np.random.Generator) -> Iterator[float]:
    """One sample in five takes up to four times as long, the rest scatter by 1%."""
    return _blocks(lambda n: rng.normal(0, 0.01, n) + (rng.random(n) < 0.2) * rng.uniform(0, 1.4, n))


def regimes(rng: np.random.Generator) -> Iterator[float]:
    """The machine is 30% slower for stretches of some samples, as when a neighbour comes and goes."""
    slow = False
    while True:
        slow ^= bool(rng.random() < 0.15)
        yield (0.26 if slow else 0.0) + float(rng.normal(0, 0.008))


def drift(rng: np.random.Generator) -> Iterator[float]:
    """The machine becomes slower by 0.2% with every sample."""
    level = 0.0
    while True:
        level += 0.002
        yield level + float(rng.normal(0, 0.01))


def order_effect(rng: np.random.Generator) -> Iterator[float]:
    """The first sample of each pair takes 4% longer (the warm-up here takes an even number of samples)."""
    while True:
        yield 0.04 + float(rng.normal(0, 0.005))
        yield float(rng.normal(0, 0.005))


NOISES: dict[str, Noise] = {
    "quiet": gaussian(0.002),
    "normal": gaussian(0.016),
    "loud": gaussian(0.08),
    "spikes": spikes,
    "regimes": regimes,
    "drift": drift,
    "order": order_effect,
}


def run(
    noise: Noise, seed: int, slowdown: float = 1.0, measure: Measure = DEFAULT, names: str = "ab", baseline: str = "a"
) -> Samples:
    """One simulated configuration; every arm but `a` takes `slowdown` times as long as it."""
    stream = noise(np.random.default_rng(seed))

    def cost(call: Call, calls: int, now: float) -> float:
        assert isinstance(call, Named)
        return 0.001 * calls * (1.0 if call.name == "a" else slowdown) * math.exp(next(stream))

    return timing.measure(arms(*names), baseline, measure, FakeClock(cost, measure), seed, silent)


LONG = {"loud", "order"}
"""Most of their runs go on to the last look."""


@pytest.mark.parametrize(
    "noise", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in NOISES]
)
def test_same_method_is_told_apart_in_at_most_one_run_in_twenty(noise):
    rows = [columns(run(NOISES[noise], seed), "b", "a", DEFAULT) for seed in range(RUNS)]
    misses = sum(not row["speedup_low"] <= 1 <= row["speedup_high"] for row in rows)
    # 200 runs that err 5% of the time show more than 18 errors less than once in a hundred times.
    assert statistics.binomial_tail(misses, RUNS, 0.05) > 0.01
    assert sum(row["speed"] in ("faster", "slower") for row in rows) <= 1


@pytest.mark.parametrize("noise", NOISES)
def test_interval_covers_an_exact_slowdown(noise):
    truth, rows = 1 / 1.05, []
    for seed in range(RUNS // 2):
        rows.append(columns(run(NOISES[noise], seed, slowdown=1.05), "b", "a", DEFAULT))
    misses = sum(not row["speedup_low"] <= truth <= row["speedup_high"] for row in rows)
    assert statistics.binomial_tail(misses, len(rows), 0.05) > 0.01
    if noise in ("quiet", "normal"):
        assert np.mean([row["speed"] == "slower" for row in rows]) >= 0.95
    assert not any(row["speed"] == "faster" for row in rows)


def test_several_methods_are_each_paired_with_the_baseline_of_their_round():
    misses = 0
    for seed in range(RUNS // 2):
        samples = run(regimes, seed, slowdown=1.2, names="abc")
        for method in "bc":
            row = columns(samples, method, "a", DEFAULT)
            misses += not row["speedup_low"] <= 1 / 1.2 <= row["speedup_high"]
    assert statistics.binomial_tail(misses, RUNS, 0.05) > 0.01


@given(st.integers(0, 10_000), st.sampled_from(sorted(NOISES)), st.sampled_from([1.0, 1.02, 1.3, 4.0]))
@settings(max_examples=60)
def test_stopping_does_not_depend_on_which_arm_is_ahead(seed, noise, slowdown):
    """Exchanging the arms' times in every round changes the sign of every difference and nothing else."""
    samples = run(NOISES[noise], seed, slowdown)
    for look in DEFAULT.looks:
        if look > samples.rounds:
            break
        seen = replace(samples, times=samples.times[:look], order=samples.order[:look])
        swapped = replace(
            seen, times=[row[::-1] for row in seen.times], order=[[1 - a for a in row] for row in seen.order]
        )
        assert seen.narrow("a") == swapped.narrow("a")
        first, second = (s.spread("b", "a") for s in (seen, swapped))
        assert first == pytest.approx(second)


@given(st.integers(0, 10_000), st.sampled_from(sorted(NOISES)), st.sampled_from([1.0, 1.02, 1.3, 4.0]))
@settings(max_examples=40)
def test_the_same_machine_is_sampled_as_long_whichever_arm_is_the_baseline(seed, noise, slowdown):
    samples, turned = (run(NOISES[noise], seed, slowdown, baseline=baseline) for baseline in "ab")
    assert samples.times == turned.times
    assert samples.log_ratios("b", "a") == [-d for d in turned.log_ratios("a", "b")]


def test_the_widest_ratio_decides():
    stream = np.random.default_rng(0)

    def cost(call: Call, calls: int, now: float) -> float:
        assert isinstance(call, Named)
        return 0.001 * calls * math.exp(float(stream.normal(0, {"a": 0.001, "b": 0.001, "c": 0.2}[call.name])))

    samples = timing.measure(arms("a", "b", "c"), "a", DEFAULT, FakeClock(cost, DEFAULT), 0, silent)
    assert samples.counters["stopped"] == "pairs"
    assert samples.widest("a") == samples.spread("c", "a")
    assert columns(samples, "b", "a", DEFAULT)["converged"] is True
    assert columns(samples, "c", "a", DEFAULT)["converged"] is False
    few = replace(samples, times=samples.times[:5], order=samples.order[:5])
    assert few.widest("a") is None


@pytest.mark.parametrize("slowdown", [1.0, 1.05, 2.0])
def test_a_quiet_run_stops_at_the_first_look_whatever_the_difference(slowdown):
    samples = run(gaussian(0.001), 0, slowdown)
    assert samples.rounds == DEFAULT.looks[0]
    assert samples.counters["stopped"] == "narrow"
    assert columns(samples, "b", "a", DEFAULT)["converged"] is True


def test_a_loud_run_ends_at_the_last_look_unconverged():
    samples = run(gaussian(0.2), 0)
    assert samples.rounds == DEFAULT.looks[-1]
    assert samples.counters["stopped"] == "pairs"
    row = columns(samples, "b", "a", DEFAULT)
    assert row["converged"] is False
    assert row["speed"] == "inconclusive"


def test_enough_time_is_measured_even_where_the_first_look_is_narrow():
    samples = run(gaussian(0.0), 0, measure=replace(DEFAULT, min_time_s=0.9))
    # 30 pairs take 0.6 s and 40 take 0.8 s, so the first look after 0.9 s is the one at 60.
    assert samples.rounds == 60


def test_time_limit_ends_sampling_between_two_rounds():
    measure = replace(DEFAULT, max_time_s=20.0)
    clock = FakeClock(lambda call, calls, now: 1.5 * calls, measure)
    samples = timing.measure(arms("a", "b"), "a", measure, clock, 0, silent)
    assert samples.rounds == 7
    assert samples.counters["stopped"] == "time"
    assert samples.calls[0] == [1, 1]
    row = columns(samples, "b", "a", measure)
    assert row["speedup_low"] == row["speedup_high"] == 1.0


def test_too_few_rounds_have_a_median_and_no_interval():
    measure = replace(DEFAULT, max_time_s=20.0)
    clock = FakeClock(lambda call, calls, now: 6.0, measure)
    row = columns(timing.measure(arms("a", "b"), "a", measure, clock, 0, silent), "b", "a", measure)
    assert row["samples"] == 2
    assert row["speedup"] == 1.0
    assert row["speedup_low"] is None
    assert row["time_low_s"] is None
    assert row["speed"] == "inconclusive"
    assert row["converged"] is False


@pytest.mark.parametrize("seconds,calls", [(0.02, 1), (0.01, 1), (0.008, 3), (0.001, 10), (3e-5, 334), (1e-7, 100_000)])
def test_a_sample_holds_ten_milliseconds_or_one_call(seconds, calls):
    clock = FakeClock(lambda call, n, now: seconds * n, DEFAULT)
    samples = timing.measure(arms("a", "b"), "a", replace(DEFAULT, warmup_s=0.1), clock, 0, silent)
    assert samples.calls[0] == [calls, calls]
    assert columns(samples, "b", "a", DEFAULT)["calls_per_sample"] == calls


@pytest.mark.parametrize("seconds", [1e-5, 0.003, 0.5])
def test_warm_up_calls_every_arm_alternately_and_long_enough(seconds):
    taken: list[tuple[str, int]] = []

    def cost(call: Call, calls: int, now: float) -> float:
        assert isinstance(call, Named)
        taken.append((call.name, calls))
        return seconds * calls

    measure = replace(DEFAULT, warmup_s=0.1, max_time_s=1000.0)
    samples = timing.measure(arms("a", "b", "c"), "a", measure, FakeClock(cost, measure), 0, silent)
    warm = taken[: len(taken) - 3 * samples.rounds]
    assert [name for name, _ in warm] == ["a", "b", "c"] * (len(warm) // 3)
    assert len(warm) // 3 >= measure.warmup_calls
    assert sum(n for _, n in warm) * seconds == pytest.approx(samples.counters["warmup_s"])
    assert 0.1 <= samples.counters["warmup_s"] <= max(0.15, 9 * seconds)


def test_warm_up_of_calls_that_take_minutes_is_two_calls_each():
    measure = replace(DEFAULT, max_time_s=20.0)
    clock = FakeClock(lambda call, calls, now: 60.0, measure)
    samples = timing.measure(arms("a", "b"), "a", measure, clock, 0, silent)
    assert samples.counters["warmup_s"] == 240.0
    assert samples.rounds == 1


def test_first_call_that_compiles_does_not_decide_how_many_fill_a_sample():
    """It takes five seconds of the three that there are; every call after it takes a microsecond."""
    measure = replace(DEFAULT, max_time_s=3.0, sample_s=0.01)
    seen: set[str] = set()

    def cost(call: Call, calls: int, now: float) -> float:
        assert isinstance(call, Named)
        first = call.name == "b" and call.name not in seen
        seen.add(call.name)
        return calls * 1e-6 + 5.0 * first

    samples = timing.measure(arms("a", "b"), "a", measure, FakeClock(cost, measure), 0, silent)
    assert samples.calls[0] == [10_000, 10_000]


def test_order_is_drawn_anew_each_round_from_the_seed_and_the_process():
    def order(seed: int, process: int) -> list[list[int]]:
        clock = FakeClock(lambda call, calls, now: 0.01, DEFAULT)
        measure = replace(DEFAULT, looks=(200,))
        return timing.measure(arms("a", "b", "c"), "a", measure, clock, seed, silent, process).order

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(2, 0)
    assert order(1, 0) != order(1, 1)
    # Six orders, each expected 33 times in 200 with a standard deviation of 5.3.
    counts = [order(1, 0).count(list(o)) for o in {tuple(o) for o in order(1, 0)}]
    assert len(counts) == 6
    assert max(abs(c - 200 / 6) for c in counts) < 20


def test_stage_names_the_arm_before_each_of_its_samples():
    events: list[str] = []

    def cost(call: Call, calls: int, now: float) -> float:
        assert isinstance(call, Named)
        assert events[-1] == call.name
        events.append("sample")
        return 0.01

    clock = FakeClock(cost, DEFAULT)
    timing.measure(arms("a", "b"), "a", DEFAULT, clock, 0, lambda method, phase: events.append(method))
    # After the samples each arm is marked once more, for the times that some devices' hosts have of their own.
    assert events.count("sample") == events.count("a") + events.count("b") - 2


def test_every_sample_of_an_arm_runs_under_its_context():
    inside: list[str] = []

    @contextmanager
    def entered(name: str) -> Iterator[None]:
        inside.append(name)
        yield
        inside.pop()

    def cost(call: Call, calls: int, now: float) -> float:
        assert isinstance(call, Named)
        assert inside == [call.name]
        return 0.01

    named = [Arm(name, Named(name), lambda name=name: entered(name)) for name in "ab"]  # type: ignore[misc]
    timing.measure(named, "a", DEFAULT, FakeClock(cost, DEFAULT), 0, silent)
    assert inside == []


def test_without_its_baseline_every_method_is_timed_alone():
    clock_noise = _blocks(lambda n: np.random.default_rng(0).normal(0, 0.001, n))
    clock = FakeClock(lambda call, calls, now: 0.001 * calls * math.exp(next(clock_noise)), DEFAULT)
    samples = timing.measure(arms("b", "c"), "a", DEFAULT, clock, 0, silent)
    assert samples.rounds == 20
    for parts in ([samples], [samples] * 6):
        row = combine(parts, "b", "a", DEFAULT)
        assert row["time_s"] == pytest.approx(0.001, rel=0.01)
        assert row["converged"] is True
        assert "speedup" not in row


@pytest.mark.parametrize("at", [0, 3, 50])
def test_an_arm_that_raises_is_named(at):
    count = 0

    def cost(call: Call, calls: int, now: float) -> float:
        nonlocal count
        assert isinstance(call, Named)
        count += call.name == "b"
        if call.name == "b" and count > at:
            raise MemoryError("out of it")
        return 0.01

    with pytest.raises(ArmFailed, match="b: MemoryError: out of it") as caught:
        timing.measure(arms("a", "b"), "a", replace(DEFAULT, looks=(100,)), FakeClock(cost, DEFAULT), 0, silent)
    assert caught.value.name == "b"
    assert isinstance(caught.value.error, MemoryError)


class Queue(FakeClock):
    """Takes samples in batches of ten rounds."""

    batch_rounds = 10


def test_what_an_arm_that_fails_leaves_in_the_queue_is_forgotten():
    """Else the next warm-up takes it for its own: here from before everything took a thousand times as long."""
    taken = 0

    def cost(call: Call, calls: int, now: float) -> float:
        nonlocal taken
        assert isinstance(call, Named)
        taken += call.name == "b"
        # Three are the warm-up's, whose samples are read one by one.
        if call.name == "b" and taken == 8:
            raise MemoryError
        return calls * (1e-6 if taken < 8 else 1e-3)

    clock = Queue(cost, DEFAULT)
    with pytest.raises(ArmFailed):
        timing.measure(arms("a", "b"), "a", DEFAULT, clock, 0, silent)
    assert timing.measure(arms("a"), "a", DEFAULT, clock, 0, silent).calls[0] == [10]


def test_what_is_queued_cannot_take_many_times_the_time_limit():
    measure = replace(DEFAULT, max_time_s=3.0)
    clock = Queue(lambda call, calls, now: calls * 1.0, measure)
    samples = timing.measure(arms("a", "b"), "a", measure, clock, 0, silent)
    assert samples.counters["stopped"] == "time"
    assert samples.counters["sampling_s"] == 4.0


@pytest.mark.parametrize("seconds,waits", [(1e-3, 2), (0.01, 2), (0.1, 4), (0.3, 20)])
def test_about_a_second_of_samples_is_queued_at_once(seconds, waits):
    """Twenty rounds of two arms, of which ten rounds are queued at most."""
    measure = replace(DEFAULT, looks=(20,), max_time_s=1000.0, sample_s=1e-3)
    batches = []

    class Counting(Queue):
        def drain(self) -> list[Any]:
            batches.append(len(self._readings))
            return super().drain()

    clock = Counting(lambda call, calls, now: seconds, measure)
    timing.measure(arms("a", "b"), "a", measure, clock, 0, silent)
    assert sum(size > 1 for size in batches) == waits


def test_calls_too_short_to_be_seen_are_queued_in_full_batches():
    assert timing._batch(0.0, Queue(lambda call, calls, now: 0.0, DEFAULT)) == 10


def test_a_device_that_refuses_before_the_first_sample_fails_every_arm():
    class Refuses(FakeClock):
        def ready(self, arms: Any) -> Any:
            raise RuntimeError("the device is lost")

    with pytest.raises(ArmFailed, match="one of the arms: RuntimeError: the device is lost") as caught:
        timing.measure(arms("a", "b"), "a", DEFAULT, Refuses(lambda call, calls, now: 0.01, DEFAULT), 0, silent)
    assert caught.value.name == ""


class QueueThatBreaks(Queue):
    """Fails when its samples are read."""

    def drain(self) -> list[Any]:
        readings = super().drain()
        if len(readings) > 1:
            raise RuntimeError("device-side assert")
        return readings


def test_a_queued_error_that_any_arm_may_have_caused_names_none():
    clock = QueueThatBreaks(lambda call, calls, now: 0.01, DEFAULT)
    marks: list[tuple[str, str]] = []
    with pytest.raises(ArmFailed, match="one of the arms") as caught:
        timing.measure(arms("a", "b"), "a", DEFAULT, clock, 0, lambda *mark: marks.append(mark))
    assert caught.value.name == ""
    assert marks[-1] == ("", "timing"), "nor is any marked while the host waits"


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_garbage_collection_is_off_while_sampling_and_then_as_it_was(enabled, fails):
    seen = []

    def cost(call: Call, calls: int, now: float) -> float:
        seen.append(gc.isenabled())
        if fails:
            raise RuntimeError
        return 0.01

    (gc.enable if enabled else gc.disable)()
    try:
        timing.measure(arms("a", "b"), "a", DEFAULT, FakeClock(cost, DEFAULT), 0, silent)
    except ArmFailed:
        assert fails
    try:
        assert gc.isenabled() is enabled
        assert not any(seen)
    finally:
        gc.enable()


def test_the_baselines_own_row_has_no_verdict():
    samples = run(gaussian(0.002), 4, slowdown=1.5)
    row = columns(samples, "a", "a", DEFAULT)
    assert row["speedup"] == 1.0
    assert "speed" not in row
    assert "speedup_low" not in row
    assert row["converged"] is True
    assert row["time_low_s"] <= row["time_s"] <= row["time_high_s"]
    assert row["time_s"] == pytest.approx(0.001, rel=0.01)


def test_a_lone_arm_is_timed_until_its_own_time_is_known():
    assert run(gaussian(0.001), 0, names="a").rounds == 20
    noisy = run(gaussian(0.02), 0, names="a")
    assert 20 < noisy.rounds <= 200
    assert columns(noisy, "a", "a", DEFAULT)["converged"] is True


def test_columns_follow_from_the_samples_by_numpy():
    samples = run(gaussian(0.05), 9, slowdown=1.3)
    row = columns(samples, "b", "a", DEFAULT)
    times = np.array(samples.times)
    ratios = np.sort(times[:, 0] / times[:, 1])
    assert row["samples"] == len(ratios) == 200
    assert row["time_s"] == pytest.approx(np.median(times[:, 1]))
    assert row["speedup"] == pytest.approx(np.median(ratios), rel=1e-3)
    assert (row["speedup_low"], row["speedup_high"]) == pytest.approx((ratios[85], ratios[114]))
    assert row["measured_s"] == pytest.approx((times[:, 1] * np.array(samples.calls)[:, 1]).sum(), rel=1e-4)
    assert samples.measured_s == pytest.approx((times * np.array(samples.calls)).sum(), rel=1e-4)


def test_processes_give_students_interval_of_their_figures():
    layouts = (1.30, 1.33, 1.34, 1.36, 1.38, 1.41)
    middle, low, high = students(np.log(layouts))
    parts = [run(gaussian(0.0), seed, slowdown=s) for seed, s in enumerate(layouts)]
    row = combine(parts, "b", "a", DEFAULT)
    assert (1 / row["speedup_high"], 1 / row["speedup_low"]) == pytest.approx((low, high))
    assert 1 / row["speedup"] == pytest.approx(middle)
    assert row["speed"] == "slower"
    assert row["samples"] == 120
    assert row["converged"] is False
    assert (row["time_low_s"], row["time_high_s"]) == pytest.approx((low * 1e-3, high * 1e-3))
    assert row["time_s"] == pytest.approx(middle * 1e-3)
    assert row["measured_s"] == pytest.approx(sum(sum(p.of("b")) * p.calls[0][1] for p in parts), rel=1e-4)
    baseline = combine(parts, "a", "a", DEFAULT)
    assert baseline["converged"] is False
    assert baseline["speedup"] == 1.0


def students(logs):
    """The geometric mean with the ends of its 95% interval."""
    ends = stats.t.interval(0.95, len(logs) - 1, np.mean(logs), stats.sem(logs))
    return tuple(math.exp(x) for x in (np.mean(logs), *ends))


def observing(seed, counters, b):
    """Samples of the arms a and b with what was observed in force and of b."""
    taken = run(gaussian(0.0), seed)
    taken.counters.update(counters)
    taken.per_arm["b"].update(b)
    return taken


def six_on_a_gpu():
    """Six processes or passes: the first is undisturbed, the other five are throttled and launch-bound."""
    quiet = {"throttle": "none", "clock_mhz": 1900.0, "cuda_graph": True, "cuda_graph_error": None, "preempted": 1}
    hot = quiet | {"throttle": "hw_thermal", "clock_mhz": 1200.0}
    first = observing(0, quiet, {"enqueue_s": 1e-6, "wall_s": 1e-5, "launch_bound": False})
    others = [observing(s, hot, {"enqueue_s": 4e-6, "wall_s": 4e-5, "launch_bound": True}) for s in range(1, 6)]
    return [first, *others]


SIX_TOGETHER = {
    "throttle": "hw_thermal",
    "clock_mhz": 1200.0,
    "launch_bound": True,
    "enqueue_s": 4e-6,
    "wall_s": 4e-5,
    "cuda_graph": True,
    "preempted": 6,
}


@pytest.mark.parametrize("passes", [False, True])
def test_what_disturbed_five_of_six_is_told_of_all(passes):
    """Of six processes, and of six passes in one process."""
    six = six_on_a_gpu()
    row = columns(Samples.merge(six), "b", "a", DEFAULT) if passes else combine(six, "b", "a", DEFAULT)
    assert {key: row[key] for key in SIX_TOGETHER} == SIX_TOGETHER
    assert row["cuda_graph_error"] is None


def test_reasons_of_several_processes_are_all_named_and_one_without_graphs_is_enough():
    six = six_on_a_gpu()
    six[2].counters.update(throttle="hw_slowdown, power_cap", cuda_graph=False, cuda_graph_error="not permitted")
    six[3].counters.update(throttle=None, clock_mhz=None)
    row = combine(six, "b", "a", DEFAULT)
    assert row["throttle"] == "hw_slowdown, hw_thermal, power_cap"
    assert (row["cuda_graph"], row["cuda_graph_error"]) == (False, "not permitted")
    assert row["clock_mhz"] == 1200.0


def test_what_no_process_knows_is_unknown():
    row = combine([run(gaussian(0.0), seed) for seed in range(6)], "b", "a", DEFAULT)
    assert {row[key] for key in (*CONDITIONS, "enqueue_s", "wall_s", "launch_bound")} == {None}


@pytest.mark.slow
def test_medians_of_processes_cover_the_truth_where_processes_differ():
    rng, misses = np.random.default_rng(8), 0
    for _ in range(300):
        layouts = rng.normal(0, 0.02, 6)
        parts = [
            run(gaussian(0.01), int(rng.integers(10**9)), math.exp(x), replace(DEFAULT, looks=(20,))) for x in layouts
        ]
        row = combine(parts, "b", "a", DEFAULT)
        misses += not row["speedup_low"] <= 1 <= row["speedup_high"]
    assert statistics.binomial_tail(misses, 300, 0.05) > 0.01


def test_one_process_combines_to_its_own_columns():
    samples = run(gaussian(0.01), 3)
    assert combine([samples], "b", "a", DEFAULT) == columns(samples, "b", "a", DEFAULT)


def test_a_lone_arm_in_several_processes_is_judged_by_its_times():
    quiet = [run(gaussian(0.0), seed, names="a") for seed in range(6)]
    assert combine(quiet, "a", "a", DEFAULT)["converged"] is True


def test_samples_survive_json():
    samples = run(gaussian(0.01), 1)
    assert Samples.from_dict(json.loads(json.dumps(samples.to_dict()))) == samples


def test_samples_survive_their_rows_in_any_order_and_give_the_same_columns():
    parts = [replace(run(gaussian(0.01), seed, names="bac"), process=seed) for seed in range(6)]
    rows = [row for part in parts for row in part.to_rows(ConfigurationKey("c0ffee", "beef", None))]
    assert [row["position"] for row in rows[:3]] == [0, 1, 2]
    random.Random(0).shuffle(rows)
    back = Samples.from_rows(rows)
    assert [part.process for part in back] == list(range(6))
    observed = dict.fromkeys((*OBSERVED, *CONDITIONS, "cache", "cuda_graph"))
    for method in "abc":
        for few in ([3], range(6)):
            before, after = (combine([of[i] for i in few], method, "a", DEFAULT) for of in (parts, back))
            assert after | observed == before | observed
            assert after["time_s"] is not None


def test_merged_passes_hold_every_round_whatever_order_their_arms_were_in():
    first, second = run(gaussian(0.01), 1, slowdown=2.0, names="ab"), run(gaussian(0.01), 2, slowdown=2.0, names="ba")
    merged = Samples.merge([first, second])
    assert merged.rounds == first.rounds + second.rounds
    for method in "ab":
        assert merged.of(method) == first.of(method) + second.of(method)
    assert merged.ran_first("b", "a") == first.ran_first("b", "a") + second.ran_first("b", "a")
    assert merged.counters["warmup_s"] == first.counters["warmup_s"] + second.counters["warmup_s"]
    assert merged.measured_s == pytest.approx(first.measured_s + second.measured_s)


def test_passes_with_different_arms_are_refused():
    with pytest.raises(ValueError, match="different arms"):
        Samples.merge([run(gaussian(0.01), 1, names="ab"), run(gaussian(0.01), 1, names="ac")])


class Captured(Elsewhere):
    """A method in another process, whose clock tells whether it could capture it; on a CPU it cannot."""

    def __init__(self, captured: bool) -> None:
        self.captured = captured

    def ready(self, cuda_graph: bool) -> dict[str, Any]:
        return {"sample_s": 0.01, "warmup_s": 0.0, "max_calls": 10, "cuda_graph": cuda_graph and self.captured}

    def sample(self, calls: int) -> Reading:
        raise NotImplementedError

    def host_times(self, calls: int) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("captured", [(True, True), (True, False), (False, False)])
def test_graphs_are_told_of_all_who_were_captured_wherever_they_are(captured: tuple[bool, bool], here: bool) -> None:
    """A clock without an arm of its own has captured nothing, and says so of itself alone."""
    measure = Measure(cuda_graph=True)
    clock = Turns(measure, FakeClock(lambda call, calls, now: 1.0, measure) if here else None)
    clock.ready([Arm(str(number), Captured(which)) for number, which in enumerate(captured)])
    assert clock.conditions()["cuda_graph"] is all(captured)
