from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from convbench.timing import ceilings


def done() -> None:
    """A CPU has done its work when the call returns."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ceilings.SIZES, "cpu", (64, 128))
    monkeypatch.setitem(ceilings.COPY_BYTES, "cpu", 2**16)
    monkeypatch.setattr(ceilings, "last_level_cache_bytes", lambda: 2**10)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.usefixtures("small")
def test_every_dtype_has_ceilings_on_a_cpu(dtype):
    found = ceilings.measure("cpu", dtype, {}, done)
    half = {"ceiling_float32_tflops"} if dtype.endswith("16") else set()
    assert set(found) == {"ceiling_tflops", "ceiling_gbps"} | half
    for value in found.values():
        assert value is not None
        assert 0 < value < 1e5


def test_rates_are_operations_and_bytes_over_the_fastest_call(monkeypatch):
    """Each call is said to take a known time: 2·n³ operations and twice the copied bytes in it."""
    seconds = {256: 1e-4, 512: 5e-4, 1024: 0.05, 2048: 1.0}
    sizes: list[int] = []

    def fastest(device: str, call: Callable[[], Any], synchronize: Callable[[], None]) -> float:
        result = call()
        if result.dtype == torch.uint8:
            return 0.01
        sizes.append(len(result))
        return seconds[len(result)]

    monkeypatch.setattr(ceilings, "_fastest", fastest)
    monkeypatch.setattr(ceilings, "last_level_cache_bytes", lambda: 2**20)
    found = ceilings.measure("cpu", "float32", {}, done)
    # 512 has the best rate; 1024 takes long enough, so that 2048 is not tried.
    assert sizes == [256, 512, 1024]
    assert found["ceiling_tflops"] == pytest.approx(2 * 512**3 / 5e-4 / 1e12)
    assert found["ceiling_gbps"] == pytest.approx(2 * 2**27 / 0.01 / 1e9)


@pytest.mark.usefixtures("small")
def test_a_copy_is_far_larger_than_the_last_cache(monkeypatch):
    monkeypatch.setattr(ceilings, "last_level_cache_bytes", lambda: 2**16)
    monkeypatch.setattr(ceilings, "_fastest", lambda device, call, wait: call().numel())
    # Bytes read and written in a second per byte.
    assert ceilings._copy_bytes_per_s("cpu", "cpu", done) == 2
    monkeypatch.setattr(ceilings, "_fastest", lambda device, call, wait: 1.0)
    assert ceilings._copy_bytes_per_s("cpu", "cpu", done) == 2 * 4 * 2**16


def test_the_fastest_of_five_counts_after_one_that_does_not(monkeypatch):
    ticks = iter([0.0, 9.0, 10.0, 13.0, 20.0, 22.0, 30.0, 37.0, 40.0, 44.0])
    monkeypatch.setattr(ceilings, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(ceilings, "process_time", iter(range(0, 10**6, 10**4)).__next__)
    calls = []
    assert ceilings._fastest("cpu", lambda: calls.append(1), done) == 2.0
    assert len(calls) == 6


def test_a_device_that_works_behind_the_hosts_back_is_waited_for(monkeypatch):
    """A made-up type of device: a call takes no time on the host, and its work 3 s until it is waited for."""
    clock = {"now": 0.0, "pending": 0.0}

    def wait() -> None:
        clock["now"] += clock["pending"]
        clock["pending"] = 0.0

    def call() -> None:
        clock["pending"] += 3.0

    monkeypatch.setattr(ceilings, "perf_counter", lambda: clock["now"])
    assert ceilings._fastest("mps", call, wait) == 3.0


@pytest.mark.usefixtures("small")
def test_what_a_device_cannot_do_is_unknown(monkeypatch):
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("not implemented for this dtype")

    monkeypatch.setattr(torch, "mm", refuse)
    monkeypatch.setattr(torch, "zeros_like", refuse)
    assert ceilings.measure("cpu", "float16", {}, done) == {}


@pytest.mark.usefixtures("small")
def test_without_room_for_a_larger_product_the_smaller_one_counts(monkeypatch):
    product = ceilings._product_s

    def cramped(n: int, device: str, dtype: torch.dtype, wait: Callable[[], None]) -> float:
        if n == 128:
            raise RuntimeError("can't allocate memory")
        return product(n, device, dtype, wait)

    monkeypatch.setattr(ceilings, "_product_s", cramped)
    assert ceilings.measure("cpu", "float32", {}, done)["ceiling_tflops"] > 0


@pytest.mark.usefixtures("small")
def test_what_is_known_is_not_measured_again():
    known = {"ceiling_tflops": 1e9}
    found = ceilings.measure("cpu", "float32", known, done)
    assert found["ceiling_tflops"] == 1e9
    assert 0 < found["ceiling_gbps"] < 1e5
    assert known == {"ceiling_tflops": 1e9}


@pytest.mark.gpu
def test_ceilings_on_a_device_are_beyond_a_cpus():
    found = ceilings.measure("cuda", "float16", {}, torch.cuda.synchronize)
    assert found["ceiling_tflops"] is not None
    assert found["ceiling_tflops"] > 1


def test_a_ceiling_on_a_busy_machine_is_that_of_the_cpu_seconds(monkeypatch):
    """Interrupted for as long as it ran in every call: the wall shows twice what it took."""
    wall, cpu = iter(range(0, 1000, 20)), iter(range(0, 1000, 10))
    monkeypatch.setattr(ceilings, "perf_counter", lambda: float(next(wall)))
    monkeypatch.setattr(ceilings, "process_time", lambda: float(next(cpu)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert ceilings._fastest("cpu", lambda: None, done) == 10.0
