"""The measuring side of `validate`: the injected slowdown is exact, and a few real tries."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.benchmark import Timer

from convbench.devices.cpu import Cpu
from convbench.devices.nvidia import Nvidia
from convbench.facts.measure import Measure
from convbench.timing import rounds as timing
from convbench.timing.clocks import Arm
from convbench.timing.samples import Samples
from convbench.timing.speed_columns import columns
from convbench.validation import burst, command, passes, proofs
from convbench.validation.proofs import Setup
from convbench.validation.slowed_clock import SlowedClock, extra_calls

from .fake_clock import FakeClock
from .simulated_cuda import Machine, SimulatedClock

QUICK = Measure(looks=(6,), min_time_s=0.0, sample_s=0.001, warmup_s=0.01, max_time_s=5.0)


def nothing(method: str, phase: str) -> None:
    """A stage marker that marks nothing."""


# The slowed arm's calls seem 5% longer, so that fewer of them are counted in a sample: 96 of 101, 478 of 502, 1 of 2.
@pytest.mark.parametrize("seconds,counted,made", [(1e-4, 96, 101), (2e-5, 478, 502), (0.02, 1, 2)])
def test_injected_slowdown_is_exact(seconds, counted, made):
    measure = Measure(looks=(6,), min_time_s=0.0, max_time_s=100.0)
    arms = [Arm("a", lambda: None), Arm("slowed", lambda: None)]
    clock = SlowedClock(FakeClock(lambda call, n, now: seconds * n, measure), arms[1].call)
    samples = timing.measure(arms, "a", measure, clock, 0, nothing)
    assert samples.calls[0][1] == counted
    assert counted + extra_calls(counted) == made
    assert columns(samples, "slowed", "a", measure)["speedup"] == pytest.approx(counted / made, rel=1e-6)


def test_a_slowed_clock_is_got_ready_like_the_clock_it_is():
    """Else nothing is calibrated on a device, and no sample has a sleep before it."""
    machine = Machine()
    measure = Measure(looks=(6,), min_time_s=0.0, gpu_warmup_s=0.01, cuda_graph=True)
    arms = [Arm(name, machine.kernel(name, 5e-5, 1e-5)) for name in ("a", "slowed")]
    clock = SlowedClock(SimulatedClock(machine, measure), arms[1].call)
    samples = timing.measure(arms, "a", measure, clock, 0, nothing)
    assert machine.log.count("sleep") > 6
    # The replayed graph is the call that is slowed.
    counted = samples.calls[0][1]
    truth = counted / (counted + extra_calls(counted))
    assert columns(samples, "slowed", "a", measure)["speedup"] == pytest.approx(truth, rel=0.01)


class Card:
    """A simulated GPU whose convolution takes so long for each image, or the host so long to launch; its Timer errs by
    a factor. `samples` are the seconds of each sample, clock by clock."""

    LAUNCH_S = 2e-5

    def __init__(self, monkeypatch: pytest.MonkeyPatch, image_s: float, error: float = 1.0) -> None:
        self.machine, self.samples = Machine(), list[list[float]]()
        self._image_s, self._error = image_s, error
        self._seconds: dict[Any, float] = {}
        monkeypatch.setattr(proofs, "_convolution", self._convolution)
        monkeypatch.setattr(proofs, "_timer", self._timer)
        monkeypatch.setattr(Nvidia, "clock", lambda device, measure: self._clock(measure))

    def _convolution(self, device: Any, batch: int) -> Any:
        call = self.machine.kernel("conv", self.LAUNCH_S, batch * self._image_s)
        self._seconds[call] = batch * self._image_s
        return call

    def _timer(self, setup: Setup, call: Any, seconds: float) -> float:
        return self._error * max(self.LAUNCH_S, self._seconds[call])

    def _clock(self, measure: Measure) -> SimulatedClock:
        clock, drain = SimulatedClock(self.machine, measure), SimulatedClock.drain
        self.samples.append([])
        mine = self.samples[-1]

        def kept() -> Any:
            readings = drain(clock)
            mine.extend(reading.spent_s for reading in readings)
            return readings

        clock.drain = kept  # type: ignore[method-assign]
        return clock


@pytest.mark.parametrize("asked_s", [1e-3, 5e-3])
@pytest.mark.parametrize(("image_s", "error"), [(3e-6, 0.8), (3e-6, 1.2), (4e-7, 1.0), (2e-5, 1.0)])
def test_a_device_is_tried_with_samples_of_the_length_that_is_asked_for(monkeypatch, asked_s, image_s, error):
    """Of the canary, which takes half a millisecond for the Timer's sake, 44 calls would take twenty times as long."""
    card = Card(monkeypatch, image_s, error)
    wanted = Measure(looks=(6,), min_time_s=0.0, max_time_s=1e5, gpu_warmup_s=0.2, gpu_sample_s=asked_s)
    one = next(proofs.tries(Setup("cuda", 1, wanted, 0), 1e6))
    assert (one.sample_s, one.asked_s) == (asked_s, asked_s)
    assert one.truth == pytest.approx(1 / 1.05, abs=0.012)
    # Another clock then times the canary by itself, which the Timer's figure is held against.
    *_, tried, canary = card.samples
    assert 0.9 * asked_s < min(tried[-6:]) <= max(tried) < 1.5 * asked_s
    assert min(canary) > 4e-4
    assert one.own_s == pytest.approx(one.rival_s[0] / error, rel=0.01)
    assert one.own_s >= 4e-4


def test_where_not_even_one_image_is_short_enough_samples_are_longer_and_that_is_told(monkeypatch, capsys):
    Card(monkeypatch, 1e-3)
    wanted = Measure(looks=(6,), min_time_s=0.0, max_time_s=1e5, gpu_warmup_s=0.2)
    one = next(proofs.tries(Setup("cuda", 1, wanted, 0), 1e6))
    assert one.sample_s == pytest.approx(0.044)
    assert one.asked_s == 1e-3
    assert one.truth == pytest.approx(1 / 1.05, abs=0.012)
    assert command._samples_told(one) == (
        " with samples of 44.0 ms (asked for: 1.00 ms; so many calls as tell 5% take longer)"
    )
    assert command._samples_told(replace(one, sample_s=1e-3)) == " with samples of 1.00 ms"


def test_the_timer_waits_for_the_device_that_it_times(monkeypatch):
    current = ["cuda:0"]

    @contextmanager
    def device(name: str) -> Iterator[None]:
        current.append(name)
        yield
        current.pop()

    def autorange(timer: Any, min_run_time: float) -> Any:
        return SimpleNamespace(median=1.0 if current[-1] == "cuda:1" else 2.0)

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(Timer, "blocked_autorange", autorange)
    assert proofs._timer(Setup("cuda:1", 1, QUICK, 0), int, 0.1) == 1.0
    assert current == ["cuda:0"]
    assert proofs._timer(Setup("cpu", 1, QUICK, 0), int, 0.1) == 2.0


def test_injected_calls_are_really_made():
    made = {"a": 0, "slowed": 0}

    def counter(name: str) -> None:
        made[name] += 1

    arms = [Arm("a", lambda: counter("a")), Arm("slowed", lambda: counter("slowed"))]
    clock = SlowedClock(Cpu("cpu").clock(QUICK), arms[1].call)
    for arm in arms:
        clock.submit(arm.call, 200)
    first, second = clock.drain()
    assert made == {"a": 200, "slowed": 210}
    assert first.seconds > 0
    assert second.seconds > 0


@pytest.mark.slow
def test_tries_measure_the_same_method_against_itself_and_slowed():
    patient = replace(QUICK, max_time_s=60.0)  # six pairs also where other programs have the cores
    found = list(islice(proofs.tries(Setup("cpu", 1, patient, 0), 1500.0), 3))
    assert len(found) == 3
    for one in found:
        # A busy machine may leave room for few calls in a sample; of those, 29 get one more, and 10 as well.
        assert 0.5 <= one.truth <= 29 / 30
        assert 0.2 < one.same.estimate < 5
        assert one.same.low is not None
        assert one.own_s > 0
        assert all(seconds > 0 for seconds in one.rival_s)
        assert 0 < one.timed_share <= 1


def test_a_budget_that_is_too_short_still_makes_one_try():
    assert len(list(proofs.tries(Setup("cpu", 1, replace(QUICK, max_time_s=0.01), 0), 1e-9))) == 1


def test_tries_restore_the_number_of_threads(monkeypatch):
    """The work is too small for several threads, which would wait for each other in a loop on a busy machine."""
    before, inside = torch.get_num_threads(), []

    def workload(setup: Setup) -> Any:
        inside.append(torch.get_num_threads())
        return torch.ones(1).neg

    monkeypatch.setattr(proofs, "workload", workload)
    list(proofs.tries(Setup("cpu", before + 1, replace(QUICK, max_time_s=0.01), 0), 1e-9))
    assert inside == [before + 1]
    assert torch.get_num_threads() == before


def test_noise_cannot_make_one_try_eat_the_budget(monkeypatch):
    """Each measurement may take a twenty-fifth of the budget for its pairs, however long they would need."""
    asked: list[Setup] = []

    def of_process(setup: Setup, budget_s: float) -> Iterator[Any]:
        asked.append(setup)
        yield from ()

    monkeypatch.setattr(passes, "_of_process", of_process)
    endless = replace(QUICK, half_width=0.0, max_time_s=1000.0, processes=3)
    assert list(passes.tries(Setup("cpu", 1, endless, 7), 50.0)) == []
    assert [setup.measure.max_time_s for setup in asked] == [2.0] * 3
    assert len({setup.seed for setup in asked}) == 3


def test_tritons_timer_is_for_cuda():
    assert proofs.do_bench(Setup("cpu", 1, QUICK, 0)) is None


def test_without_triton_its_timer_is_said_to_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    proof = proofs.do_bench(Setup("cuda", 1, QUICK, 0))
    assert proof is not None
    assert (proof.holds, proof.observed) == (None, "not asked: triton is not installed")


def test_tritons_timer_runs_under_the_same_switches(monkeypatch):
    threads = torch.get_num_threads() + 1
    seen = []

    def timed(call: Any, return_mode: str) -> float:
        assert return_mode == "median"
        seen.append(torch.get_num_threads())
        return 1.02

    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(testing=SimpleNamespace(do_bench=timed)))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(proofs, "workload", lambda setup: int)
    monkeypatch.setattr(proofs, "_samples", lambda setup, calls: None)
    monkeypatch.setattr(proofs, "columns", lambda *arguments: {"time_s": 1e-3})
    proof = proofs.do_bench(Setup("cuda", threads, QUICK, 0))
    assert proof is not None
    assert proof.holds
    assert seen == [threads]
    assert torch.get_num_threads() == threads - 1


@pytest.mark.gpu
def test_tries_on_a_device():
    found = list(proofs.tries(Setup("cuda", 1, Measure(), 0), 5.0))
    assert found[0].truth == pytest.approx(1 / 1.05, abs=0.02)
    assert found[0].same.estimate == pytest.approx(1.0, abs=0.05)


def children_of(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return {int(word) for word in listed.stdout.split()}


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes through /proc")


@needs_proc
def test_load_keeps_cores_busy_and_leaves_nothing_behind():
    before = children_of(os.getpid())
    with burst.load(cores=2):
        started = children_of(os.getpid()) - before
        busy = [pid for pid in started if alive(pid)]
        time.sleep(1.0)
        assert all(alive(pid) for pid in busy)
    assert len(busy) >= 2
    assert not any(alive(pid) for pid in busy)


@needs_proc
def test_load_ends_with_a_parent_that_was_killed():
    imports = "import time; from convbench.validation import burst\n"
    code = imports + "with burst.load(cores=1): print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        (child,) = children_of(parent.pid)
        time.sleep(0.5)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    end = time.monotonic() + 15
    while alive(child) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(child)


@pytest.mark.parametrize("one_s,batch", [(1e-3, 16), (1e-5, 64), (4e-6, 128), (0.0, proofs.LARGEST_BATCH)])
def test_the_canary_is_made_long_enough_for_the_device(monkeypatch, one_s, batch):
    """A call that takes `one_s` for each image: the batch is doubled until it takes half a millisecond."""
    work = replace(Cpu.work, canary=(16, 1, 1, 1, 1), canary_s=5e-4)
    monkeypatch.setattr(Cpu, "work", work)
    monkeypatch.setattr(proofs, "_convolution", lambda device, batch: lambda: batch)
    monkeypatch.setattr(proofs, "_timer", lambda setup, call, seconds: call() * one_s)
    assert proofs.workload(Setup("cpu", 1, QUICK, 0))() == batch


def test_samples_of_a_try_are_ordinary_samples():
    """What `validate` measures is what a sweep measures: the same function on the same kind of samples."""
    samples = proofs._samples(Setup("cpu", 1, QUICK, 3), {"a": proofs.workload(Setup("cpu", 1, QUICK, 0))})
    assert isinstance(samples, Samples)
    assert samples.arms == ("a",)
