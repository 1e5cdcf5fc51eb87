"""The CUDA clock's logic on a simulated host and device, and a few checks on a real one."""

# The stand-ins have the names of what they stand in for.
# ruff: noqa: N802
from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from convbench.devices import device_of
from convbench.facts.measure import Measure
from convbench.timing import backlog, event_clock, nvml
from convbench.timing import rounds as timing
from convbench.timing.clocks import Arm, Lost
from convbench.timing.event_clock import EventClock
from convbench.timing.rounds import ArmFailed
from convbench.timing.samples import Samples
from convbench.timing.speed_columns import columns

from .simulated_cuda import QUEUE, Machine, SimulatedClock

MEASURE = Measure(looks=(20, 40), min_time_s=0.0, gpu_warmup_s=0.05)


@pytest.fixture(autouse=True)
def without_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what this machine has installed."""
    monkeypatch.setitem(sys.modules, "pynvml", None)


def measure(machine: Machine, arms: list[Arm], wanted: Measure = MEASURE) -> tuple[Samples, SimulatedClock]:
    clock = SimulatedClock(machine, wanted)
    with clock.context():
        return timing.measure(arms, arms[0].name, wanted, clock, 0, lambda method, phase: None), clock


def test_device_time_is_free_of_the_hosts_launching():
    machine = Machine()
    # Both take the host ten times as long as the device, which is what makes naive loops time the host.
    arms = [Arm("a", machine.kernel("a", 5e-5, 5e-6)), Arm("b", machine.kernel("b", 9e-5, 1e-5))]
    samples, _ = measure(machine, arms)
    rows = {name: columns(samples, name, "a", MEASURE) for name in "ab"}
    # What is left of the host is one event record in a batch of a millisecond.
    assert rows["a"]["time_s"] == pytest.approx(5e-6, rel=0.01)
    assert rows["b"]["time_s"] == pytest.approx(1e-5, rel=0.01)
    assert rows["b"]["speed"] == "slower"
    assert rows["a"]["enqueue_s"] == pytest.approx(5e-5)
    assert rows["a"]["wall_s"] == pytest.approx(5e-5, rel=0.01)
    assert rows["b"]["wall_s"] == pytest.approx(9e-5, rel=0.01)
    assert rows["a"]["launch_bound"] is False
    assert rows["a"]["cuda_graph"] is False
    assert rows["a"]["throttle"] is None
    assert rows["a"]["clock_mhz"] is None


def test_a_device_that_waits_for_its_host_is_said_to():
    machine = Machine()
    # Even a tenth of a millisecond, 25 calls at 10 ms each, would need a backlog far beyond the longest one allowed.
    arms = [Arm("a", machine.kernel("a", 1e-6, 1e-4)), Arm("b", machine.kernel("b", 1e-2, 4e-6))]
    samples, _ = measure(machine, arms)
    rows = {name: columns(samples, name, "a", MEASURE) for name in "ab"}
    assert rows["b"]["launch_bound"] is True
    assert rows["a"]["launch_bound"] is False
    assert rows["b"]["calls_per_sample"] <= event_clock.MAX_CALLS


def test_a_slow_host_gets_samples_that_its_backlog_covers():
    machine = Machine()
    arms = [Arm("a", machine.kernel("a", 1e-6, 1e-4)), Arm("b", machine.kernel("b", 1e-3, 4e-6))]
    samples, _ = measure(machine, arms)
    row = columns(samples, "b", "a", MEASURE)
    assert row["launch_bound"] is False
    assert row["time_s"] == pytest.approx(4e-6, rel=0.02)
    assert row["calls_per_sample"] * 1e-3 < backlog.MAX_BACKLOG_S


def test_a_sample_is_a_batch_of_a_millisecond():
    machine = Machine()
    arms = [Arm("a", machine.kernel("a", 1e-5, 3e-5)), Arm("b", machine.kernel("b", 1e-5, 3e-3))]
    samples, _ = measure(machine, arms)
    assert samples.calls[0] == [34, 1]


@pytest.mark.parametrize("kernels", [4, 6, 12, 40])
def test_a_sample_has_no_more_launches_than_the_queue_holds(kernels):
    """At `measure=rigorous`, whose samples are longest, and with calls of many short kernels."""
    machine = Machine()

    def many() -> None:
        for _ in range(kernels):
            machine.enqueue("many", 8e-6, 3e-6)

    arms = [Arm("one", machine.kernel("one", 5e-6, 2e-5)), Arm("many", many)]
    rigorous = replace(MEASURE, gpu_sample_s=0.005)
    samples, _ = measure(machine, arms, rigorous)
    row = columns(samples, "many", "one", rigorous)
    assert row["launch_bound"] is False
    assert row["time_s"] == pytest.approx(kernels * 3e-6, rel=0.01)
    assert samples.calls[0][1] * kernels <= QUEUE


def test_an_arm_that_is_late_in_the_shortest_sample_keeps_its_length():
    machine = Machine()

    def waiting() -> None:
        machine.enqueue("waiting", 1e-5, 1e-4)
        machine.synchronize(None)

    samples, _ = measure(machine, [Arm("a", machine.kernel("a", 5e-6, 1e-4)), Arm("waiting", waiting)])
    assert samples.per_arm["waiting"]["launch_bound"] is True
    # A millisecond of calls that take 100 µs.
    assert samples.calls[0][1] == 10


def test_backlog_is_more_than_twice_the_enqueue_time():
    machine = Machine()
    call = machine.kernel("a", 4e-5, 1e-5)
    samples, clock = measure(machine, [Arm("a", call)])
    calls = samples.calls[0][0]
    machine.log.clear()
    before, host = machine.device_free, machine.host
    clock.submit(call, calls)
    slept = machine.device_free - max(before, host) - calls * 1e-5
    assert machine.log[0] == "sleep"
    assert slept > 2 * calls * 4e-5


@pytest.mark.parametrize("first_s", [0.0, 0.5])
def test_a_call_that_waits_for_its_device_does_not_wait_longer_every_time(first_s):
    """Its enqueue time contains whatever is queued before it, the sleep too; and its first call may cost a lot once."""
    machine = Machine()
    once = [first_s]

    def waits() -> None:
        machine.enqueue("waits", 1e-5 + (once.pop() if once else 0.0), 1e-4)
        machine.wait(machine.device_free)

    samples, _ = measure(machine, [Arm("a", machine.kernel("a", 1e-5, 1e-4)), Arm("waits", waits)])
    # The sleep is two and a half times what it would take alone.
    assert samples.counters["sampling_s"] < 4 * samples.measured_s
    assert columns(samples, "waits", "a", MEASURE)["launch_bound"] is True


def test_a_device_that_was_idle_when_it_was_calibrated_sleeps_long_enough_at_work():
    machine = Machine(clock_khz=1_980_000)
    machine.cycles_per_s = 345e6
    clock = SimulatedClock(machine, MEASURE)
    clock.ready([])
    machine.cycles_per_s = 1980e6
    call = machine.kernel("a", 4e-5, 1e-6)
    clock.submit(call, 20)
    clock.drain()
    clock.submit(call, 20)
    (reading,) = clock.drain()
    assert not reading.late
    assert reading.seconds == pytest.approx(1e-6, rel=0.1)


@pytest.mark.parametrize(("host_s", "device_s"), [(5e-5, 5e-6), (2e-5, 1e-5)])
def test_the_share_of_a_run_that_sleeping_leaves_to_timed_regions_is_as_stated(host_s, device_s):
    """docs/timing.md: d / (d + 2.5 h), for h = 50 µs and d = 5 µs 4%."""
    machine = Machine()
    samples, _ = measure(machine, [Arm(name, machine.kernel(name, host_s, device_s)) for name in "ab"])
    share = samples.measured_s / samples.counters["sampling_s"]
    assert share == pytest.approx(device_s / (device_s + 2.5 * host_s), rel=0.2)


@pytest.mark.parametrize(
    ("words", "clock"), [({}, 1.0), ({"gpu_warmup_s": 60.0}, 1.0), ({"gpu_warmup_s": 60.0, "max_time_s": 300.0}, 0.8)]
)
def test_a_device_that_slows_down_as_it_heats_is_timed_steady_where_it_is_warmed_up_for_long(words, clock):
    """docs/timing.md, Steady power: after half a minute of work its clock is 80% of what it was."""
    machine = Machine()

    def call() -> None:
        machine.enqueue("a", 1e-4, 1e-2 if machine.host < 30 else 1e-2 / 0.8)

    wanted = replace(MEASURE, gpu_warmup_s=0.5) if not words else replace(MEASURE, **words)
    samples, _ = measure(machine, [Arm("a", call)], wanted)
    assert columns(samples, "a", "a", wanted)["time_s"] == pytest.approx(1e-2 / clock, rel=0.01)


def test_clocks_of_one_device_share_a_stream(monkeypatch):
    machine = Machine()
    made: list[Any] = []
    stream = machine.Stream

    def counted(device: Any) -> Any:
        made.append(device)
        return stream(device)

    monkeypatch.setattr(machine, "Stream", counted)
    for _ in range(3):
        measure(machine, [Arm("a", machine.kernel("a", 1e-5, 1e-5))])
    assert len(made) == 1


def test_the_host_waits_once_in_ten_rounds():
    machine = Machine()
    arms = [Arm(name, machine.kernel(name, 1e-5, 1e-5)) for name in "ab"]
    wanted = replace(MEASURE, looks=(20,))
    clock = SimulatedClock(machine, wanted)
    waits = []

    def stage(method: str, phase: str) -> None:
        waits.append(machine.waits)

    samples = timing.measure(arms, "a", wanted, clock, 0, stage)
    # The last 40 marks before the two for the host's own times are those of 20 rounds of two arms.
    sampled = waits[-42:-2]
    assert samples.rounds == 20
    assert sampled[-1] - sampled[0] == 1


def test_caches_are_flushed_before_every_call_outside_the_events():
    machine = Machine(l2_bytes=4096)
    wanted = replace(MEASURE, cache="cold")
    samples, _ = measure(machine, [Arm("a", machine.kernel("a", 1e-5, 2e-5))], wanted)
    row = columns(samples, "a", "a", wanted)
    assert row["cache"] == "cold"
    assert row["calls_per_sample"] == event_clock.MAX_COLD_CALLS
    assert row["time_s"] == pytest.approx(2e-5, rel=0.1)
    taken = machine.log[machine.log.index("sleep", 5) :]
    calls = [i for i, name in enumerate(taken) if name == "a"]
    sampled = [i for i in calls if taken[i - 1] == "event" and taken[i + 1] == "event"]
    assert len(sampled) > 20 * event_clock.MAX_COLD_CALLS
    assert all(taken[i - 2] == "flush 8192" for i in sampled)


def test_flush_is_twice_the_cache_or_a_safe_size():
    assert event_clock.flush_bytes(SimpleNamespace(L2_cache_size=50 * 2**20)) == 100 * 2**20
    assert event_clock.flush_bytes(SimpleNamespace()) == 2 * event_clock.DEFAULT_L2_BYTES


def test_graphs_are_replayed_for_all_arms():
    machine = Machine()
    arms = [Arm("a", machine.kernel("a", 5e-5, 5e-6)), Arm("b", machine.kernel("b", 9e-5, 1e-5))]
    wanted = replace(MEASURE, cuda_graph=True)
    samples, _ = measure(machine, arms, wanted)
    rows = [columns(samples, name, "a", wanted) for name in "ab"]
    assert all(row["cuda_graph"] is True for row in rows)
    # Replaying costs the host 2 µs, launching would cost it 50 µs and 90 µs.
    assert [row["enqueue_s"] for row in rows] == pytest.approx([2e-6, 2e-6])
    assert [row["time_s"] for row in rows] == pytest.approx([5e-6, 1e-5], rel=0.01)


def test_no_arm_is_replayed_where_one_cannot_be_captured():
    machine = Machine()
    machine.refuses_capture = True
    arms = [Arm(name, machine.kernel(name, 5e-5, 5e-6)) for name in "ab"]
    wanted = replace(MEASURE, cuda_graph=True)
    samples, _ = measure(machine, arms, wanted)
    row = columns(samples, "b", "a", wanted)
    assert row["cuda_graph"] is False
    assert row["enqueue_s"] == pytest.approx(5e-5)
    assert "not permitted" in samples.counters["cuda_graph_error"]


def test_a_method_that_raises_while_it_is_captured_is_timed_without_graphs():
    machine = Machine()

    def refuses() -> None:
        if machine.capturing is not None:
            raise ValueError("no capture,\nplease")
        machine.enqueue("b", 5e-5, 5e-6)

    wanted = replace(MEASURE, cuda_graph=True)
    samples, _ = measure(machine, [Arm("a", machine.kernel("a", 5e-5, 5e-6)), Arm("b", refuses)], wanted)
    row = columns(samples, "b", "a", wanted)
    assert row["cuda_graph"] is False
    assert row["time_s"] == pytest.approx(5e-6, rel=0.01)
    assert samples.counters["cuda_graph_error"] == "ValueError: no capture, please"


def test_what_needs_no_inference_mode_is_captured_first_and_keeps_its_place():
    machine = Machine()
    captured = []

    def call(name: str) -> None:
        if machine.capturing is not None:
            captured.append((name, torch.is_inference_mode_enabled()))
        machine.enqueue(name, 1e-5, 1e-5)

    contexts = {"a": torch.inference_mode, "b": nullcontext, "c": torch.inference_mode, "d": nullcontext}
    arms = [Arm(name, partial(call, name), context) for name, context in contexts.items()]
    clock = SimulatedClock(machine, replace(MEASURE, cuda_graph=True))
    ready = clock.ready(arms)
    assert list(dict.fromkeys(captured)) == [("b", False), ("d", False), ("a", True), ("c", True)]
    assert [arm.name for arm in ready] == list(contexts)
    for arm in ready:
        machine.log.clear()
        arm.call()
        assert machine.log == [arm.name]


def test_graphs_of_an_earlier_start_are_given_up():
    machine = Machine()
    arms = [Arm(name, machine.kernel(name, 1e-5, 1e-5)) for name in "abc"]
    clock = SimulatedClock(machine, replace(MEASURE, cuda_graph=True))
    clock.ready(arms)
    clock.ready(arms[:2])
    assert len(clock._graphs) == 2


def reason_of(machine: Machine, call: Any, **settings: Any) -> str:
    """Why the one arm fails that is no ordinary one; the ordinary one has no part in it."""
    arms = [Arm("a", machine.kernel("a", 1e-5, 1e-4)), Arm("astray", call)]
    with pytest.raises(ArmFailed) as failed:
        measure(machine, arms, replace(MEASURE, **settings))
    assert failed.value.name == "astray"
    assert isinstance(failed.value.error, Lost)
    assert failed.value.error.row["accuracy"] == "fail"
    return str(failed.value.error.row["reason"])


@pytest.mark.parametrize("stream", ["default", "other"])
@pytest.mark.parametrize("device_s", [1e-4, 3e-4])
def test_work_that_is_not_on_the_timed_stream_is_a_failure(stream, device_s):
    machine = Machine()
    said = reason_of(machine, machine.kernel("astray", 1e-5, device_s, stream))
    assert "current stream" in said
    told = re.search(r"at least (\S+) µs a call", said)
    assert told is not None
    # What runs while the host still enqueues cannot be told from what is timed.
    assert 0.89 * device_s <= float(told[1]) * 1e-6 <= device_s


def test_a_launch_on_the_default_stream_is_seen_where_the_host_is_slower_than_it():
    """Its wall time is the host's, in which 5 µs of the device do not show."""
    machine = Machine()
    assert "at least 5 µs a call" in reason_of(machine, machine.kernel("astray", 1e-5, 5e-6, "default"))


@pytest.mark.parametrize("stream", ["default", "other"])
def test_half_of_the_work_on_a_stream_that_nobody_waits_for_is_a_failure(stream):
    machine = Machine()

    def call() -> None:
        machine.enqueue("half", 1e-5, 1e-4)
        machine.enqueue("half", 1e-5, 1e-4, stream)

    reason_of(machine, call)


def test_what_is_on_the_timed_stream_is_none_of_that():
    """A slow host, short and long kernels, and a call that waits for its device."""
    machine = Machine()

    def waits() -> None:
        machine.enqueue("waits", 1e-5, 1e-4)
        machine.synchronize(None)

    kernels = {"slow": (1e-3, 4e-6), "short": (5e-6, 2e-6), "long": (1e-5, 5e-3)}
    arms = [Arm(name, machine.kernel(name, *seconds)) for name, seconds in kernels.items()]
    measure(machine, [*arms, Arm("waits", waits)])


def test_a_graph_that_captured_nothing_is_a_failure():
    machine = Machine()
    said = reason_of(machine, machine.kernel("astray", 1e-5, 1e-4, "default"), cuda_graph=True)
    assert "launch nothing on torch's current stream" in said


def test_a_replay_that_returns_something_else_is_a_failure():
    """What the host computes is not captured: the graph's result stays what it was filled with."""
    machine = Machine()
    value = torch.ones(3)

    def call() -> torch.Tensor:
        machine.enqueue("astray", 1e-5, 1e-4)
        return value.clone()

    assert "returns something else" in reason_of(machine, call, cuda_graph=True)


def test_short_kernels_keep_their_ratio_in_graphs():
    """Each launch of a graph keeps the device for a time that is not the call's."""
    machine = Machine()
    machine.launch_s = 2.5e-6
    arms = [Arm("a", machine.kernel("a", 5e-6, 4e-6)), Arm("b", machine.kernel("b", 5e-6, 2e-6))]
    wanted = replace(MEASURE, cuda_graph=True)
    samples, _ = measure(machine, arms, wanted)
    # With one call in a graph: (4 + 2.5) / (2 + 2.5) = 1.44.
    assert columns(samples, "b", "a", wanted)["speedup"] == pytest.approx(2.0, rel=0.05)


def test_what_two_events_take_is_recorded():
    machine = Machine()
    machine.event_s = 1.5e-6
    samples, _ = measure(machine, [Arm(n, machine.kernel(n, 1e-5, 2e-5)) for n in "ab"])
    assert columns(samples, "b", "a", MEASURE)["event_s"] == pytest.approx(1.5e-6)


def test_sleeps_are_calibrated_again_when_the_device_is_warm():
    """torch 2.9 tells no clock rate: a sleep of so many cycles is then as long as they took on an idle device."""
    machine = Machine()
    machine.cycles_per_s = 345e6
    slow = machine.kernel("slow", 8e-5, 1e-6)

    def warms() -> None:
        if machine.host > 0.03:
            machine.cycles_per_s = 1980e6
        slow()

    arms = [Arm("a", warms), Arm("b", machine.kernel("b", 1e-6, 1e-6))]
    samples, _ = measure(machine, arms)
    row = columns(samples, "a", "b", MEASURE)
    assert row["launch_bound"] is False
    assert row["speedup"] == pytest.approx(1.0, rel=0.05)


def test_a_call_without_work_has_the_time_of_the_events_resolution():
    machine = Machine()
    clock = SimulatedClock(machine, MEASURE)
    start = machine.Event(enable_timing=True)
    assert clock._seconds(start, start) == event_clock.RESOLUTION_S


def test_nothing_queued_gives_no_readings():
    assert SimulatedClock(Machine(), MEASURE).drain() == []


class Library(ModuleType):
    """Stands in for pynvml: a device that is capped by its power in every second read."""

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.reads = 0
        self.broken = False

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.NVMLError

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in ("GPU-1234", "MIG-5678"):
            raise self.NVMLError
        return uuid

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:
        assert handle == "MIG-5678"
        return "GPU-1234"

    def nvmlDeviceGetMaxClockInfo(self, handle: str, kind: int) -> int:
        assert (handle, kind) == ("GPU-1234", self.NVML_CLOCK_SM)
        return 1980

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        assert handle == "GPU-1234"
        self.reads += 1
        if self.reads == 3:
            raise self.NVMLError
        # Idle and user-set clocks are no throttling; a single thermal event in twenty is not worth a word.
        return 0x3 | (0x4 if self.reads % 2 else 0) | (0x40 if self.reads == 5 else 0)

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:
        assert kind == self.NVML_CLOCK_SM
        return 1500 + self.reads


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


def test_throttling_and_clocks_are_read_once_per_batch(library):
    machine = Machine(uuid="1234")
    wanted = replace(MEASURE, looks=(200,))
    samples, _ = measure(machine, [Arm(n, machine.kernel(n, 1e-5, 1e-5)) for n in "ab"], wanted)
    row = columns(samples, "b", "a", wanted)
    assert library.reads == 20
    assert row["throttle"] == "power_cap"
    # The median of 1501 to 1520 without 1503, which could not be read.
    assert row["clock_mhz"] == 1511.0


def test_the_clock_is_read_while_the_device_is_at_work(library, monkeypatch):
    machine = Machine(uuid="1234")
    at_work = []

    def clock_info(handle: str, kind: int) -> int:
        at_work.append(machine.device_free > machine.host)
        return 1500

    monkeypatch.setattr(library, "nvmlDeviceGetClockInfo", clock_info)
    measure(machine, [Arm(n, machine.kernel(n, 1e-5, 1e-4)) for n in "ab"])
    assert at_work
    assert all(at_work)


def test_a_device_that_is_not_throttled_says_so(library):
    device = nvml.open_device("1234")
    assert device is not None
    assert device.seen() == nvml.UNSEEN
    library.reads = 1
    device.read()
    assert device.seen() == {"throttle": "none", "clock_mhz": 1502.0, "highest_mhz": 1980.0}


def test_of_a_mig_slice_the_whole_device_is_read(library):
    device = nvml.open_device("5678")
    assert device is not None
    device.read()
    assert device.seen()["clock_mhz"] == 1501.0


def test_a_variable_that_makes_launches_wait_is_told(monkeypatch):
    monkeypatch.setenv("SOME_LAUNCH_BLOCKING", "1")
    waiting = ("SOME_LAUNCH_BLOCKING", "OTHER")
    assert SimulatedClock(Machine(), MEASURE, waiting=waiting).conditions()["launches_wait"] == "SOME_LAUNCH_BLOCKING=1"
    assert SimulatedClock(Machine(), MEASURE, waiting=("OTHER",)).conditions()["launches_wait"] is None


def test_older_bindings_have_the_older_name():
    older = SimpleNamespace(
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x20,
        nvmlDeviceGetClockInfo=lambda handle, kind: 900,
        NVML_CLOCK_SM=1,
        NVMLError=RuntimeError,
    )
    device = nvml.Nvml(older, None)
    device.read()
    assert device.seen() == {"throttle": "sw_thermal", "clock_mhz": 900.0, "highest_mhz": None}


def test_without_a_usable_library_nothing_is_known(library, monkeypatch):
    assert nvml.open_device("of-another-machine") is None
    library.broken = True
    assert nvml.open_device("1234") is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.open_device("1234") is None


@pytest.mark.gpu
@pytest.mark.parametrize("settings", [{}, {"cache": "cold"}, {"cuda_graph": True}])
def test_on_a_device_twice_the_work_takes_twice_as_long(settings):
    wanted = replace(Measure(), **settings)
    clock = device_of("cuda").clock(wanted)
    assert isinstance(clock, EventClock)
    with clock.context():
        a = torch.randn(2048, 2048, device="cuda")

        def once() -> Any:
            return a @ a

        def twice() -> Any:
            return (a @ a, a @ a)

        samples = timing.measure(
            [Arm("once", once), Arm("twice", twice)], "once", wanted, clock, 0, lambda method, phase: None
        )
    row = columns(samples, "twice", "once", wanted)
    assert row["speedup"] == pytest.approx(0.5, rel=0.1)
    assert row["launch_bound"] is False
    assert row["cuda_graph"] is bool(settings.get("cuda_graph"))
    assert row["wall_s"] >= 0.9 * row["time_s"]


@pytest.mark.gpu
def test_on_a_device_the_time_agrees_with_tritons_do_bench():
    testing = pytest.importorskip("triton.testing")
    a = torch.randn(4096, 4096, device="cuda")
    wanted = replace(Measure(), cache="cold")
    clock = device_of("cuda").clock(wanted)
    with clock.context():
        before = testing.do_bench(lambda: a @ a, return_mode="median") * 1e-3
        samples = timing.measure([Arm("a", lambda: a @ a)], "a", wanted, clock, 0, lambda method, phase: None)
        # Before and after: where power limits the clock, it is not the same for long.
        after = testing.do_bench(lambda: a @ a, return_mode="median") * 1e-3
    seconds = columns(samples, "a", "a", wanted)["time_s"]
    assert 0.95 * min(before, after) <= seconds <= 1.05 * max(before, after)
