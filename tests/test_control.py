"""The baseline alone and beside other methods: what counts as slowed, on made-up times of known machines."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convbench.execution.guests import Guests
from convbench.facts.measure import Measure
from convbench.measurement.problem import Problem
from convbench.methods import autograd
from convbench.timing import control
from convbench.timing.control import Seen
from convbench.timing.rounds import unmarked
from convbench.timing.samples import Samples

from .processes import ROOT, alive
from .test_guest import rows_of

MARGIN = 0.03


def machine(rng: random.Random, count: int, level: float = 1.0, noise: float = 0.05) -> list[float]:
    """Samples of a machine of that speed: noise of which a tenth is a disturbance, which only ever adds."""
    return [
        level * rng.lognormvariate(0, noise) * (rng.uniform(1, 3) if rng.random() < 0.1 else 1) for _ in range(count)
    ]


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
def test_an_unchanged_machine_raises_no_alarm(noise: float) -> None:
    rng = random.Random(1)
    alarms = 0
    for _ in range(5000):
        before, beside, after = (Seen(machine(rng, n, noise=noise)) for n in (control.SAMPLES, 20, control.SAMPLES))
        alarms += all(control.slowed(alone, beside, MARGIN) is not None for alone in (before, after))
    assert alarms == 0


def test_a_machine_that_becomes_slower_for_good_raises_no_alarm() -> None:
    rng = random.Random(2)
    for _ in range(1000):
        level = rng.uniform(1.2, 3)
        beside, after = Seen(machine(rng, 20, level)), Seen(machine(rng, control.SAMPLES, level))
        assert control.slowed(after, beside, MARGIN) is None


@pytest.mark.parametrize(("factor", "least"), [(1.5, 0.55), (1.9, 0.55), (3.0, 0.95)])
def test_a_baseline_that_is_slower_beside_others_alone_is_found(factor: float, least: float) -> None:
    rng = random.Random(3)
    found = 0
    for _ in range(1000):
        before, beside, after = (Seen(machine(rng, n, f)) for n, f in ((12, 1), (20, factor), (12, 1)))
        ratios = [control.slowed(alone, beside, MARGIN) for alone in (before, after)]
        found += all(ratio is not None and 1.1 < ratio < factor * 1.1 for ratio in ratios)
    assert found > least * 1000


def test_what_is_said_is_beyond_the_margin_that_was_asked_for() -> None:
    one, more = Seen([1.0] * 12), Seen([1.2] * 20)
    assert control.slowed(one, more, 0.03) == pytest.approx(1.2)
    assert control.slowed(one, more, 0.3) is None
    assert control.slowed(one, Seen([1.05] * 20), 0.03) is None
    assert control.slowed(Seen([1.0] * 10 + [1.3] * 2), more, 0.03) == pytest.approx(1.2)
    assert control.slowed(Seen([1.0] * 9 + [1.3] * 3), more, 0.03) is None, "the upper end of the interval"
    assert control.slowed(one, Seen([9.0] * 5), 0.03) is None, "too few for an interval"
    assert control.slowed(control.NOTHING, more, 0.03) is None


def test_a_machine_that_was_slower_meanwhile_is_no_method_s_doing() -> None:
    one, more = Seen([1.0] * 12, 1e-5), Seen([1.5] * 20, 1.45e-5)
    assert control.slowed(one, more, 0.03) is None
    assert control.slowed(one, more._replace(control_s=1e-5), 0.03) == pytest.approx(1.5)
    assert control.slowed(one, more._replace(control_s=1e-5, busy=True), 0.03) is None
    assert control.slowed(one, Seen([1.6] * 20, 1e-5, busy=True), 0.03) == pytest.approx(1.6)
    assert control.slowed(one, more._replace(control_s=5e-6), 0.03) == pytest.approx(1.5), "it was not faster by that"


@pytest.mark.parametrize(("threads", "others", "cpu_s", "expected"), [
    (1, 3, 1e-3, [1e-3] * 20),  # its turn and those of others: its own CPU time
    (1, 0, 1e-5, [4e-3] * 20),  # nobody took the core: it was made to wait, which is what is looked for
    (2, 3, 2e-3, []),
    (2, 0, 2e-3, [4e-3] * 20),
])  # fmt: skip
def test_what_others_took_of_the_core_is_not_held_against_a_method(
    threads: int, others: int, cpu_s: float, expected: list[float]
) -> None:
    samples = Samples(
        ("autograd", "own"), 0, 0.03, 0.01, [[4e-3, 1e-3]] * 20, [[3, 10]] * 20,
        cpu=[[cpu_s, None]] * 20, switches=[[others, None]] * 20,
    )  # fmt: skip
    assert control.seen(samples, "autograd", threads).times == pytest.approx(expected)


def test_finding_its_code_again_is_not_held_against_a_method() -> None:
    samples = Samples(("autograd", "own"), 0, 0.03, 0.01, [[2e-5, 1e-5]] * 20, [[10, 3]] * 20)
    assert control.in_rounds(samples, "autograd", 1).times == pytest.approx([1e-5] * 20)


@pytest.mark.slow
def test_a_slowed_baseline_is_said_in_the_row_of_the_method_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real runner and a real process of the method's; as long as that lives, the baseline sleeps first."""
    file = tmp_path / "pid"
    right = autograd.prepare

    def prepare(problem: Problem) -> Callable[[], Any]:
        call = right(problem)

        def slow() -> Any:
            if file.exists() and alive(int(file.read_text())):
                time.sleep(0.05)
            return call()

        return slow

    monkeypatch.setattr(autograd, "prepare", prepare)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("CONVBENCH_TEST_PID_FILE", str(file))
    measure = Measure(looks=(8,), min_time_s=0.0, max_time_s=20.0, sample_s=1e-4, warmup_s=0.0, memory=False)
    guests = Guests(None, unmarked)
    try:
        slowed = rows_of(guests, "tests.meddling:names_its_process", measure=measure)
        assert not alive(int(file.read_text())), "it was ended, so that the baseline could be timed without it"
    finally:
        guests.close()
    row = slowed["names_its_process"]
    assert row["baseline_slowed"] > 2
    assert (row["accuracy"], row["speed"]) == ("ok", "inconclusive")
    assert "times as long beside it" in row["reason"]
    assert slowed["autograd"].get("baseline_slowed") is None
