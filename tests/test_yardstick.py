"""The fixed piece of work that tells how fast the machine is, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convbench.timing import yardstick


class Machine:
    """Every product takes `product_ns`, and what `slowed` says of its number on top."""

    def __init__(self, product_ns: int, slowed: Callable[[int], int] = lambda _: 0) -> None:
        self.now_ns, self.products = 0, 0
        self.product_ns, self.slowed = product_ns, slowed

    def dot(self, *_: object) -> None:
        self.now_ns += self.product_ns + self.slowed(self.products)
        self.products += 1


def on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> yardstick.Yardstick:
    monkeypatch.setattr(yardstick, "perf_counter_ns", lambda: machine.now_ns)
    monkeypatch.setattr(np, "dot", machine.dot)
    return yardstick.Yardstick()


def test_it_is_the_time_of_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = on(Machine(3000), monkeypatch)
    assert gauge.time_s is None
    gauge.sample()
    assert gauge.time_s == pytest.approx(3e-6)


def test_a_sample_takes_about_a_millisecond_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for product_ns in (500, 20_000, 5_000_000):
        machine = Machine(product_ns)
        gauge = on(machine, monkeypatch)
        begun, products = machine.now_ns, machine.products
        gauge.sample()
        assert machine.now_ns - begun <= max(1.1e6, yardstick.PARTS * product_ns)
        assert machine.products - products >= yardstick.PARTS


def test_a_part_that_was_interrupted_does_not_move_it_and_a_slower_machine_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(10_000, slowed=lambda number: 4_000_000 if number % 100 == 50 else 0)
    gauge = on(machine, monkeypatch)
    for _ in range(9):
        gauge.sample()
    assert gauge.time_s == pytest.approx(1e-5)
    machine.product_ns = 20_000
    for _ in range(11):
        gauge.sample()
    assert gauge.time_s == pytest.approx(2e-5)


def test_the_product_is_a_product() -> None:
    gauge = yardstick.Yardstick()
    gauge.sample()
    np.testing.assert_allclose(gauge._out, gauge._left.astype(float) @ gauge._right, rtol=1e-4, atol=1e-4)
