from __future__ import annotations

import sys
import time
from dataclasses import replace

import pytest

from convbench.facts.measure import Measure
from convbench.timing import cpu_clock
from convbench.timing import rounds as timing
from convbench.timing.clocks import Arm, Call, Reading
from convbench.timing.cpu_clock import CpuClock, last_level_cache_bytes
from convbench.timing.speed_columns import columns

from .fake_clock import FakeClock

MEASURE = Measure()


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_cpu_clock_reads_each_sample_once_in_order():
    clock = CpuClock("cpu", MEASURE)
    clock.submit(lambda: spin(0.002), 1)
    clock.submit(lambda: spin(0.001), 4)
    first, second = clock.drain()
    # A spin lasts at least as long as it was told, on however busy a machine.
    assert first.seconds == first.spent_s >= 0.002
    assert second.seconds >= 0.001
    assert second.spent_s >= 0.004
    assert not first.late
    assert clock.host_times(int, 1) is None
    assert clock.drain() == []


@pytest.mark.parametrize(
    "calls,sizes", [(1, [1]), (3, [1] * 3), (21, [1] * 21), (50, [3] * 8 + [2] * 13), (210, [10] * 21)]
)
def test_cpu_clock_reads_a_sample_in_parts_and_takes_the_median_part(monkeypatch, calls, sizes):
    """A clock of its own on which every call takes 1 ms, and the first of each sample and two later ones far longer."""
    passed = [0]
    made = [0]

    def call() -> None:
        made[0] += 1
        passed[0] += 500_000_000 if made[0] in (1, 9, 20) and calls > 20 else 1_000_000

    monkeypatch.setattr(cpu_clock, "perf_counter_ns", lambda: passed[0])
    taken: list[int] = []
    clock = CpuClock("cpu", replace(MEASURE, sample_s=1.0))
    part = clock._part

    def noted(self: CpuClock, call: Call, calls: int) -> cpu_clock.Part:
        taken.append(calls)
        return part(call, calls)

    monkeypatch.setattr(CpuClock, "_part", noted)
    clock.submit(call, calls)
    (reading,) = clock.drain()
    assert taken == sizes
    assert made[0] == calls
    assert reading.seconds == pytest.approx(0.001)
    assert reading.spent_s == pytest.approx(passed[0] * 1e-9)


@pytest.mark.parametrize("cache", ["hot", "cold"])
def test_cpu_clock_makes_exactly_the_calls_it_was_told(cache):
    clock = CpuClock("cpu", replace(MEASURE, cache=cache))
    count = 0

    def call() -> None:
        nonlocal count
        count += 1

    clock.submit(call, 3)
    assert count == 3
    assert clock.drain()[0].seconds > 0


def test_the_clocks_own_cost_is_a_ten_thousandth_of_a_sample():
    clock = CpuClock("cpu", MEASURE)
    for _ in range(200):
        clock.submit(int, 1)
    assert min(r.seconds for r in clock.drain()) < 1e-4 * MEASURE.sample_s


def test_cold_clock_does_not_count_the_flush():
    clock = CpuClock("cpu", replace(MEASURE, cache="cold"))
    start = time.perf_counter()
    for _ in range(5):
        clock.submit(int, clock.max_calls)
    elapsed = time.perf_counter() - start
    assert sum(r.spent_s for r in clock.drain()) < 0.1 * elapsed


@pytest.mark.skipif(sys.platform != "linux", reason="context switches are read from Linux")
def test_cpu_clock_records_preemption():
    clock = CpuClock("cpu", replace(MEASURE, cache="cold"))
    conditions = clock.conditions()
    assert conditions["cache"] == "cold"
    assert conditions["cuda_graph"] is False
    assert conditions["preempted"] >= 0


def test_cpu_clock_runs_a_whole_measurement():
    measure = replace(MEASURE, looks=(6, 8), min_time_s=0.0, sample_s=0.002, warmup_s=0.01)
    arms = [Arm("a", lambda: spin(2e-4)), Arm("b", lambda: spin(6e-4))]
    samples = timing.measure(arms, "a", measure, CpuClock("cpu", measure), 0, lambda method, phase: None)
    row = columns(samples, "b", "a", measure)
    assert row["speed"] in ("slower", "inconclusive")  # other programs may have the core during most of the six pairs
    assert row["enqueue_s"] is None
    assert row["wall_s"] is None
    assert row["launch_bound"] is None
    assert row["cache"] == "hot"
    # The first sample of b takes at least four calls of 0.6 ms.
    assert row["time_s"] >= 6e-4


def test_fake_clock_passes_time_as_told():
    clock = FakeClock(lambda call, calls, now: calls * (1.0 + now), MEASURE, overhead_s=0.5)
    clock.submit(int, 2)
    clock.submit(int, 1)
    assert clock.drain() == [Reading(1.0, 2.0), Reading(3.5, 3.5)]
    assert clock.now() == 6.5


@pytest.mark.parametrize(
    "files,size",
    [({"index0": "32K", "index3": "36608K"}, 36608 * 1024), ({"index2": "2M"}, 2**21), ({}, 64 * 2**20)],
)
def test_last_level_cache_is_the_largest_that_linux_reports(tmp_path, files, size):
    for name, text in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "size").write_text(text + "\n")
    assert last_level_cache_bytes(tmp_path) == size
