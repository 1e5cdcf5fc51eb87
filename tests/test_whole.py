"""A baseline or a method that changed as a whole, and a machine that did: told apart where the truth is known."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np
import pytest

from convbench.comparison.comparison import Comparison
from convbench.comparison.exchange import junit
from convbench.comparison.output import FORMATS
from convbench.comparison.regressions import judge
from convbench.comparison.result import Judgement, Policy
from convbench.comparison.whole import EVERY, Shift
from convbench.facts.record import Record

from .simulated import Machine, Sweep, measured, timed_row

CONTROL_S = 1.5e-5


def run(
    seed: int,
    machine: float = 1.0,
    code: float = 1.0,
    baseline: float = 1.0,
    explicit: float = 1.0,
    control: bool = True,
) -> list[Record]:
    """A run of 50 configurations: everything is slower by `code` and by the `machine`, the latter with the control; the
    baseline alone by `baseline`, and the explicit method alone by `explicit`."""
    rng = np.random.default_rng(seed)
    rows = []
    for one in measured(Sweep(50), Machine(pair=0.01, process=0.007, run=0.01), rng):
        own = {"autograd": baseline, "explicit": explicit}.get(one["method"], 1.0)
        longer = machine * code * own
        changed = {**one, **{name: one[name] * longer for name in ("time_s", "time_low_s", "time_high_s")}}
        if one["method"] != "autograd":
            changed |= {n: one[n] * baseline / own for n in ("speedup", "speedup_low", "speedup_high")}
        if control:
            changed["control_s"] = CONTROL_S * machine * math.exp(rng.normal(0, 0.005))
        rows.append(changed)
    return rows


def judged(base: Sequence[Record], new: Sequence[Record]) -> Judgement:
    return judge(base, new, Policy(spread=0.0))


def whole(result: Judgement, group: str) -> list[tuple[str, str]]:
    return [(f.kind, f.key.method) for f in getattr(result, group) if f.key.config_id == EVERY]


@pytest.mark.parametrize("seed", range(8))
def test_two_runs_of_the_same_code_are_the_same(seed: int) -> None:
    for machine in (1.0, 1.05):
        result = judged(run(2 * seed), run(2 * seed + 1, machine=machine))
        assert (result.verdict, result.failures) == ("good", [])


def test_a_slower_machine_is_no_slower_code() -> None:
    for machine in (1.15, 1.5):
        result = judged(run(0), run(1, machine=machine))
        assert (result.unexplained, result.failures) == (None, [])
        assert any(note.startswith(f"the machine, by its control, {machine:.2f}× slower") for note in result.notes)


@pytest.mark.parametrize("code", [1.1, 1.2, 4.0])
def test_code_that_is_slower_everywhere_is_seen_against_the_control(code: float) -> None:
    result = judged(run(0), run(1, code=code))
    assert result.verdict == "regression"
    (finding,) = [f for f in result.failures if f.key.config_id == EVERY]
    assert finding.key.method == "autograd"
    assert finding.change is not None
    assert math.exp(finding.change.log) == pytest.approx(code, rel=0.01)
    assert "slower than the control says (95%: " in finding.text


@pytest.mark.parametrize("of", ["base", "new"])
def test_without_a_control_all_times_longer_is_not_green(of: str) -> None:
    result = judged(run(0, control=of != "base"), run(1, code=1.2, control=of != "new"))
    assert (result.verdict, result.exit_code) == ("unexplained", 4)
    assert result.unexplained is not None
    assert "have no control that tells a slower machine from slower code" in result.unexplained


@pytest.mark.parametrize("cells", [1, 3])
def test_few_cells_of_wide_intervals_that_all_take_longer_are_not_green(cells: int) -> None:
    """As of three configurations on a GPU, which has no control: times to ±10%, a fifth longer."""
    rows = {
        slower: [
            {**one, "time_s": t, "time_low_s": t / 1.1, "time_high_s": t * 1.1, "processes": 4}
            for i in range(cells)
            for one in (timed_row(i, "autograd", None), timed_row(i, "explicit", (2.0, 1.9, 2.1)))
            for t in (one["time_s"] * slower,)
        ]
        for slower in (1.0, 1.2)
    }
    assert judged(rows[1.0], rows[1.2]).verdict == "unexplained"
    assert judged(rows[1.0], rows[1.0]).verdict == "good"


@pytest.mark.parametrize(("half", "verdict"), [(0.02, "regression"), (0.4, "unexplained")])
def test_what_single_times_are_off_by_all_of_them_may_be(half: float, verdict: str) -> None:
    """A process goes over 20 cells within a minute: the host's doings meanwhile are no 20 independent errors."""
    base = [
        {**row, "time_low_s": row["time_s"] / (1 + half), "time_high_s": row["time_s"] * (1 + half), "processes": 4}
        for i in range(20)
        for row in (timed_row(i, "autograd", None), timed_row(i, "explicit", (2.0, 1.99, 2.01)))
    ]
    base = [{**row, "control_s": CONTROL_S} for row in base]
    new = [{**row, **{name: row[name] * 1.18 for name in ("time_s", "time_low_s", "time_high_s")}} for row in base]
    assert judged(base, new).verdict == verdict
    assert judged(base, base).verdict == "good"


def test_a_single_cell_is_known_no_better_than_its_interval_says() -> None:
    """1.4× slower with a standard error of 4%, of which the control saw nothing: one cell has one degree of freedom."""
    shift = Shift.of([(math.log(1.4), 0.04)], 0.01, 0.0)
    assert shift.low < 0
    assert shift.surely <= shift.low
    many = Shift.of([(math.log(1.4), 0.04)] * 20, 0.01, 0.0)
    assert 0.1 < many.surely < many.low


def test_code_and_machine_slower_at_once_are_never_green() -> None:
    for machine, code in ((1.5, 1.2), (0.7, 1.2), (2.0, 1.5)):
        assert judged(run(0), run(1, machine=machine, code=code)).exit_code != 0, (machine, code)


@pytest.mark.parametrize("machine", [1.0, 1.03])
def test_a_faster_baseline_is_said_to_be_that(machine: float) -> None:
    result = judged(run(0), run(1, machine=machine, baseline=1 / 1.1))
    assert result.verdict == "good"
    assert whole(result, "improvements") == [("faster", "autograd")]
    assert result.advice
    assert all(
        "autograd is, as a whole, 1.1" in f.text or "baseline's has changed" in f.text or "by itself" in f.text
        for f in result.advice
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_method_that_is_a_little_slower_in_every_cell_is_seen(seed: int) -> None:
    result = judged(run(seed), run(seed + 10, explicit=1.04))
    assert whole(result, "failures") == [("slower", "explicit")]
    assert result.verdict == "regression"


def test_a_method_that_is_slower_beside_a_faster_baseline_is_seen() -> None:
    result = judged(run(0), run(1, baseline=1 / 1.1, explicit=1.15))
    assert ("slower", "explicit") in whole(result, "failures")
    assert ("slower", "unfold") not in whole(result, "failures")


def test_every_format_says_it() -> None:
    base = run(0)
    for new, said in ((run(1, code=1.2), "as a whole"), (run(1, code=1.2, control=False), "duet")):
        result = judged(base, new)
        comparison = Comparison("BASE", "NEW", result, Policy(), {})
        for name, form in FORMATS.items():
            assert said in form(comparison), name
    suite = ET.fromstring(junit(Comparison("BASE", "NEW", judged(base, run(1, code=1.2)), Policy(), {}))).find(
        "testsuite"
    )
    assert suite is not None
    last = suite.findall("testcase")[-1]
    assert (last.get("name"), len(last.findall("failure"))) == ("the comparison as a whole", 1)
