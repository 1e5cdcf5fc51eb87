"""A sweep within a time budget, on a clock of its own: who gets the pairs, when it ends, what it leaves behind."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from convbench.execution import time_budget
from convbench.execution.interrupt import Interrupt
from convbench.execution.measured import Measured
from convbench.execution.outcome import Outcome
from convbench.facts.record import Record, record
from convbench.facts.spec import Spec
from convbench.timing.samples import Samples

from .settings import make_spec

OVERHEAD_S = 0.3
START_S = 3.0
"""What the first visit takes besides: a child's start."""
PAIR_S = 0.02


class Machine:
    """A session on which a visit costs OVERHEAD_S and `pair_s` a pair; `noise[kernel]` is the spread of a log ratio."""

    def __init__(self, noise: dict[int, float]) -> None:
        self.now = 100.0
        self.noise = noise
        self.pair_s = PAIR_S
        self.interrupt = Interrupt()
        self.rows: dict[int, list[Record]] = {}
        self.samples: dict[int, Samples] = {}
        self.order: list[int] = []
        self.fresh = 0
        self.left: list[int] = []
        self.fails_at: tuple[int, int] | None = None
        self.failure: dict[str, str] = {"status": "crash", "reason": "killed"}

    def passes(self, spec: Spec) -> int:
        return spec.measure.passes

    def taken(self, spec: Spec) -> int:
        return 0

    def earlier(self, spec: Spec, processes: int) -> None:
        return None

    def begin_pass(self) -> None:
        self.fresh += 1

    def visit(self, spec: Spec, process: int = 0, arms: Sequence[str] | None = None) -> Measured:
        kernel, pairs = spec.case.kernel[0], spec.measure.looks[0]
        assert spec.measure.looks == (pairs,)
        pairs = min(pairs, math.ceil(spec.measure.max_time_s / self.pair_s))
        self.now += OVERHEAD_S + pairs * self.pair_s
        self.order.append(kernel)
        once_s = START_S if len(self.order) == 1 else 0.0
        self.now += once_s
        found = {"status": "ok", "accuracy": "ok", "flops": 100, "bytes": 10, "elapsed_s": OVERHEAD_S}
        rows = [record({**spec.columns(), "method": m, **found}) for m in spec.arms]
        if self.fails_at == (kernel, process):
            rows[1] = record({**spec.columns(), "method": spec.arms[1], **self.failure})
            return Measured(rows, [self._samples(spec, pairs, process, spec.arms[:1])])
        return Measured(rows, [self._samples(spec, pairs, process, spec.arms)], once_s=once_s)

    def _samples(self, spec: Spec, pairs: int, process: int, arms: tuple[str, ...]) -> Samples:
        rng = random.Random(f"{spec.case.kernel}{process}")
        spread = self.noise[spec.case.kernel[0]]
        samples = Samples(arms, 0, 0.03, 0.001, process=process)
        for _ in range(pairs):
            samples.times.append(
                [self.pair_s / 2 * (2.0 if a == 0 else rng.lognormvariate(0, spread)) for a in range(len(arms))]
            )
            samples.calls.append([1] * len(arms))
            order = list(range(len(arms)))
            rng.shuffle(order)
            samples.order.append(order)
        samples.counters.update(sampling_s=pairs * self.pair_s, clock_mhz=900.0 if process == 0 else 1800.0)
        return samples

    def keep(self, position: int, spec: Spec, measured: Measured, left: int = 0) -> list[Record]:
        self.rows[position] = measured.rows(spec)
        self.left.append(left)
        if measured.samples:
            self.samples[position] = measured.samples[-1]
        return self.rows[position]


class Watcher:
    def __init__(self) -> None:
        self.finished: list[int] = []
        self.warned: list[str] = []

    def watch(self, doing: object) -> None: ...
    def begin(self, total: int, already_done: int) -> None: ...
    def passing(self, number: int, passes: int, due: int) -> None: ...
    def start(self, spec: Spec) -> None: ...
    def end(self, outcome: Outcome) -> None: ...

    def finish(self, spec: Spec, records: Any) -> None:
        self.finished.append(spec.case.kernel[0])

    def warn(self, problem: str, remedy: str) -> None:
        self.warned.append(f"{problem}; {remedy}")


ONE = {"measure__enabled": True, "measure__looks": [20, 40], "measure__max_time_s": 20.0, "measure__processes": 1}


def sweep(kernels: list[int], **settings: Any) -> list[tuple[int, Spec]]:
    return [(n, make_spec(kernel=k, **{**ONE, **settings})) for n, k in enumerate(kernels)]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(dict.fromkeys(range(1, 11), 0.01) | {7: 0.3})
    monkeypatch.setattr("convbench.execution.time_budget.time.monotonic", lambda: machine.now)
    return machine


def test_ends_within_five_percent_and_everybody_has_the_minimum(machine: Machine) -> None:
    watcher = Watcher()
    for budget_s in (30.0, 120.0):
        machine.__init__(machine.noise)  # type: ignore[misc]
        begun = machine.now
        time_budget.run_within(budget_s, machine, sweep(list(range(1, 11))), watcher)
        assert machine.now - begun == pytest.approx(budget_s, rel=0.05)
        assert all(machine.samples[n].rounds >= 20 for n in range(10))
    assert sorted(watcher.finished) == sorted([*range(1, 11)] * 2)
    assert watcher.warned == []


def test_without_samples_kept_the_budget_is_spent_all_the_same(machine: Machine) -> None:
    todo = [(n, replace(spec, measure=replace(spec.measure, samples=False))) for n, spec in sweep([1, 2, 3])]
    begun = machine.now
    time_budget.run_within(30.0, machine, todo, Watcher())
    assert machine.now - begun == pytest.approx(30.0, rel=0.05)
    assert all(rows[1]["samples"] > 20 for rows in machine.rows.values())


def test_pairs_that_take_seconds_are_handed_out_one_by_one(machine: Machine) -> None:
    """The first visit ends after max_time_s = 20 s with 7 of its 20 pairs."""
    machine.pair_s = 3.0
    begun = machine.now
    time_budget.run_within(120.0, machine, sweep([1, 2, 3]), Watcher())
    assert machine.now - begun == pytest.approx(120.0, rel=0.05)
    assert all(machine.samples[n].rounds >= 7 for n in range(3))


def test_what_the_first_visit_pays_for_all_gives_its_configuration_no_more_pairs(machine: Machine) -> None:
    machine.__init__(dict.fromkeys(range(1, 11), 0.05))  # type: ignore[misc]
    time_budget.run_within(30.0, machine, sweep(list(range(1, 11))), Watcher())
    rounds = [machine.samples[n].rounds for n in range(10)]
    assert rounds[0] <= 2 * sorted(rounds)[len(rounds) // 2]


def test_a_minimum_that_takes_longer_is_measured_and_told_once(machine: Machine) -> None:
    watcher, begun = Watcher(), machine.now
    time_budget.run_within(3.0, machine, sweep(list(range(1, 11))), watcher)
    assert machine.now - begun == pytest.approx(START_S + 10 * (OVERHEAD_S + 20 * PAIR_S))
    assert machine.order == watcher.finished == [*range(1, 11)]
    (warning,) = watcher.warned
    assert warning.startswith("budget_s=3 ran out before every configuration had its minimum")


def test_the_widest_interval_gets_the_most_pairs(machine: Machine) -> None:
    time_budget.run_within(60.0, machine, sweep(list(range(1, 11))), Watcher())
    pairs = {machine.rows[n][0]["kernel_h"]: machine.samples[n].rounds for n in machine.rows}
    assert max(pairs, key=lambda k: pairs[k]) == 7
    assert pairs[7] > 3 * sorted(pairs.values())[-2]


def test_rows_follow_from_all_pairs(machine: Machine) -> None:
    todo = sweep([7])
    time_budget.run_within(20.0, machine, todo, Watcher())
    explicit = machine.rows[0][1]
    assert explicit["samples"] == machine.samples[0].rounds > 20
    assert explicit["run_key"] == todo[0][1].run_key
    ratios = sorted(b / m for b, m in machine.samples[0].times)
    assert ratios[0] < explicit["speedup_low"] < explicit["speedup"] < explicit["speedup_high"] < ratios[-1]


def test_what_was_observed_is_that_of_all_visits(machine: Machine) -> None:
    time_budget.run_within(60.0, machine, sweep([7]), Watcher())
    assert len(machine.order) > 3
    assert machine.rows[0][1]["clock_mhz"] == 1800.0, "the median of 900, 1800, 1800 …"


def test_a_method_that_dies_in_a_later_visit_has_died_and_the_others_keep_their_figures(machine: Machine) -> None:
    machine.fails_at = (7, 1)
    time_budget.run_within(20.0, machine, sweep([7]), Watcher())
    baseline, explicit = machine.rows[0]
    assert (explicit["status"], explicit["reason"]) == ("crash", "killed")
    assert baseline["status"] == "ok"
    assert baseline["samples"] == 20
    assert machine.order == [7, 7]


def test_a_method_that_deceives_in_a_later_visit_has_failed(machine: Machine) -> None:
    machine.fails_at = (7, 1)
    machine.failure = {"status": "ok", "accuracy": "fail", "reason": "its clock cannot be right"}
    time_budget.run_within(20.0, machine, sweep([7]), Watcher())
    row = machine.rows[0][1]
    assert (row["accuracy"], row["reason"]) == ("fail", "its clock cannot be right")
    assert not {"time_s", "speedup", "speed"} & row.keys()


def test_a_signal_ends_it_between_visits(machine: Machine) -> None:
    keep = machine.keep

    def keep_and_interrupt(position: int, spec: Spec, measured: Measured, left: int = 0) -> list[Record]:
        machine.interrupt.signal = 15
        return keep(position, spec, measured, left)

    machine.keep = keep_and_interrupt  # type: ignore[method-assign]
    time_budget.run_within(60.0, machine, sweep([1, 2, 3]), Watcher())
    assert list(machine.rows) == [0]


def test_without_timing_every_configuration_is_visited_once(machine: Machine) -> None:
    visit = machine.visit

    def untimed(spec: Spec, process: int = 0, arms: object = None) -> Measured:
        return replace(visit(spec, process), samples=[])

    machine.visit = untimed  # type: ignore[method-assign]
    time_budget.run_within(60.0, machine, sweep([1, 2, 3]), Watcher())
    assert machine.order == [1, 2, 3]


@pytest.mark.parametrize("processes", [2, 4, 6])
def test_fresh_processes_share_the_budget(machine: Machine, processes: int) -> None:
    watcher, begun = Watcher(), machine.now
    time_budget.run_within(120.0, machine, sweep([1, 2, 3], measure__processes=processes), watcher)
    assert machine.now - begun == pytest.approx(120.0, rel=0.05)
    assert machine.fresh == processes
    assert {row["processes"] for rows in machine.rows.values() for row in rows} == {processes}
    assert [part.process for part in machine.samples.values()] == [processes - 1] * 3
    assert machine.left[-1] == 0
    assert watcher.warned == []
    time_budget.run_within(60.0, machine, [], Watcher())


def test_a_budget_that_is_spent_after_one_process_says_so_and_leaves_rows_of_one(machine: Machine) -> None:
    watcher = Watcher()
    time_budget.run_within(3.0, machine, sweep([1, 2, 3], measure__processes=4), watcher)
    assert {row["processes"] for rows in machine.rows.values() for row in rows} == {1}
    assert machine.left == [3, 3, 3, 0, 0, 0], "the last word on each is that nothing more is to come"
    (warning,) = watcher.warned
    assert "had its minimum in one of 4 processes" in warning
