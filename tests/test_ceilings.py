from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from convbench.devices import ceilings, device_of
from convbench.devices import cpu as cpu_device
from convbench.devices import device as devices
from convbench.devices.cpu import Cpu
from convbench.devices.device import Device

CPU = Cpu("cpu")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cpu, "work", replace(Cpu.work, products=(64, 128), copy_bytes=2**16))
    monkeypatch.setattr(Cpu, "cache_bytes", lambda device: 2**10)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.usefixtures("small")
def test_every_dtype_has_ceilings_on_a_cpu(dtype):
    found = ceilings.measure(CPU, dtype, {})
    half = {"ceiling_float32_tflops"} if dtype.endswith("16") else set()
    assert set(found) == {"ceiling_tflops", "ceiling_gbps"} | half
    for value in found.values():
        assert value is not None
        assert 0 < value < 1e5


def test_rates_are_operations_and_bytes_over_the_fastest_call(monkeypatch):
    """Each call is said to take a known time: 2·n³ operations and twice the copied bytes in it."""
    seconds = {256: 1e-4, 512: 5e-4, 1024: 0.05, 2048: 1.0}
    sizes: list[int] = []

    def fastest(device: Cpu, call: Callable[[], Any]) -> float:
        result = call()
        if result.dtype == torch.uint8:
            return 0.01
        sizes.append(len(result))
        return seconds[len(result)]

    monkeypatch.setattr(Cpu, "fastest", fastest)
    monkeypatch.setattr(Cpu, "cache_bytes", lambda device: 2**20)
    found = ceilings.measure(CPU, "float32", {})
    # 512 has the best rate; 1024 takes long enough, so that 2048 is not tried.
    assert sizes == [256, 512, 1024]
    assert found["ceiling_tflops"] == pytest.approx(2 * 512**3 / 5e-4 / 1e12)
    assert found["ceiling_gbps"] == pytest.approx(2 * 2**27 / 0.01 / 1e9)


@pytest.mark.usefixtures("small")
def test_a_copy_is_far_larger_than_the_last_cache(monkeypatch):
    monkeypatch.setattr(Cpu, "cache_bytes", lambda device: 2**16)
    monkeypatch.setattr(Cpu, "fastest", lambda device, call: call().numel())
    # Bytes read and written in a second per byte.
    assert ceilings._copy_bytes_per_s(CPU) == 2
    monkeypatch.setattr(Cpu, "fastest", lambda device, call: 1.0)
    assert ceilings._copy_bytes_per_s(CPU) == 2 * 4 * 2**16


def test_the_fastest_of_five_counts_after_one_that_does_not(monkeypatch):
    ticks = iter([0.0, 9.0, 10.0, 13.0, 20.0, 22.0, 30.0, 37.0, 40.0, 44.0])
    monkeypatch.setattr(cpu_device, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(cpu_device, "process_time", iter(range(0, 10**6, 10**4)).__next__)
    calls = []
    assert CPU.fastest(lambda: calls.append(1)) == 2.0
    assert len(calls) == 6


def test_a_device_that_works_behind_the_hosts_back_is_waited_for(monkeypatch):
    """A made-up type of device: a call takes no time on the host, and its work 3 s until it is waited for."""
    clock = {"now": 0.0, "pending": 0.0}

    def wait() -> None:
        clock["now"] += clock["pending"]
        clock["pending"] = 0.0

    def call() -> None:
        clock["pending"] += 3.0

    class Quiet(Device):
        def missing(self) -> None:
            return None

        def synchronize(self) -> None:
            wait()

    monkeypatch.setattr(devices, "perf_counter", lambda: clock["now"])
    assert Quiet("quiet").fastest(call) == 3.0


@pytest.mark.usefixtures("small")
def test_what_a_device_cannot_do_is_unknown(monkeypatch):
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("not implemented for this dtype")

    monkeypatch.setattr(torch, "mm", refuse)
    monkeypatch.setattr(torch, "zeros_like", refuse)
    assert ceilings.measure(CPU, "float16", {}) == {}


@pytest.mark.usefixtures("small")
def test_without_room_for_a_larger_product_the_smaller_one_counts(monkeypatch):
    product = ceilings._product_s

    def cramped(n: int, device: Device, dtype: torch.dtype) -> float:
        if n == 128:
            raise RuntimeError("can't allocate memory")
        return product(n, device, dtype)

    monkeypatch.setattr(ceilings, "_product_s", cramped)
    assert ceilings.measure(CPU, "float32", {})["ceiling_tflops"] > 0


@pytest.mark.usefixtures("small")
def test_what_is_known_is_not_measured_again():
    known = {"ceiling_tflops": 1e9}
    found = ceilings.measure(CPU, "float32", known)
    assert found["ceiling_tflops"] == 1e9
    assert 0 < found["ceiling_gbps"] < 1e5
    assert known == {"ceiling_tflops": 1e9}


@pytest.mark.gpu
def test_ceilings_on_a_device_are_beyond_a_cpus():
    found = ceilings.measure(device_of("cuda"), "float16", {})
    assert found["ceiling_tflops"] is not None
    assert found["ceiling_tflops"] > 1


def test_a_ceiling_on_a_busy_machine_is_that_of_the_cpu_seconds(monkeypatch):
    """Interrupted for as long as it ran in every call: the wall shows twice what it took."""
    wall, cpu = iter(range(0, 1000, 20)), iter(range(0, 1000, 10))
    monkeypatch.setattr(cpu_device, "perf_counter", lambda: float(next(wall)))
    monkeypatch.setattr(cpu_device, "process_time", lambda: float(next(cpu)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert CPU.fastest(lambda: None) == 10.0
