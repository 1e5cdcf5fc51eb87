"""Figures over fresh processes, on simulated ones of which the truth is known: coverage, and two speeds told as two."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import fmean, median

import pytest
from scipy import stats

from convbench.facts.measure import Measure
from convbench.facts.statistics import Interval, median_interval, processes_interval
from convbench.facts.timed_as import BACKWARD, CALL
from convbench.timing.figures import with_figures
from convbench.timing.modes import two_modes
from convbench.timing.samples import Samples
from convbench.timing.speed_columns import combine
from tests.simulated import row as made_up

Process = Callable[[random.Random], list[float]]
"""The log ratios of one process's pairs."""


def pairs(rng: random.Random, centre: float, sigma: float, correlation: float = 0.0, count: int = 10) -> list[float]:
    """Log ratios that follow one another as AR(1) around `centre`."""
    out, state = [], rng.gauss(0, sigma)
    for _ in range(count):
        out.append(centre + state)
        state = correlation * state + rng.gauss(0, sigma * math.sqrt(1 - correlation**2))
    return out


def usual(rng: random.Random) -> list[float]:
    return pairs(rng, rng.gauss(0, 0.013), 0.01)


def drifting(rng: random.Random) -> list[float]:
    return pairs(rng, rng.gauss(0, 0.01), 0.02, correlation=0.8)


def bursty(rng: random.Random) -> list[float]:
    burst = rng.random() < 0.2
    return [d + (rng.choice((-1, 1)) * 0.3 if burst and rng.random() < 0.3 else 0) for d in usual(rng)]


def bimodal(rng: random.Random) -> list[float]:
    return pairs(rng, rng.choice((-0.1275, 0.1275)), 0.01)


def covered(process: Process, processes: int, trials: int = 800) -> float:
    """Share of intervals that hold the mean over processes, which is 0."""
    rng = random.Random(7)
    hits = 0
    for _ in range(trials):
        found = processes_interval([median(process(rng)) for _ in range(processes)])
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0 <= found.high
    return hits / trials


@pytest.mark.parametrize("process", [usual, drifting, bursty])
@pytest.mark.parametrize("processes", [3, 4, 6])
def test_the_interval_of_several_processes_holds_their_mean(process: Process, processes: int) -> None:
    assert covered(process, processes) >= 0.93


def test_the_interval_of_one_process_holds_it_seldom() -> None:
    """What more pairs in one process do not help against: the reason for everything here."""
    rng = random.Random(3)
    found = [median_interval(pairs(rng, rng.gauss(0, 0.013), 0.01, count=60)) for _ in range(500)]
    assert fmean(low <= 0 <= high for _, low, high in found if low is not None and high is not None) < 0.4


def test_four_processes_of_two_speeds_miss_their_mean_when_all_find_the_same_one() -> None:
    assert covered(bimodal, 4) == pytest.approx(7 / 8, abs=0.03)


def test_student_is_student() -> None:
    for values in ([0.1, 0.4], [0.1, 0.4, 0.35, 0.2], [1.0, 2.0, 4.0, 1.5, 0.5, 0.7, 0.1]):
        low, high = stats.t.interval(0.95, len(values) - 1, fmean(values), stats.sem(values))
        assert processes_interval(values) == pytest.approx(Interval(fmean(values), low, high), rel=1e-4)
    assert processes_interval([0.5]) == Interval(0.5, None, None)


def test_two_speeds_are_told_with_both_and_scatter_is_not() -> None:
    rng = random.Random(5)
    told, mixed = 0, 0
    for _ in range(400):
        found = [bimodal(rng) for _ in range(4)]
        modes = two_modes(found)
        if len({median(process) > 0 for process in found}) == 2:
            mixed += 1
            told += bool(modes)
            if modes:
                assert modes["speedup_mode_low"] == pytest.approx(math.exp(-0.1275), rel=0.02)
                assert modes["speedup_mode_high"] == pytest.approx(math.exp(0.1275), rel=0.02)
        else:
            assert modes == {}
    assert told > 0.95 * mixed > 300
    assert sum(bool(two_modes([usual(rng) for _ in range(4)])) for _ in range(1000)) < 40
    assert two_modes([[0.0] * 10, [1.0] * 10]) == {}, "two processes are no groups"


def test_rows_say_how_many_processes_they_are_of_and_which_speeds() -> None:
    def samples(process: int, ratio: float) -> Samples:
        rng = random.Random(process)
        times = [[1e-4 * rng.lognormvariate(0, 0.001), 1e-4 / ratio] for _ in range(10)]
        return Samples(("autograd", "unfold"), 0, 0.03, 0.02, times, [[1, 1]] * 10, [[0, 1]] * 10, process)

    parts = [samples(n, ratio) for n, ratio in enumerate((1.2, 1.201, 1.5, 1.5))]
    row = combine(parts, "unfold", "autograd", Measure())
    assert (row["processes"], row["samples"], row["converged"], row["speed"]) == (4, 40, False, "faster")
    assert row["speedup"] == pytest.approx(math.sqrt(1.2 * 1.5), rel=0.01)
    assert (row["speedup_mode_low"], row["speedup_mode_high"]) == pytest.approx((1.2, 1.5), rel=0.01)
    alone = combine(parts[:1], "unfold", "autograd", Measure())
    assert alone["processes"] == 1
    assert "speedup_mode_low" not in alone


def test_a_training_step_has_two_speeds_of_its_own() -> None:
    def samples(process: int, ratio: float, timed_as: str) -> Samples:
        times = [[1e-4, 1e-4 / ratio] for _ in range(10)]
        arms = ("autograd", "explicit")
        return Samples(arms, 0, 0.03, 0.02, times, [[1, 1]] * 10, [[0, 1]] * 10, process, timed_as=timed_as)

    calls = [samples(n, 2.0, CALL) for n in range(4)]
    stepped = [samples(n, ratio, BACKWARD) for n, ratio in enumerate((0.8, 0.8, 1.2, 1.2))]
    found = with_figures(made_up(0, "explicit", flops=1000, bytes=500), [*calls, *stepped], "autograd", Measure())
    modes = found["backward_speedup_mode_low"], found["backward_speedup_mode_high"]
    assert modes == pytest.approx((0.8, 1.2))
    assert "speedup_mode_low" not in found
    alike = [samples(n, 0.8, BACKWARD) for n in range(4)]
    again = with_figures(found, [*calls, *alike], "autograd", Measure())
    assert "backward_speedup_mode_low" not in again, "what further processes do not bear out goes away"
