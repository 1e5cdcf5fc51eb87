"""The gate's decisions on rows whose truth is known, and how often it is wrong on simulated machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from convbench.comparison.change import Change, Estimate, log_ratio_se, seen_between, seen_in_times, t_quantile, t_tail
from convbench.comparison.regressions import judge
from convbench.comparison.result import Judgement, Policy
from convbench.comparison.suspects import confirm, suspects
from convbench.facts.record import Record
from convbench.facts.statistics import processes_interval
from tests.simulated import METHODS, Machine, Sweep, config_id, measured, row, timed_row

POLICY = Policy()


def kinds(judgement: Judgement) -> list[tuple[str, int, str]]:
    return [(f.kind, int(f.key[0], 16), f.key[1]) for f in judgement.failures]


def pair_of_runs(
    speedup: float, after: float, cells: int = 4, width: float = 0.005
) -> tuple[list[Record], list[Record]]:
    """Two runs of `cells` configurations; in the second, configuration 0's speedup is `after`."""

    def run(first: float) -> list[Record]:
        values = [first] + [speedup] * (cells - 1)
        return [timed_row(i, "explicit", (v, v * (1 - width), v * (1 + width))) for i, v in enumerate(values)]

    return run(speedup), run(after)


def test_equal_runs_are_good() -> None:
    base, new = pair_of_runs(2.0, 2.0)
    result = judge(base, new, POLICY)
    assert (result.verdict, result.exit_code, result.cells, result.timed) == ("good", 0, 4, 4)
    assert [*result.failures, *result.advice, *result.improvements, *result.fresh, *result.notes] == []


def test_slowdown_beyond_the_margin_fails() -> None:
    base, new = pair_of_runs(2.0, 1.6)
    result = judge(base, new, POLICY)
    assert kinds(result) == [("slower", 0, "explicit")]
    assert result.exit_code == 1
    change = result.failures[0].change
    assert change is not None
    assert math.exp(change.log) == pytest.approx(1.25)
    assert "1.25× slower against the baseline" in result.failures[0].text


def test_slowdown_within_the_margin_passes() -> None:
    base, new = pair_of_runs(2.0, 2.0 / 1.025, width=0.0001)
    assert judge(base, new, replace(POLICY, spread=0.0)).exit_code == 0
    assert judge(base, new, Policy(margin=0.02, spread=0.0)).exit_code == 1


@pytest.mark.parametrize("cells", [8, 50])
def test_method_that_became_faster_everywhere_is_no_noise(cells: int) -> None:
    base = [timed_row(i, "explicit", (2.0, 1.99, 2.01)) for i in range(cells)]
    gains = [1.1 + 0.2 * (i % 7) / 7 for i in range(cells)]
    new = [timed_row(i, "explicit", (2.0 * g, 1.99 * g, 2.01 * g)) for i, g in enumerate(gains)]
    assert judge(base, new, POLICY).exit_code == 0
    slow = timed_row(0, "explicit", (1.5, 1.49, 1.51))
    assert kinds(judge(base, [slow, *new[1:]], POLICY)) == [("slower", 0, "explicit")]


def test_improvement_never_fails() -> None:
    base, new = pair_of_runs(2.0, 4.0)
    result = judge(base, new, POLICY)
    assert result.exit_code == 0
    assert [f.kind for f in result.improvements] == ["faster"]


def test_baseline_that_became_faster_makes_no_method_slower() -> None:
    """The method's own time fell by a tenth; its ratio fell because the baseline's fell by more."""
    base = [timed_row(i, "autograd", None) for i in range(5)] + [timed_row(0, "explicit", (2.0, 1.99, 2.01))]
    quick = timed_row(0, "explicit", (1.5, 1.49, 1.51), 0.45e-3)
    result = judge(base, [timed_row(0, "autograd", None, 0.675e-3), *base[1:5], quick], POLICY)
    assert (result.exit_code, len(result.advice)) == (0, 1)
    assert "its own time is 0.90× that of BASE" in result.advice[0].text


@pytest.mark.parametrize("margin", [0.2, 0.3])
def test_wide_margin_is_not_taken_for_a_coarse_measurement(margin: float) -> None:
    base, new = pair_of_runs(2.0, 2.0)
    assert judge(base, new, replace(POLICY, margin=margin)).exit_code == 0


@pytest.mark.parametrize(("blind", "verdict"), [(20, "untrusted"), (12, "untrusted"), (6, "good")])
def test_cells_without_an_interval_are_no_comparison(blind: int, verdict: str) -> None:
    base, new = pair_of_runs(2.0, 2.0, cells=20)
    for one in new[:blind]:
        del one["speedup_low"], one["speedup_high"]
    result = judge(base, new, POLICY)
    assert result.verdict == verdict
    assert len(result.advice) == blind


@pytest.mark.parametrize("before", [{"status": "crash", "accuracy": None}, {"accuracy": None}, {"accuracy": "exact"}])
def test_gradient_that_is_now_wrong_fails_whatever_was_before(before: dict[str, Any]) -> None:
    good = timed_row(0, "explicit", (2.0, 1.99, 2.01))
    old = {k: v for k, v in {**good, **before}.items() if v is not None}
    assert kinds(judge([old], [{**good, "accuracy": "fail"}], POLICY)) == [("accuracy", 0, "explicit")]


def test_wrong_gradient_counts_among_rows_of_one_cell() -> None:
    good = timed_row(0, "explicit", (2.0, 1.99, 2.01))
    wrong = row(0, "explicit", accuracy="fail")
    assert kinds(judge([good], [good, wrong], POLICY)) == [("accuracy", 0, "explicit")]


def test_wide_intervals_are_no_evidence() -> None:
    base, new = pair_of_runs(2.0, 1.8, width=0.15)
    assert not judge(base, new, POLICY).failures


def test_intervals_too_wide_to_show_anything_are_not_to_be_trusted() -> None:
    base, new = pair_of_runs(2.0, 2.0, width=0.15)
    result = judge(base, new, POLICY)
    assert (result.verdict, result.exit_code) == ("untrusted", 4)


def test_regression_outweighs_noise() -> None:
    base, new = pair_of_runs(2.0, 2.0, width=0.15)
    new[0]["accuracy"] = "fail"
    assert judge(base, new, POLICY).exit_code == 1


@pytest.mark.parametrize(
    ("before", "after", "fails"),
    [
        ("exact", "ok", True),
        ("ok", "reduced", True),
        ("reduced", "fail", True),
        ("exact", "exact", False),
        ("fail", "ok", False),
        ("fail", "fail", False),
        ("ok", "exact", False),
        ("ok", None, True),
        (None, "ok", False),
    ],
)
def test_accuracy_that_got_worse_fails(before: str | None, after: str | None, fails: bool) -> None:
    result = judge([row(0, "explicit", accuracy=before)], [row(0, "explicit", accuracy=after)], POLICY)
    assert [f.kind for f in result.failures] == (["accuracy"] if fails else [])
    assert result.exit_code == int(fails)


@pytest.mark.parametrize("status", ["skipped", "unsupported", "oom", "timeout", "crash", "error"])
def test_cell_that_is_no_longer_measured_fails_and_says_why(status: str) -> None:
    new = row(0, "explicit", status=status, accuracy=None, reason="no such luck")
    result = judge([row(0, "explicit")], [new], POLICY)
    assert kinds(result) == [("unmeasured", 0, "explicit")]
    assert result.failures[0].text == f"status was ok and is {status}: no such luck"
    assert not judge([new], [row(0, "explicit")], POLICY).failures


def test_failure_that_was_there_before_is_no_regression() -> None:
    crash, late = (row(0, "explicit", status=s, accuracy=None) for s in ("crash", "timeout"))
    well = row(0, "autograd")
    assert judge([well, crash], [well, crash], POLICY).exit_code == 0
    result = judge([well, crash], [well, late], POLICY)
    assert result.exit_code == 0
    assert [f.text for f in result.advice] == ["status was crash and is timeout"]


def test_vanished_cells_fail_and_new_ones_are_listed() -> None:
    base, new = [row(0, "explicit"), row(1, "explicit")], [row(1, "explicit"), row(2, "explicit")]
    result = judge(base, new, POLICY)
    assert kinds(result) == [("vanished", 0, "explicit")]
    assert [r["config_id"] for r in result.fresh] == [config_id(2)]


@pytest.mark.parametrize("base", [[], [row(1, "explicit")]])
def test_nothing_in_common_is_nothing_to_compare(base: list[Record]) -> None:
    result = judge(base, [row(0, "explicit")], POLICY)
    assert (result.verdict, result.exit_code) == ("nothing", 4)


def test_lost_timing_fails_unless_accuracy_alone_is_asked_for() -> None:
    base, new = [timed_row(0, "explicit", (2.0, 1.99, 2.01))], [row(0, "explicit")]
    assert kinds(judge(base, new, POLICY)) == [("untimed", 0, "explicit")]
    assert judge(base, new, replace(POLICY, speed=False)).exit_code == 0


def test_ratios_to_different_baselines_are_not_compared() -> None:
    base, new = ([timed_row(0, "explicit", (2.0, 1.99, 2.01))] for _ in range(2))
    new[0]["baseline"] = "aten"
    result = judge(base, new, POLICY)
    assert result.failures[0].text == "was measured against baseline=autograd and now against aten"


def test_lost_ratio_fails_although_the_time_is_there() -> None:
    base = [timed_row(0, "explicit", (2.0, 1.99, 2.01))]
    new = [{k: v for k, v in base[0].items() if not k.startswith("speed")}]
    assert judge(base, new, POLICY).failures[0].text == "had a ratio to baseline=autograd in BASE and has none in NEW"


def test_cell_measured_twice_counts_once() -> None:
    poor = timed_row(0, "explicit", (1.0, 0.99, 1.01))
    poor["samples"] = 20
    good = timed_row(0, "explicit", (2.0, 1.99, 2.01))
    result = judge([good], [good, poor], POLICY)
    assert not result.failures
    assert result.notes == [
        "NEW holds 1 further rows of cells measured more than once; "
        "of each cell a wrong gradient counts, else the row with the most samples"
    ]


def times_only(factors: list[float], environment: str = "a1b2") -> list[Record]:
    """The baseline's own rows, whose times are `factors` milliseconds."""
    rows = [timed_row(i, "autograd", None, 1e-3 * f) for i, f in enumerate(factors)]
    return [{**r, "environment_id": environment} for r in rows]


def test_absolute_time_counts_in_the_same_environment_only() -> None:
    wander = [1 + 0.002 * (-1) ** i for i in range(20)]
    base, new = times_only([1.0] * 20), times_only([*wander[:-1], 1.5])
    assert kinds(judge(base, new, POLICY)) == [("slower", 19, "autograd")]
    elsewhere = judge(base, times_only([*wander[:-1], 1.5], "c3d4"), POLICY)
    assert (elsewhere.verdict, elsewhere.exit_code) == ("nothing", 4)
    assert [int(f.key[0], 16) for f in elsewhere.advice] == [19]
    assert judge(base, times_only([*wander[:-1], 1.5], "c3d4"), replace(POLICY, speed=False)).exit_code == 0
    assert "advisory, because times of different runs are not paired" in elsewhere.advice[0].text


def test_times_that_are_longer_as_a_whole_are_no_regression_and_not_green() -> None:
    """Without a control nobody can tell whether the machine or the code is slower."""
    base = times_only([1.0] * 20)
    new = times_only([1.4 + 0.004 * (-1) ** i for i in range(20)])
    result = judge(base, new, POLICY)
    assert (result.failures, result.verdict, result.exit_code) == ([], "unexplained", 4)
    assert result.notes == [
        "times without a paired ratio are 1.40× those of BASE in the median: the machine's clock or load has changed"
    ]


def test_time_that_only_kept_up_less_is_neither_slower_nor_faster() -> None:
    """Everything became 40% faster, one cell 20%: outright faster, against the others slower."""
    new = times_only([*[0.6] * 19, 0.8])
    result = judge(times_only([1.0] * 20), new, POLICY)
    assert (result.failures, result.improvements) == ([], [])


def test_few_times_are_advisory_even_here() -> None:
    result = judge(times_only([1.0] * 3), times_only([1.0, 1.0, 2.0]), POLICY)
    assert (result.verdict, result.exit_code) == ("nothing", 4)
    assert len(result.advice) == 1


def test_what_is_ok_in_neither_run_is_no_comparison() -> None:
    skipped = [row(i, "explicit", status="skipped", accuracy=None) for i in range(3)]
    assert (judge(skipped, skipped, POLICY).verdict, judge(skipped, skipped, POLICY).exit_code) == ("nothing", 4)


def test_a_wrong_gradient_in_a_new_cell_fails() -> None:
    well, wrong = row(0, "autograd"), row(1, "explicit", accuracy="fail", reason="off by one")
    result = judge([well], [well, wrong], POLICY)
    assert kinds(result) == [("accuracy", 1, "explicit")]
    assert result.failures[0].text == "is new, and its accuracy is fail: off by one"


@pytest.mark.parametrize("cells,faster,slower", [(24, 12, 12), (50, 25, 5), (50, 20, 10), (50, 15, 15)])
def test_a_method_that_gained_on_some_shapes_and_lost_on_others_is_found_out(
    cells: int, faster: int, slower: int
) -> None:
    rng = np.random.default_rng(1)

    def run(change: Sequence[float]) -> list[Record]:
        speedups = [2 * c * math.exp(rng.normal(0, 0.008)) for c in change]
        timed = [timed_row(i, "explicit", (s, s * 0.995, s * 1.005), 1e-3 / s) for i, s in enumerate(speedups)]
        return [*(timed_row(i, "autograd", None, 1e-3) for i in range(cells)), *timed]

    changes = [1.4] * faster + [1 / 1.3] * slower + [1.0] * (cells - faster - slower)
    result = judge(run([1.0] * cells), run(changes), POLICY)
    assert {int(f.key.config_id, 16) for f in result.failures} == set(range(faster, faster + slower))
    assert {int(f.key.config_id, 16) for f in result.improvements} == set(range(faster))


def test_a_method_of_which_nothing_could_be_seen_makes_the_whole_untrusted() -> None:
    base, new = pair_of_runs(2.0, 2.0, cells=20)
    wide = [{**r, "method": "unfold", "speedup_low": 0.8, "speedup_high": 4.5} for r in base[:8]]
    result = judge([*base, *wide], [*new, *({**r, "speedup": 1.3} for r in wide)], POLICY)
    assert (result.verdict, result.coarse) == ("untrusted", ["unfold"])
    assert result.resolution is not None
    assert result.resolution < 1.2, "half of all cells are narrow"


def test_a_method_has_a_cell_for_every_baseline() -> None:
    base, new = pair_of_runs(2.0, 2.0, cells=6)
    others = [{**r, "baseline": "aten", "speedup": 1.0, "speedup_low": 0.999, "speedup_high": 1.001} for r in base]
    others = [r for r in others if r["method"] != "autograd"]
    # In whichever order they come, and however many samples each has.
    result = judge([*base, *others], [*({**r, "samples": 99} for r in others), *new], POLICY)
    assert (result.verdict, result.failures, result.cells) == ("good", [], len(base) + len(others))
    assert result.notes == []


def test_a_baseline_that_has_become_another_is_no_comparison() -> None:
    base, new = pair_of_runs(2.0, 2.0, cells=1)
    moved = [{**r, "baseline": "aten"} for r in new if r["method"] == "explicit"]
    result = judge(base, [*moved, *(r for r in new if r["method"] != "explicit")], POLICY)
    assert kinds(result) == [("untimed", 0, "explicit")]
    assert "baseline=autograd and now against aten" in result.failures[0].text


def test_confirm_drops_what_does_not_happen_again() -> None:
    base = [timed_row(i, "explicit", (2.0, 1.99, 2.01)) for i in range(4)]
    slow = [timed_row(i, "explicit", (1.5, 1.49, 1.51)) for i in (0, 1)]
    late = row(2, "explicit", status="timeout", accuracy=None)
    wrong = {**base[3], "accuracy": "fail"}
    first = judge(base, [*slow, late, wrong], POLICY)
    assert {f.key[0] for f in suspects(first)} == {config_id(i) for i in (0, 1, 2)}
    result = confirm(first, base, [base[0], slow[1], base[2]], POLICY)
    assert kinds(result) == [("accuracy", 3, "explicit"), ("slower", 1, "explicit")]
    assert "measured again: 1.33× slower" in result.failures[1].text
    assert {f.key[0] for f in result.advice} == {config_id(0), config_id(2)}
    assert result.notes == ["measured again in fresh processes: 3 of 3 suspects; 1 stand, 2 do not"]


def test_confirm_in_another_environment_clears_nothing() -> None:
    base, new = pair_of_runs(2.0, 1.5)
    again = [{**base[0], "environment_id": "c3d4"}]
    assert confirm(judge(base, new, POLICY), base, again, POLICY).exit_code == 1


@pytest.mark.parametrize(
    ("again", "code"),
    [
        ((1.60, 1.59, 1.61), 1),
        ((2.00, 1.98, 2.02), 0),
        ((1.60, 1.30, 2.10), 4),
        ((1.80, 1.79, 1.81), 1),
        ((1.97, 1.75, 2.20), 4),
    ],
)
def test_second_measurement_confirms_clears_or_leaves_in_doubt(again: tuple[float, float, float], code: int) -> None:
    """The speedup was 2.0 and is 1.6; six fresh processes say `again`, with Student's interval."""
    base, new = pair_of_runs(2.0, 1.6)
    fresh = [{**timed_row(0, "explicit", again), "processes": 6}]
    result = confirm(judge(base, new, POLICY), base, fresh, POLICY)
    assert result.exit_code == code
    assert len(result.doubtful) == (code == 4)


def test_second_measurement_without_an_interval_clears_nothing() -> None:
    base, new = pair_of_runs(2.0, 1.6)
    again = [{k: v for k, v in base[0].items() if k not in ("speedup_low", "speedup_high")}]
    result = confirm(judge(base, new, POLICY), base, again, POLICY)
    assert result.verdict == "untrusted"
    assert "not closely enough" in result.doubtful[0].text


@pytest.mark.parametrize("process", [0.03, 0.05])
def test_false_alarms_do_not_survive_a_second_measurement(process: float) -> None:
    """Processes that lie far apart, cells judged one by one: six fresh processes leave one alarm in ten."""
    rng = np.random.default_rng(7)
    alarms = standing = 0
    for _ in range(2000):
        was, now, *fresh = rng.normal(0, process, 8)
        old, new = (
            [timed_row(0, "explicit", (math.exp(x), math.exp(x - 0.003), math.exp(x + 0.003)))] for x in (was, now)
        )
        first = judge(old, new, POLICY)
        if first.failures:
            alarms += 1
            middle, low, high = (math.exp(end) for end in processes_interval(fresh) if end is not None)
            again = {**timed_row(0, "explicit", (middle, low, high)), "processes": 6}
            standing += confirm(first, old, [again], POLICY).verdict == "regression"
    assert alarms > 50
    assert standing / alarms < 0.1


def test_time_that_was_measured_again_is_judged_among_all_times() -> None:
    wander = [1 + 0.002 * (-1) ** i for i in range(20)]
    base, new = times_only([1.0] * 20), times_only([*wander[:-1], 1.5])
    first = judge(base, new, POLICY)
    for again, code in ((1.5, 1), (1.0, 0)):
        assert confirm(first, base, times_only([1.0] * 19 + [again])[-1:], POLICY).exit_code == code


def test_ratio_that_moved_with_the_machines_speed_is_no_evidence() -> None:
    """The baseline's own time is 1.7 times what it was: 15% in the ratio is then the machine's, and 100% is not."""
    base = [timed_row(i, "explicit", (2.0, 1.99, 2.01), 1e-3) for i in range(4)]
    for speedup, moved, code in ((1.74, 1.0, 1), (1.74, 1.7, 0), (1.0, 1.7, 1)):
        new = [timed_row(0, "explicit", (speedup, speedup * 0.995, speedup * 1.005), 2e-3 * moved / speedup), *base[1:]]
        assert judge(base, new, POLICY).exit_code == code
        elsewhere = [{**row, "environment_id": "c3d4"} for row in new]
        assert judge(base, elsewhere, POLICY).exit_code == 1


def test_tail_is_students() -> None:
    for freedom in (3.0, 4.5, 7.0, 20.0, 200.0):
        for t in (-2.0, 0.0, 0.5, 2.0, 4.0, 6.0):
            assert t_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom))
        assert t_quantile(freedom) == pytest.approx(stats.t.isf(0.025, freedom))
    assert t_tail(1.0, math.inf) == pytest.approx(stats.norm.sf(1.0))
    assert t_tail(t_quantile(6.0, 1e-4), 6.0) == pytest.approx(1e-4)


def test_interval_gives_the_standard_error_of_the_median() -> None:
    """Over simulated samples: √(mean se²) is the medians' standard deviation, on the safe side by at most a quarter,
    and se² varies as a variance with the stated degrees of freedom does."""
    rng = np.random.default_rng(0)
    machine = Machine(pair=0.1, bursts=0.0, process=0.0, run=0.0)
    for pairs in (20, 60, 200):
        rows = [r for r in measured(Sweep(700), replace(machine, pairs=pairs), rng) if r["method"] == "unfold"]
        ends = [log_ratio_se({**r, "samples": pairs}, "speedup", "speedup_low", "speedup_high") for r in rows]
        errors = [e.value - math.log(Sweep().true_speedup(i, "unfold")) for i, e in enumerate(ends) if e]
        variances = np.array([e.se**2 for e in ends if e])
        assert 1.0 <= math.sqrt(variances.mean()) / np.std(errors) <= 1.25
        freedom = 2 / (variances.std() / variances.mean()) ** 2
        assert math.sqrt(pairs) == pytest.approx(freedom, rel=0.5)


@pytest.mark.parametrize(
    "damage", [{"speedup_low": None}, {"speedup": 0.0}, {"speedup_high": math.inf}, {"speedup": None}]
)
def test_row_without_a_usable_interval_has_no_estimate(damage: dict[str, Any]) -> None:
    whole = timed_row(0, "explicit", (2.0, 1.9, 2.1))
    assert log_ratio_se({**whole, **damage}, "speedup", "speedup_low", "speedup_high") is None


def test_spread_is_learnt_from_the_cells_that_changed_the_other_way() -> None:
    noise = np.random.default_rng(2).normal(0, 0.04, 200)
    point = Estimate(0.0, 0.0, 6.0)
    changes = [Change.of("ratio", x, point, point) for x in noise]
    slowed = [Change.of("ratio", abs(c.log) + 0.5 if c.log > 0 else c.log, point, point) for c in changes]
    for seen in (changes, slowed):
        assert seen_between(seen, 1).spread == pytest.approx(0.04, rel=0.2)
    assert seen_between(slowed, -1).spread == 0.0, "what is slower by half is no noise"
    assert seen_between([c for c in slowed if c.log > 0], 1).spread == 0.0


@pytest.mark.parametrize(("processes", "added"), [((1, 1), 0.01 * math.sqrt(2)), ((1, 4), 0.01), ((4, 6), 0.0)])
def test_what_processes_differ_by_is_added_to_rows_that_cannot_hold_it(
    processes: tuple[int, int], added: float
) -> None:
    """Whatever was asked for: a run that ended after its first pass has rows of one process."""
    old, new = ({**timed_row(0, "explicit", (2.0, 2.0, 2.0)), "processes": number} for number in processes)
    (change,) = judge([old], [new], Policy()).changes.values()
    assert change.se == pytest.approx(added, abs=1e-9)
    (asked,) = judge([old], [new], Policy(spread=0.02)).changes.values()
    assert asked.se == pytest.approx(0.02 * math.sqrt(2))


def test_spread_of_times_sees_through_a_few_changes() -> None:
    noise = np.random.default_rng(3).normal(0, 0.02, 100)
    noise[:5] = 3.0
    assert seen_in_times(noise.tolist()).spread == pytest.approx(0.02, rel=0.35)


MACHINES = {
    "as measured": Machine(),
    "short, bursty samples": Machine(pair=0.05, bursts=0.15, pairs=20),
    "processes far apart": Machine(process=0.02),
    "times all over the place": Machine(run=0.5),
}


@pytest.mark.parametrize(
    ("processes", "moved", "added"), [(1, 0.05, 0.01), (1, 0.3, 0.06), (4, 0.05, 0.0), (4, 0.3, 0.06), (4, 0.6, 0.15)]
)
def test_another_speed_of_the_machine_widens_what_did_not_see_it(processes: int, moved: float, added: float) -> None:
    """A single process saw one speed; of several only what is beyond a tenth counts."""
    old = {**timed_row(0, "explicit", (2.0, 2.0, 2.0)), "processes": processes}
    new = {**old, "time_s": old["time_s"] * math.exp(moved)}
    (change,) = judge([old], [new], replace(POLICY, spread=0.0)).changes.values()
    assert change.se == pytest.approx(added, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["as measured", *(pytest.param(name, marks=pytest.mark.slow) for name in MACHINES if name != "as measured")]
)
def test_false_alarms_over_whole_sweeps_are_rare(name: str) -> None:
    """60 A/A comparisons of 50 configurations: at a true rate of 5%, more than 7 alarms would come up once in 100."""
    rng = np.random.default_rng(4)
    alarms = sum(
        bool(judge(measured(Sweep(), MACHINES[name], rng), measured(Sweep(), MACHINES[name], rng), POLICY).failures)
        for _ in range(60)
    )
    assert alarms <= 2


def test_planted_slowdowns_are_found() -> None:
    """10% in one method of five configurations of 50; at a spread of 1% between processes most are above the noise."""
    rng = np.random.default_rng(5)
    found, false = 0, 0
    for _ in range(40):
        planted = {(int(i), METHODS[0]): 1.10 for i in rng.choice(50, 5, replace=False)}
        machine = Machine(process=0.007)
        result = judge(measured(Sweep(), machine, rng), measured(Sweep(slowdown=planted), machine, rng), POLICY)
        hits = {(int(f.key[0], 16), f.key[1]) for f in result.failures}
        found += len(hits & planted.keys())
        false += len(hits - planted.keys())
    assert found / 200 > 0.8
    assert false <= 2


def test_method_that_became_slower_everywhere_is_found() -> None:
    """The noise is not learnt from what changed: a slowdown of a whole method must not hide itself."""
    rng = np.random.default_rng(6)
    planted = {(i, METHODS[0]): 1.10 for i in range(50)}
    result = judge(measured(Sweep(), Machine(), rng), measured(Sweep(slowdown=planted), Machine(), rng), POLICY)
    found = {f.key[0] for f in result.failures if f.key[1] == METHODS[0]}
    assert len(found) > 45
    assert all(f.key[1] == METHODS[0] for f in result.failures)


IMPOSSIBLE = {"speed": "impossible", "reason": "1 ns a call is impossible"}


def test_a_time_that_has_become_impossible_is_a_failure_and_no_improvement() -> None:
    good = timed_row(0, "explicit", (2.0, 1.99, 2.01))
    absurd = {**timed_row(0, "explicit", (9e4, 8.9e4, 9.1e4)), **IMPOSSIBLE}
    result = judge([good], [absurd], POLICY)
    assert kinds(result) == [("impossible", 0, "explicit")]
    assert result.exit_code == 1
    assert not result.improvements
    fresh = judge([good], [good, {**absurd, "config_id": "new"}], POLICY)
    assert [f.kind for f in fresh.failures] == ["impossible"]


def test_a_time_that_was_impossible_before_is_not_compared() -> None:
    good = timed_row(0, "explicit", (2.0, 1.99, 2.01))
    absurd = {**timed_row(0, "explicit", (9e4, 8.9e4, 9.1e4)), **IMPOSSIBLE}
    for pair in ((absurd, absurd), (absurd, good)):
        assert not judge([pair[0]], [pair[1]], POLICY).failures
