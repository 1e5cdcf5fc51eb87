"""What is asked of a device: of the CPU for real, of CUDA on a stand-in for torch.cuda where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from convbench import devices
from convbench.devices import device_of, missing_device, nvidia
from convbench.devices.cpu import Cpu
from convbench.devices.device import Device
from convbench.endings import failure
from convbench.execution.child_main import _Watch
from convbench.measurement import problem
from convbench.memory_columns import memory_columns
from convbench.methods import explicit
from convbench.runner import run
from convbench.timing.clocks import Arm
from tests.settings import make_spec

X = torch.ones(2, 3, 8, 8)
MIB = 2**20


class Allocator:
    """Stands in for torch.cuda: `log` holds what was asked and of which device, `held` the bytes in use."""

    def __init__(self, initialized: bool = True) -> None:
        self.log: list[tuple[str, str]] = []
        self.initialized = initialized
        self.held = self.peak = 1000

    def is_initialized(self) -> bool:
        return self.initialized

    def synchronize(self, device: str) -> None:
        self.log.append(("synchronize", device))

    def reset_peak_memory_stats(self, device: str) -> None:
        self.log.append(("reset", device))
        self.peak = self.held

    def memory_allocated(self, device: str) -> int:
        return self.held

    def max_memory_allocated(self, device: str) -> int:
        self.log.append(("peak", device))
        return self.peak

    def take(self, size: int) -> None:
        self.held += size
        self.peak = max(self.peak, self.held)

    def get_device_properties(self, device: str) -> Any:
        self.log.append(("properties", device))
        return SimpleNamespace(name="GPU 1", total_memory=10**9, multi_processor_count=100, major=9, minor=0)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Allocator:
    allocator = Allocator()
    monkeypatch.setattr(torch, "cuda", allocator)
    return allocator


def test_which_device_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_device("cpu") is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert missing_device("cuda") is None
    assert missing_device("cuda:1") is None
    assert missing_device("tpu") == "no tpu: convbench knows cpu, cuda, xpu, mps", "CUDA is no answer for it"
    assert missing_device("cuda:2") == "no cuda:2: torch finds 2 CUDA device(s)"


def no_cuda(monkeypatch: pytest.MonkeyPatch, driver: str | None, refusal: str, built_for: str | None = "13.0") -> str:
    """Why CUDA is missing, where torch says so and the machine has this driver."""

    def init() -> None:
        raise RuntimeError(refusal)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    monkeypatch.setattr(nvidia, "nvidia_driver", lambda: driver)
    monkeypatch.setattr(torch, "__version__", "2.13.0")
    said = missing_device("cuda")
    assert said is not None
    return said


OLD = "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver by downloading"


def test_a_driver_that_is_too_old_is_named_with_what_fits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert no_cuda(monkeypatch, "535.154.05", OLD) == (
        "no CUDA: The NVIDIA driver on your system is too old (found version 12020) (driver 535.154.05, torch 2.13.0 "
        "built for CUDA 13.0, which needs driver 580 or newer: install a torch that is built for CUDA 12, or update "
        "the driver)"
    )
    assert "install" not in no_cuda(monkeypatch, "390.1", OLD)


def test_torchs_own_reason_is_quoted_where_the_driver_is_not_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices()"
    assert no_cuda(monkeypatch, "580.65", said) == (
        "no CUDA: Unexpected error from cudaGetDeviceCount() (driver 580.65, torch 2.13.0 built for CUDA 13.0)"
    )
    assert no_cuda(monkeypatch, None, "Found no NVIDIA driver on your system.") == (
        "no CUDA: Found no NVIDIA driver on your system (driver not found, torch 2.13.0 built for CUDA 13.0)"
    )
    assert no_cuda(monkeypatch, None, "", None) == "no CUDA: this torch is built without CUDA"


class Absent(Device):
    """A type of device of which this machine has none: whoever waits for one hears so."""

    def missing(self) -> str:
        return f"no {self.name} here"

    def synchronize(self) -> None:
        raise RuntimeError("no such device")


def test_a_missing_device_of_a_new_type_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a child: the watch over the device has nothing to say of one that is not there."""
    monkeypatch.setattr(devices, "_type", lambda word: Absent)
    spec = make_spec(device="cuda")
    marks: list[tuple[str, str]] = []
    watch = _Watch(SimpleNamespace(stage=lambda *mark: marks.append(mark)), spec.device)  # type: ignore[arg-type]
    result = run(spec, spec.arms, watch)
    watch("autograd", "prepare")
    watch.check()
    assert {(row["status"], row["reason"]) for row in result.records} == {("skipped", "no cuda here")}


def test_waiting_is_for_the_device_that_is_named_and_for_none_that_was_not_used(cuda: Allocator) -> None:
    """cuda:1 is not the current device of a process that has chosen none."""
    device_of("cpu").synchronize()
    device_of("cuda:1").synchronize()
    assert cuda.log == [("synchronize", "cuda:1")]
    cuda.initialized = False
    device_of("cuda").synchronize()
    assert cuda.log == [("synchronize", "cuda:1")]


def test_facts_are_of_the_device_that_is_named(cuda: Allocator) -> None:
    assert device_of("cpu").facts() == {}
    found = device_of("cuda:1").facts()
    assert (found["gpu"], found["compute_capability"]) == ("GPU 1", "9.0")
    assert cuda.log == [("properties", "cuda:1")]


def test_peak_on_cuda_is_beyond_what_was_there_and_waits_before_and_after(cuda: Allocator) -> None:
    cuda.take(5000)
    cuda.take(-5000)

    def call() -> None:
        cuda.log.append(("call", ""))
        cuda.take(300)
        cuda.take(-100)

    assert device_of("cuda:1").peak_bytes(call) == 300
    asked = ["synchronize", "reset", "call", "synchronize", "peak"]
    assert cuda.log == [(what, "" if what == "call" else "cuda:1") for what in asked]


def test_peak_is_the_most_that_is_held_at_once():
    def call() -> torch.Tensor:
        first = torch.empty(MIB, dtype=torch.uint8)
        second = torch.empty(2 * MIB, dtype=torch.uint8)
        del first
        third = torch.empty(MIB, dtype=torch.uint8)
        del second, third
        return torch.empty(MIB // 2, dtype=torch.uint8)

    assert device_of("cpu").peak_bytes(call) == 3 * MIB


def test_peak_includes_the_result_and_not_what_was_there_before():
    before = torch.empty(8 * MIB, dtype=torch.uint8)
    assert device_of("cpu").peak_bytes(lambda: torch.empty(MIB, dtype=torch.uint8)) == MIB
    assert before.numel() == 8 * MIB
    assert device_of("cpu").peak_bytes(lambda: before.zero_()) == 0


def test_peak_of_unfold_is_its_column_matrix_at_least():
    columns = 3 * 9 * 6 * 6 * 2 * 4
    peak = device_of("cpu").peak_bytes(lambda: F.unfold(X, 3))
    assert peak is not None
    assert columns <= peak <= 2 * columns


def test_peak_is_unknown_where_torch_has_no_profiler(monkeypatch):
    monkeypatch.setattr(torch.profiler, "kineto_available", lambda: False)
    assert device_of("cpu").peak_bytes(lambda: None) is None


@pytest.mark.gpu
def test_peak_on_a_device():
    assert device_of("cuda").peak_bytes(lambda: torch.empty(MIB, dtype=torch.uint8, device="cuda")) == MIB


def test_the_memory_pass_is_in_the_devices_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Triton kernel for cuda:1 is launched on the current device, which is another one elsewhere."""
    inside: list[str] = []

    @contextmanager
    def context(device: Cpu) -> Iterator[None]:
        inside.append(device.name)
        yield
        inside.pop()

    monkeypatch.setattr(Cpu, "context", context)
    seen: list[list[str]] = []
    made = problem.make(make_spec())
    call = explicit.prepare(made)
    arm = Arm("explicit", lambda: seen.append(list(inside)) or call())  # type: ignore[func-returns-value]
    assert memory_columns(arm, explicit.prepare, made)["saved_bytes"] is not None
    assert seen
    assert all(where == ["cpu"] for where in seen)


STICKY = """CUDA error: an illegal memory access was encountered
Search for `cudaErrorIllegalAddress' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""


def test_the_reason_of_a_broken_device_is_its_first_line() -> None:
    row = failure(torch.AcceleratorError(STICKY))
    assert row == {
        "status": "error",
        "reason": "AcceleratorError: CUDA error: an illegal memory access was encountered",
    }
    assert failure(ValueError("one\ntwo"))["reason"] == "ValueError: one two"
    assert (
        failure(RuntimeError(STICKY.replace("an illegal memory access was encountered", "out of memory")))["status"]
        == "oom"
    )


class Queued(Cpu):
    """The CPU as a device that is waited for."""

    is_host = False
    waited = 0

    def synchronize(self) -> None:
        Queued.waited += 1


def test_a_device_is_used_before_the_first_method_is_prepared_and_once_in_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    monkeypatch.setattr(Cpu, "warm_up", lambda self: done.append("warm"))
    prepare = explicit.prepare

    def watched(made: Any) -> Any:
        done.append("prepare")
        return prepare(made)

    monkeypatch.setattr(explicit, "prepare", watched)
    devices.warm.cache_clear()
    spec = make_spec(size=5, kernel=3, methods=["explicit"], baseline="explicit")
    for _ in range(2):
        run(spec, spec.arms, lambda method, phase: None)
    assert done == ["warm", "prepare", "prepare"]


def test_warming_up_loads_what_a_backward_pass_loads_and_waits_for_it() -> None:
    with torch.autograd.profiler.profile() as profile:
        Queued("cpu").warm_up()
    names = {event.name for event in profile.function_events}
    assert {"aten::convolution", "aten::convolution_backward", "aten::mm"} <= names
    assert Queued.waited == 1
    with torch.autograd.profiler.profile() as profile:
        Cpu("cpu").warm_up()
    assert not {event.name for event in profile.function_events} & names
