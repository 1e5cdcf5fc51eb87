"""Devices that this machine has none of, on stand-ins for what torch asks of them: AMD's, Intel's and Apple's GPUs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from convbench.devices import cuda, device_of, missing_device, smi
from convbench.devices.device import Device
from convbench.devices.mps import Mps
from convbench.devices.rocm import INFINITY_CACHE_BYTES, Rocm
from convbench.execution import gpus
from convbench.facts.measure import Measure
from convbench.facts.spec import Switches
from convbench.measurement import accuracy
from convbench.measurement.environment import FINGERPRINT, collect
from convbench.measurement.switches import switched
from convbench.runner import run
from convbench.timing import rounds as timing
from convbench.timing.clocks import Arm
from convbench.timing.speed_columns import columns

from .composed import configurations
from .settings import make_spec
from .simulated_cuda import Machine, SimulatedClock

MEASURE = Measure(looks=(20, 40), min_time_s=0.0, gpu_warmup_s=0.05)


@pytest.fixture(autouse=True)
def without_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


# --- AMD's, which torch calls cuda.


@pytest.fixture
def rocm(monkeypatch: pytest.MonkeyPatch) -> Rocm:
    """A torch that is built for ROCm, and one of its devices."""
    monkeypatch.setattr(torch.version, "hip", "6.4.1")
    properties = SimpleNamespace(
        name="AMD", total_memory=2**37, multi_processor_count=304, major=9, minor=4, gcnArchName="gfx942",
        L2_cache_size=2**22,
    )  # fmt: skip
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    found = device_of("cuda")
    assert isinstance(found, Rocm)
    return found


def clock_of(device: Rocm, machine: Machine, measure: Measure) -> SimulatedClock:
    """The device's clock, on a simulated machine."""

    def made(name: str, measure: Measure, **words: Any) -> SimulatedClock:
        return SimulatedClock(machine, measure, **words)

    clock: Any = device._on_stream(made, measure)  # type: ignore[arg-type]
    return clock


def test_a_torch_for_rocm_is_told_with_and_without_importing_it(rocm: Rocm, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda.is_rocm()
    monkeypatch.setattr(torch.version, "hip", None)
    assert not cuda.is_rocm()
    monkeypatch.delitem(sys.modules, "torch")
    for version, told in (("2.9.0+rocm6.4", True), ("2.9.0+cu130", False), (None, False)):
        monkeypatch.setattr(cuda, "version_of", lambda package, version=version: version)
        assert cuda.is_rocm() is told


def test_a_sleep_that_counts_another_clock_than_torch_tells_is_as_long_as_it_was_measured_to_be(rocm: Rocm) -> None:
    """gfx11 counts 100 MHz: taken for cycles of 2.9 GHz, sleeps would be 29 times as long, and most of the run."""
    machine = Machine(clock_khz=2_900_000)
    machine.cycles_per_s = 1e8
    clock = clock_of(rocm, machine, MEASURE)
    clock.ready([])
    call = machine.kernel("a", 4e-5, 1e-6)
    clock.submit(call, 20)
    clock.drain()
    before = machine.host
    clock.submit(call, 20)
    clock.drain()
    assert machine.host - before < 4 * 20 * 4e-5


def test_a_flush_goes_beyond_the_infinity_cache(rocm: Rocm) -> None:
    machine = Machine(l2_bytes=2**22)
    clock = clock_of(rocm, machine, Measure(cache="cold"))
    clock.submit(machine.kernel("a", 1e-5, 1e-5), 1)
    assert f"flush {2 * INFINITY_CACHE_BYTES}" in machine.log
    assert rocm.cache_bytes() == INFINITY_CACHE_BYTES


@pytest.mark.parametrize("allowed", [None, "1"])
def test_whether_hipblaslt_computes_in_tf32_is_part_of_the_environment(
    rocm: Rocm, monkeypatch: pytest.MonkeyPatch, allowed: str | None
) -> None:
    for name in rocm.variables():
        monkeypatch.delenv(name, raising=False)
    plain = collect("cuda", Switches())["environment_id"]
    if allowed:
        monkeypatch.setenv("HIPBLASLT_ALLOW_TF32", allowed)
    found = collect("cuda", Switches())
    assert found["tf32_in_hipblaslt"] is bool(allowed)
    assert (found["hip"], found["architecture"]) == ("6.4.1", "gfx942")
    assert (found["environment_id"] == plain) is (allowed is None)
    assert not rocm.computes_tf32()


def test_a_launch_that_waits_by_order_is_told_by_amds_word(rocm: Rocm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_LAUNCH_BLOCKING", raising=False)
    monkeypatch.setenv("HIP_LAUNCH_BLOCKING", "1")
    assert clock_of(rocm, Machine(), MEASURE).conditions()["launches_wait"] == "HIP_LAUNCH_BLOCKING=1"


def test_a_missing_one_is_called_by_its_name(rocm: Rocm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert missing_device("cuda") == "no ROCm: torch finds no usable ROCm device"


@pytest.mark.parametrize("variable", ["HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"])
def test_jobs_share_amds_devices_by_amds_variables(
    rocm: Rocm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in smi.AMD.variables:
        monkeypatch.delenv(name, raising=False)
    on_cuda = configurations(["device=cuda", "measure=none"])
    monkeypatch.setenv(variable, "2,3")
    with gpus.own_device(on_cuda, tmp_path):
        assert os.environ[variable] == "2"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.delenv(variable)
    fake = tmp_path / "rocm-smi"
    fake.write_text('#!/bin/sh\necho \'{"card1": {}, "card0": {}, "card10": {}, "system": {}}\'\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert smi.amd_names() == ["0", "1", "10"]
    with gpus.own_device(on_cuda, tmp_path):
        assert os.environ["HIP_VISIBLE_DEVICES"] == "0"


# --- What torch.accelerator carries: Intel's.


class Accelerator:
    """Stands in for torch.accelerator: `count` devices of the type `word`."""

    def __init__(self, word: str, count: int = 1) -> None:
        self._word, self._count = word, count
        self.log: list[tuple[str, str]] = []
        self.held = self.peak = 1000

    def current_accelerator(self, check_available: bool) -> torch.device | None:
        assert check_available
        return torch.device(self._word) if self._word else None

    def device_count(self) -> int:
        return self._count

    def synchronize(self, device: torch.device) -> None:
        self.log.append(("synchronize", str(device)))

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.log.append(("reset", str(device)))
        self.peak = self.held

    def memory_allocated(self, device: torch.device) -> int:
        return self.held

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.peak


def accelerated(monkeypatch: pytest.MonkeyPatch, word: str, count: int = 1) -> Accelerator:
    found = Accelerator(word, count)
    monkeypatch.setattr(torch, "accelerator", found)
    return found


@pytest.mark.parametrize(
    "device,word,said",
    [
        ("xpu", "xpu", None),
        ("xpu:1", "xpu", None),
        ("xpu:2", "xpu", "no xpu:2: torch finds 2 XPU device(s)"),
        ("xpu", "cuda", "no XPU: this torch finds no device of the type xpu"),
        ("xpu", "", "no XPU: this torch finds no device of the type xpu"),
        ("mps", "mps", None),
        ("mps", "", "no MPS: this torch finds no device of the type mps"),
    ],
)
def test_an_accelerator_is_there_where_torch_says_so(
    monkeypatch: pytest.MonkeyPatch, device: str, word: str, said: str | None
) -> None:
    accelerated(monkeypatch, word, 2)
    assert missing_device(device) == said


def test_what_is_asked_of_torch_is_there_under_these_names() -> None:
    """Of the torch that is installed; a CPU's has the modules of all devices."""
    torchs: dict[Any, Sequence[str]] = {
        torch.accelerator: [name for name in vars(Accelerator) if not name.startswith("_")] + ["device_index"],
        torch.xpu: ("Event", "Stream", "device", "stream", "synchronize", "get_device_properties"),
        torch.mps: ("synchronize", "recommended_max_memory"),
        torch.profiler.ProfilerActivity: ("CPU", "CUDA", "XPU"),
    }
    assert not [(module, name) for module, names in torchs.items() for name in names if not hasattr(module, name)]


def test_peak_of_an_accelerator_is_beyond_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    torchs = accelerated(monkeypatch, "xpu", 2)

    def call() -> None:
        torchs.log.append(("call", ""))
        torchs.peak = torchs.held + 300

    assert device_of("xpu:1").peak_bytes(call) == 300
    assert torchs.log == [("synchronize", "xpu:1"), ("reset", "xpu:1"), ("call", ""), ("synchronize", "xpu:1")]


class WithoutSleep(Machine):
    """As torch.xpu is: no sleep, no stream of the name `default`, no graphs."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("_sleep", "default_stream", "CUDAGraph"):
            raise AttributeError(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("graphs", [False, True])
def test_a_device_without_a_sleep_is_timed_and_says_where_it_waited_for_its_host(graphs: bool) -> None:
    machine = WithoutSleep()
    arms = [Arm("long", machine.kernel("long", 1e-5, 1e-3)), Arm("short", machine.kernel("short", 2e-5, 2e-6))]
    wanted = Measure(looks=(20,), min_time_s=0.0, gpu_warmup_s=0.05, cuda_graph=graphs)
    clock = SimulatedClock(machine, wanted)
    with clock.context():
        samples = timing.measure(arms, "long", wanted, clock, 0, timing.unmarked)
    rows = {arm.name: columns(samples, arm.name, "long", wanted) for arm in arms}
    assert rows["long"]["time_s"] == pytest.approx(1e-3, rel=0.05)
    assert (rows["short"]["launch_bound"], rows["short"]["cuda_graph"]) == (True, False)
    assert ("CUDAGraph" in (samples.counters["cuda_graph_error"] or "")) is graphs


def test_an_xpus_tf32_is_onednns_and_is_put_back() -> None:
    parts: Any = (torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [part.fp32_precision for part in parts]
    for tf32, word in ((True, "tf32"), (False, "ieee")):
        with switched(Switches(tf32=tf32), "xpu"):
            assert [part.fp32_precision for part in parts] == [word, word]
        assert [part.fp32_precision for part in parts] == before


def test_an_xpus_facts_make_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"name": "Arc", "total_memory": 2**34, "driver_version": "1.3", "platform_name": "Level-Zero"}
    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda device: SimpleNamespace(**told))
    first = collect("xpu", Switches())
    assert (first["gpu"], first["driver"], first["platform"]) == ("Arc", "1.3", "Level-Zero")
    told["driver_version"] = "1.4"
    assert collect("xpu", Switches())["environment_id"] != first["environment_id"]
    assert set(device_of("xpu").fingerprint) <= first.keys() | set(FINGERPRINT)


def test_jobs_share_what_the_affinity_mask_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_xpu = configurations(["device=xpu", "measure=none"])
    monkeypatch.delenv("ZE_AFFINITY_MASK", raising=False)
    with gpus.own_device(on_xpu, tmp_path):
        assert "ZE_AFFINITY_MASK" not in os.environ
    monkeypatch.setenv("ZE_AFFINITY_MASK", "1,2")
    with gpus.own_device(on_xpu, tmp_path):
        assert os.environ["ZE_AFFINITY_MASK"] == "1"


# --- Apple's.


MPS = torch.device("mps")


class OnApple(Tensor):
    """A tensor there: nothing that is computed from it is float64, and on the CPU it is a plain one."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__" and func.__self__ is Tensor.device:
            return MPS
        if name == "cpu" or (name == "to" and {"cpu", torch.device("cpu")} & set(args[1:])):
            return args[0].as_subclass(Tensor)
        found = super().__torch_function__(func, types, args, kwargs or {})
        if any(isinstance(one, OnApple) and one.dtype == torch.float64 for one in tree_leaves(found)):
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return found


class Placing(TorchFunctionMode):
    """Makes what is moved to `mps`, or made there, such a tensor."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        words = dict(kwargs or {})
        if getattr(func, "__name__", "") == "to" and {"mps", MPS} & set(args[1:]):
            return args[0].as_subclass(OnApple)
        if words.get("device") in ("mps", MPS):
            return func(*args, **{**words, "device": "cpu"}).as_subclass(OnApple)
        return func(*args, **words)


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    accelerated(monkeypatch, "mps")
    monkeypatch.setattr(torch.mps, "synchronize", lambda: None)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 2**34)
    monkeypatch.setattr(Mps, "warm_up", lambda self: None)
    # The judge takes no subclass of a tensor, which this stand-in is.
    monkeypatch.setattr(accuracy, "Tensor", OnApple)
    with Placing():
        yield device_of("mps")


@pytest.mark.parametrize("wrt", ["input", "weight"])
def test_references_of_a_device_without_float64_are_the_cpus(apple: Device, wrt: str) -> None:
    assert (apple.placed, apple.reference) == ("mps", "cpu")
    spec = make_spec(size=7, kernel=3, device="mps", wrt=wrt, methods=["autograd", "explicit"])
    result = run(spec, spec.arms, lambda method, phase: None)
    said = [(row["status"], row.get("accuracy"), row.get("reason")) for row in result.records]
    assert said == [("ok", "ok", None)] * 2


def test_the_stand_in_refuses_references_that_are_computed_there(
    apple: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mps, "has_float64", True)
    spec = make_spec(size=7, kernel=3, device="mps")
    result = run(spec, spec.arms, lambda method, phase: None)
    assert "doesn't support float64" in result.records[0]["reason"]
