"""Arms of very different lengths on a core that others use: a simulated scheduler, the real clock and real rounds."""

from __future__ import annotations

import mmap
import random
from dataclasses import replace
from typing import Any

import pytest

from convbench.facts import statistics
from convbench.facts.measure import Measure
from convbench.timing import clocks, cpu_clock, sample_size
from convbench.timing.clocks import Arm
from convbench.timing.cpu_clock import CpuClock, Usage
from convbench.timing.rounds import measure, unmarked
from convbench.timing.sample_size import Size, alike
from convbench.timing.speed_columns import columns

CALL_S = 1.9e-4
SLICE_S = 3e-3
MEASURE = Measure(looks=(20,), min_time_s=0.0, warmup_s=0.02)
TRIALS = 24


@pytest.mark.parametrize(
    "seconds, sizes",
    [
        ((1e-5, 1e-4), [Size(48 * 21, 21), Size(5 * 21, 21)]),
        ((2e-4, 3.2e-3), [Size(16 * 5, 5), Size(5, 5)]),  # three and an eighth of a part fill a sample
        ((2e-4, 6.4e-3), [Size(32 * 3, 3), Size(3, 3)]),
        ((2e-4, 1.28e-2), [Size(64, 1), Size(1, 1)]),
        ((2e-4, 5.0), [Size(500, 1), Size(1, 1)]),  # a part of 0.1 s, not of five
        ((0.02, 0.02), [Size(1, 1), Size(1, 1)]),
    ],
)
def test_parts_are_of_one_length_whatever_the_calls_take(seconds: tuple[float, ...], sizes: list[Size]) -> None:
    assert alike(seconds, 0.01, 10**9) == sizes


def test_a_clock_that_holds_few_calls_is_given_no_more() -> None:
    assert alike((1e-5, 1e-2), 0.01, 3) == [Size(3, 1), Size(1, 1)]
    assert alike((0.0, 1e-5), 0.01, 3) == [Size(3, 3), Size(3, 3)]


def test_lengths_are_found_without_the_others_turns() -> None:
    assert sample_size.undisturbed(9e-3, 3e-3, 2) == 3e-3
    assert sample_size.undisturbed(9e-3, 3e-3, 0) == 9e-3, "it waits for something of its own"
    assert sample_size.undisturbed(9e-3, 1e-5, 2) == pytest.approx(9e-3 / 20)
    assert sample_size.undisturbed(9e-3, 18e-3, 2) == 9e-3, "two threads"
    assert sample_size.undisturbed(1.0, None, None) == 1.0


class Core:
    """A core that `others` processes want as well: after each slice of CPU time they have theirs."""

    def __init__(self, others: int, seed: int) -> None:
        self.rng, self.others = random.Random(seed), others
        self.wall = self.cpu = 0.0
        self.switches = 0
        self.left = SLICE_S

    def spend(self, seconds: float) -> None:
        seconds *= 1 + abs(self.rng.gauss(0, 0.005))
        self.cpu += seconds
        self.wall += seconds
        self.left -= seconds
        while self.others and self.left <= 0:
            self.left += SLICE_S
            self.switches += 1
            self.wall += sum(self.rng.uniform(0.5, 1.5) * SLICE_S for _ in range(self.others))


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> list[Core]:
    """The core that the host's clocks tell of; the test puts one in."""
    cores: list[Core] = []
    monkeypatch.setattr(cpu_clock, "perf_counter_ns", lambda: cores[-1].wall * 1e9)
    monkeypatch.setattr(cpu_clock, "process_time_ns", lambda: cores[-1].cpu * 1e9)
    monkeypatch.setattr(cpu_clock, "usage", lambda: Usage(cores[-1].switches))
    monkeypatch.setattr(clocks, "perf_counter", lambda: cores[-1].wall)
    return cores


def row_of(core: Core, k: int, seed: int) -> dict[str, Any]:
    """The row of a method whose call is k of the baseline's."""

    def several() -> None:
        for _ in range(k):
            core.spend(CALL_S)

    arms = [Arm("a", lambda: core.spend(CALL_S)), Arm("b", several)]
    return columns(measure(arms, "a", MEASURE, CpuClock("cpu", MEASURE), seed, unmarked), "b", "a", MEASURE)


@pytest.mark.parametrize("others, k", [(0, 16), (1, 16), (7, 1), (7, 64)])
def test_intervals_cover_a_counted_ratio_on_a_busy_core(core: list[Core], others: int, k: int) -> None:
    missed = disturbed = 0
    for seed in range(TRIALS):
        core.append(Core(others, seed))
        row = row_of(core[-1], k, seed)
        missed += not row["speedup_low"] <= 1 / k <= row["speedup_high"]
        disturbed += row["disturbed"]
    assert statistics.binomial_tail(missed, TRIALS, 0.05) > 0.01
    assert statistics.binomial_tail(disturbed, TRIALS, 0.05) > 0.01


def test_a_ratio_of_unequally_disturbed_arms_is_told_and_its_interval_holds_the_truth(
    core: list[Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without parts of one length the short calls dodge the others and the long ones cannot."""
    monkeypatch.setattr(sample_size, "LONGEST_PART_S", 5e-4)
    for seed in range(TRIALS // 3):
        core.append(Core(3, seed))
        row = row_of(core[-1], 64, seed)
        assert row["speedup"] < 0.5 / 64
        assert row["disturbed"] is True
        assert row["converged"] is False
        assert row["speedup_low"] <= 1 / 64 <= row["speedup_high"] * 1.001


def test_work_of_some_calls_only_is_in_the_mean_and_its_interval(core: list[Core]) -> None:
    """One call in thirty takes thirty times as long as the others: the mean is about twice the median."""
    covered = 0
    for seed in range(TRIALS):
        now, made = Core(0, seed), 0
        core.append(now)

        def seldom(now: Core = now) -> None:
            nonlocal made
            made += 1
            now.spend(CALL_S * (30 if made % 30 == 0 else 1))

        arms = [Arm("a", lambda now=now: now.spend(CALL_S)), Arm("b", seldom)]  # type: ignore[misc]
        row = columns(measure(arms, "a", MEASURE, CpuClock("cpu", MEASURE), seed, unmarked), "b", "a", MEASURE)
        truth = 30 / 59
        covered += row["mean_speedup_low"] <= truth <= row["mean_speedup_high"]
        assert row["speed"] == "equivalent"
        assert row["mean_speedup_high"] < row["speedup_low"]
        assert row["mean_s"] == pytest.approx(CALL_S * 59 / 30, rel=0.05)
    assert statistics.binomial_tail(TRIALS - covered, TRIALS, 0.05) > 0.01


def test_a_sample_that_takes_far_too_long_is_ended_and_says_how_many_calls_it_holds(core: list[Core]) -> None:
    """As when more threads than cores wait for each other: the fastest call decided how many fill a sample."""
    core.append(Core(0, 0))
    clock = CpuClock("cpu", MEASURE)
    clock.submit(lambda: core[-1].spend(0.05), 210)
    (reading,) = clock.drain()
    assert reading.calls == 10
    assert reading.seconds == pytest.approx(0.05, rel=0.02)
    assert reading.spent_s == pytest.approx(0.5, rel=0.02)


def test_pages_that_a_call_touches_first_are_counted() -> None:
    def touches() -> None:
        with mmap.mmap(-1, 64 * mmap.PAGESIZE) as memory:
            for page in range(64):
                memory[page * mmap.PAGESIZE] = 1

    measured = measure([Arm("a", touches), Arm("b", lambda: None)], "a", MEASURE, CpuClock("cpu", MEASURE), 0, unmarked)
    faults = {name: columns(measured, name, "a", MEASURE)["minor_faults"] for name in "ab"}
    assert 64 <= faults["a"] < 70
    assert faults["b"] < 1


class Neighbour:
    """Two arms of 2 ms of which the second takes 1.68 times as long for 30 ms after the first has run: what that left
    of the caches or of the allocator's memory."""

    def __init__(self, core: Core) -> None:
        self.core, self.last = core, -1.0

    def first(self) -> None:
        self.core.spend(2e-3)
        self.last = self.core.wall

    def second(self) -> None:
        self.core.spend(2e-3 * (1.68 if self.core.wall - self.last < 0.03 else 1.0))


def test_what_an_arm_takes_by_itself_is_told_where_others_could_show(core: list[Core]) -> None:
    core.append(Core(0, 0))
    pair = Neighbour(core[-1])
    arms = [Arm("a", pair.first), Arm("b", pair.second)]
    long = replace(MEASURE, sample_s=0.03)
    taken = measure(arms, "a", long, CpuClock("cpu", long), 0, unmarked)
    a, b = (columns(taken, name, "a", long) for name in "ab")
    assert b["time_s"] / b["alone_s"] == pytest.approx(1.68, rel=0.05)
    assert b["time_low_s"] > 1.1 * b["alone_high_s"]
    assert a["time_s"] == pytest.approx(a["alone_s"], rel=0.05)
    core.append(Core(0, 0))
    short = [Arm(name, lambda: core[-1].spend(1e-5)) for name in "ab"]
    taken = measure(short, "a", MEASURE, CpuClock("cpu", MEASURE), 0, unmarked)
    assert columns(taken, "b", "a", MEASURE)["alone_s"] is None
