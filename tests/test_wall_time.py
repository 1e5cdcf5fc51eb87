"""Wall-clock time beside device time, on a simulated host and device with a queue between them."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from convbench.facts.measure import Measure
from convbench.facts.record import Record
from convbench.findings.finders import find
from convbench.results.rows import Rows
from convbench.timing import rounds as timing
from convbench.timing.clocks import Arm
from convbench.timing.figures import with_figures
from convbench.timing.samples import Samples
from tests.made_up import spec, timed
from tests.made_up import timing as figures_of
from tests.test_terminal import text

from .simulated_cuda import Machine, SimulatedClock, SimulatedWallClock

MEASURE = Measure(looks=(20, 40), min_time_s=0.0, gpu_warmup_s=0.05)


@pytest.fixture(autouse=True)
def without_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def launched(machine: Machine) -> list[Arm]:
    """autograd: 60 µs of launching, 5.0 µs of work; explicit: 15 and 5.2."""
    return [
        Arm("autograd", machine.kernel("a", 60e-6, 5.0e-6)),
        Arm("explicit", machine.kernel("b", 15e-6, 5.2e-6)),
    ]


def samples_of(machine: Machine, timed_as: str, wanted: Measure = MEASURE) -> Samples:
    clock: Any = (SimulatedClock if timed_as == "call" else SimulatedWallClock)(machine, wanted)
    with clock.context():
        found = timing.measure(launched(machine), "autograd", wanted, clock, 0, lambda method, phase: None)
    return replace(found, timed_as=timed_as)


def row_of(parts: list[Samples], wanted: Measure = MEASURE) -> Record:
    row = {"method": "explicit", "status": "ok", "accuracy": "ok", "flops": 1, "bytes": 1, "threads": 1}
    return with_figures(row, parts, "autograd", wanted)


def test_slower_on_the_device_and_four_times_as_fast_on_the_wall():
    machine = Machine()
    row = row_of([samples_of(machine, "call"), samples_of(machine, "wall")])
    assert row["speedup"] == pytest.approx(5.0 / 5.2, rel=0.01)
    assert row["speed"] == "slower"
    assert (row["wall_speedup"], row["wall_speed"]) == (pytest.approx(4.0, rel=0.01), "faster")
    assert row["wall_speedup_low"] <= row["wall_speedup"] <= row["wall_speedup_high"]
    assert row["wall_s"] == pytest.approx(15e-6, rel=0.01)
    assert row["time"] == "device"


def test_a_latency_is_of_one_call_and_not_the_mean_of_many():
    """On the wall a call takes what launching it does, as the device works meanwhile; alone it takes both."""
    row = row_of([samples_of(Machine(), "call"), samples_of(Machine(), "wall")])
    assert row["wall_s"] == pytest.approx(15e-6, rel=0.01)
    assert row["latency_s"] == pytest.approx(15e-6 + 5.2e-6, rel=0.01)
    cold = row_of([replace(samples_of(Machine(), "wall", replace(MEASURE, cache="cold")), timed_as="call")])
    assert cold["time_s"] == pytest.approx(15e-6 + 5.2e-6, rel=0.01)
    assert (cold["cache"], cold["time"]) == ("cold", "wall")


def test_a_busy_device_takes_as_long_on_the_wall_as_on_the_device():
    machine = Machine()
    arms = [Arm("autograd", machine.kernel("a", 1e-5, 1e-3)), Arm("explicit", machine.kernel("b", 2e-5, 5e-4))]
    clock = SimulatedWallClock(machine, MEASURE)
    with clock.context():
        found = timing.measure(arms, "autograd", MEASURE, clock, 0, lambda method, phase: None)
    row = row_of([replace(found, timed_as="call")])
    assert row["time_s"] == pytest.approx(5e-4, rel=0.02)
    assert row["speedup"] == pytest.approx(2.0, rel=0.02)


def test_graphs_leave_the_host_out_of_the_wall_time():
    row = row_of([replace(samples_of(Machine(), "wall", replace(MEASURE, cuda_graph=True)), timed_as="call")])
    assert row["cuda_graph"] is True
    assert row["time_s"] == pytest.approx(5.2e-6, rel=0.05)
    assert row["speed"] in ("equivalent", "slower")


def test_work_on_another_stream_is_waited_for():
    machine = Machine()
    arms = [Arm("autograd", machine.kernel("a", 1e-6, 1e-4)), Arm("explicit", machine.kernel("b", 1e-6, 1e-4, "other"))]
    clock = SimulatedWallClock(machine, MEASURE)
    with clock.context():
        found = timing.measure(arms, "autograd", MEASURE, clock, 0, lambda method, phase: None)
    assert row_of([replace(found, timed_as="call")])["speedup"] == pytest.approx(1.0, rel=0.02)


# What a person sees.


def on_cuda(device: dict[str, float], wall: dict[str, float], **values: Any) -> list[Record]:
    of = spec(methods=("autograd", "explicit"), device="cuda")
    rows = timed(of, device, time="device", **values)
    for row in rows:
        seen = figures_of(wall[row["method"]], wall["autograd"])
        row.update({f"wall_{name}": seen[name] for name in ("speedup", "speedup_low", "speedup_high", "speed")})
        row.update(wall_s=seen["time_s"], wall_low_s=seen["time_low_s"], wall_high_s=seen["time_high_s"])
    return rows


DEVICE, WALL = {"autograd": 5.0e-6, "explicit": 5.6e-6}, {"autograd": 6e-5, "explicit": 1.5e-5}


def test_a_finding_says_where_the_host_decides_and_what_to_do():
    (finding,) = [f for f in find(Rows.of(on_cuda(DEVICE, WALL))) if f.kind == "host_decides"]
    assert finding.sentence == (
        "on cuda the host decides, not the device: explicit is slower by device time (0.89×) and faster by wall time "
        "(4.00×), launched call by call"
    )
    for remedy in ("measure.cuda_graph=true", "torch.compile", "larger batch", "measure.time=wall"):
        assert remedy in finding.remedy
    assert not [f for f in find(Rows.of(on_cuda(DEVICE, DEVICE))) if f.kind == "host_decides"]


def test_the_table_shows_wall_time_beside_device_time():
    for width in (40, 80, 120, 200):
        shown = text(on_cuda(DEVICE, WALL), width)
        assert "0.89×" in shown
        assert "4.00×" in shown
        assert "wall" in shown
    assert "4.00× [3.96, 4.04]" in text(on_cuda(DEVICE, WALL), 200)
