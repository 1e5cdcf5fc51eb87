from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
from scipy import stats

from convbench.facts.statistics import Interval
from convbench.validation import trust, unlike
from convbench.validation.evidence import Planted, Try
from convbench.validation.trust import judge, not_asked, timer_agrees

TRUTH = 1 / 1.05
GOOD = Try(
    same=Interval(1.001, 0.995, 1.006),
    slowed=Interval(0.9524, 0.947, 0.958),
    figures=(1.001, 0.9524),
    truth=TRUTH,
    converged=True,
    own_s=2.0e-5,
    rival_s=(2.02e-5, 2.06e-5),
    pair_s=0.6,
    rival_pair_s=0.7,
    timed_share=0.9,
)
OFF = Interval(1.01, 1.004, 1.02)
VERDICT = Interval(1.10, 1.05, 1.2)
MISSED = Interval(0.96, 0.95, 0.975)
WRONG = Interval(0.9, 0.89, 0.91)
NAMES = [trust.SAME, trust.SLOWDOWN, trust.COVERAGE, f"agreement with {trust.RIVAL}"]


def failing(tries: list[Try]) -> list[str]:
    return [proof.name for proof in judge(tries, 0.03).proofs if not proof.holds]


def test_a_machine_on_which_everything_comes_out_right_is_trusted():
    judgement = judge([GOOD] * 50, 0.03)
    assert judgement.trusted
    assert [proof.name for proof in judgement.proofs] == NAMES
    assert judgement.resolution == pytest.approx(math.sqrt(1.006 / 0.995) - 1)
    # From the far end of an interval of this width a slowdown of 4.2% is still beyond 3%.
    assert judgement.finds_from == pytest.approx(0.0415, abs=1e-3)
    assert trust.sentence(judgement) == (
        "Timings from this machine can be trusted: the ratio of identical code is known to ±0.55% within one process "
        "in about 0.6 s for two methods, and slowdowns of 4.1% or more are detected."
    )


def test_what_is_known_over_processes_is_what_is_said_of_several():
    """Processes that lie further apart than the pairs of any of them: ±0.55% within each, Student's over four."""
    apart = (0.99, 1.0, 1.01, 1.005)
    tries = [
        replace(GOOD, figures=(apart[process], TRUTH * apart[process]), process=process, number=number)
        for number in range(12)
        for process in range(4)
    ]
    judgement = judge([*tries, replace(GOOD, process=0, number=12)], 0.03)
    logs = [math.log(x) for x in apart]
    half = stats.t.ppf(0.975, 3) * stats.sem(logs)
    assert judgement.resolution == pytest.approx(math.expm1(half))
    assert judgement.within == pytest.approx(math.sqrt(1.006 / 0.995) - 1)
    assert "known to ±1.4% from 4 fresh processes in about 2.4 s for two methods" in trust.sentence(judgement)


# 60 tries at 5%: three are expected; 7 or more happen in 3.0% of runs, 8 or more in 0.98%.
@pytest.mark.parametrize(
    "change,tolerated,name",
    [
        ({"same": OFF}, 7, trust.SAME),
        ({"slowed": MISSED}, 7, trust.SLOWDOWN),
        # At 7%: 9 or more happen in 2.3% of runs, 10 or more in 0.8%.
        ({"slowed": WRONG}, 9, trust.COVERAGE),
        ({"same": VERDICT}, 0, trust.SAME),
    ],
)
def test_rates_fail_when_a_binomial_test_says_so(change, tolerated, name):
    bad = replace(GOOD, **change)
    assert failing([bad] * tolerated + [GOOD] * (60 - tolerated)) == []
    assert failing([bad] * (tolerated + 1) + [GOOD] * (59 - tolerated)) == [name]


def test_an_unknown_interval_covers_everything_and_finds_nothing():
    unknown = Interval(1.0, None, None)
    tries = [replace(GOOD, same=unknown, slowed=unknown)] * 20
    assert failing(tries) == [trust.SLOWDOWN]
    judgement = judge(tries, 0.03)
    assert judgement.resolution == math.inf
    assert "fewer pairs fitted into the time than an interval needs" in trust.sentence(judgement)


def test_agreement_compares_the_quietest_try_of_each_timer():
    disturbed = replace(GOOD, rival_s=(9e-5, 4e-5), own_s=2.2e-5)
    assert failing([disturbed] * 19 + [GOOD]) == []
    assert failing([disturbed] * 20) == [NAMES[-1]]
    assert failing([replace(GOOD, own_s=2.2e-5)] * 20) == [NAMES[-1]]


def test_a_further_timer_is_compared_as_well():
    further = [timer_agrees("triton's do_bench", 1.0e-4, 1.04e-4), timer_agrees("another", 1.0e-4, 1.2e-4)]
    judgement = judge([GOOD] * 20, 0.03, further)
    assert [proof.holds for proof in judgement.proofs[-2:]] == [True, False]
    assert judgement.proofs[-2].observed == "ours is 3.8% shorter"
    assert "agreement with another failed" in trust.sentence(judgement)


def test_a_timer_that_is_not_there_is_named_and_proves_nothing_either_way():
    judgement = judge([GOOD] * 20, 0.03, [not_asked("triton's do_bench", "triton is not installed")])
    assert judgement.trusted
    assert judgement.proofs[-1].holds is None
    assert judgement.proofs[-1].observed == "not asked: triton is not installed"
    assert not judge([replace(GOOD, same=OFF)] * 20, 0.03, judgement.proofs[-1:]).trusted


def test_agreement_takes_the_smallest_of_as_many_medians_from_either_timer():
    assert failing([replace(GOOD, rival_s=(2.0e-5, 1.8e-5))] * 20) == []
    assert failing([replace(GOOD, rival_s=(1.8e-5, 2.0e-5))] * 20) == [NAMES[-1]]


def test_scatter_is_that_of_each_timer_against_itself():
    tries = [
        replace(GOOD, same=Interval(math.exp(x), 0.9, 1.1), rival_s=(math.exp(10 * x), 1.0))
        for x in (-0.01, 0.02, 0.03)
    ]
    ours, theirs = judge(tries, 0.03).scatter
    assert (ours.median, ours.p90, ours.largest) == pytest.approx((0.02, 0.028, 0.03))
    assert (theirs.median, theirs.p90, theirs.largest) == pytest.approx((0.2, 0.28, 0.3))
    assert (ours.pair_s, theirs.pair_s) == (0.6, 0.7)


@pytest.mark.parametrize("n,words", [(1, "Only 1 trial fitted"), (9, "Only 9 trials fitted")])
def test_too_few_tries_prove_nothing_however_good(n, words):
    judgement = judge([GOOD] * n, 0.03)
    assert not judgement.trusted
    assert words in trust.sentence(judgement)


def test_a_noisy_machine_is_told_from_a_wrong_one():
    noisy = replace(GOOD, same=Interval(1.0, 0.95, 1.05), slowed=Interval(0.95, 0.9, 1.0))
    text = trust.sentence(judge([noisy] * 30, 0.03))
    assert "too noisy for small differences" in text
    assert "±5.1%" in text
    wrong = replace(GOOD, same=OFF, slowed=WRONG)
    text = trust.sentence(judge([wrong] * 30, 0.03))
    assert text.startswith(
        "Timings from this machine cannot be trusted: a method against itself and the interval's coverage"
    )


def test_figures_can_be_written_as_json():
    out = judge([GOOD] * 20, 0.03).to_dict()
    assert json.loads(json.dumps(out))["trusted"] is True
    assert out["sentence"] == trust.sentence(judge([GOOD] * 20, 0.03))
    assert len(out["proofs"]) == 4


PLANTED = Planted(2e-4, 4, Interval(1.0, 0.995, 1.005), Interval(0.2505, 0.249, 0.252), 0.2505, False, 2.02e-4)
FAR = replace(PLANTED, several=Interval(0.2, 0.19, 0.21))
UNKNOWN = replace(PLANTED, several=Interval(0.25, None, None))


def proved(tries: list[Try], name: str) -> bool | None:
    (proof,) = [proof for proof in judge(tries, 0.03).proofs if proof.name == name]
    return proof.holds


@pytest.mark.parametrize("bad", [FAR, UNKNOWN, replace(PLANTED, disturbed=True)])
def test_calls_of_unequal_length_must_hold_their_counted_ratio_undisturbed(bad: Planted) -> None:
    """At 7% of 60: 9 or more happen in 2.3% of runs, 10 or more in 0.8%."""
    for missed, holds in ((9, True), (10, False)):
        tries = [replace(GOOD, planted=bad)] * missed + [replace(GOOD, planted=PLANTED)] * (60 - missed)
        assert proved(tries, unlike.UNEQUAL) is holds


def test_another_kernel_against_itself_counts_as_well() -> None:
    wrong = replace(GOOD, planted=replace(PLANTED, same=OFF))
    assert proved([wrong] * 20, trust.SAME) is False
    assert proved([replace(GOOD, planted=PLANTED)] * 20, trust.SAME) is True


@pytest.mark.parametrize("share, holds", [(0.99, True), (0.61, True), (0.59, False), (0.13, False)])
def test_a_core_that_others_have_for_longer_is_not_trusted(share: float, holds: bool) -> None:
    judgement = judge([replace(GOOD, own_share=share)] * 20, 0.03)
    assert judgement.trusted is holds
    assert proved([replace(GOOD, own_share=share)] * 20, unlike.OWN_CORE) is holds
    assert ("other processes had the core" in trust.sentence(judgement)) is not holds


@pytest.mark.parametrize("beside_s, holds", [(2.19e-4, True), (2.21e-4, False), (1.8e-4, False)])
def test_an_arm_that_empties_the_caches_must_not_show_in_another_s_time(beside_s: float, holds: bool) -> None:
    assert proved([replace(GOOD, planted=replace(PLANTED, beside_s=beside_s))] * 20, unlike.BESIDE) is holds


def of_processes(levels: list[list[float]]) -> list[Try]:
    """Tries by process, whose every ratio is off by such a factor."""
    at = replace(GOOD, same=Interval(1.0, 0.99, 1.01), slowed=Interval(TRUTH, 0.9, 1.0), planted=PLANTED)
    return [
        replace(at, figures=(factor, TRUTH * factor), process=process, number=number)
        for process, factors in enumerate(levels)
        for number, factor in enumerate(factors)
    ]


def test_a_slowdown_must_be_found_over_the_processes_that_there_are() -> None:
    """A process stops at ±2%, from which 5% is not beyond the margin; four of them know better, if they agree."""
    alike = [[1.001, 0.999, 1.0], [1.0, 1.002, 0.999], [0.999, 1.0, 1.001], [1.0, 0.999, 1.0]]
    wide = [replace(one, slowed=Interval(TRUTH, 0.93, 0.975)) for one in of_processes(alike)]
    assert proved(wide, trust.SLOWDOWN) is True
    assert proved([one for one in wide if one.process == 0], trust.SLOWDOWN) is False
    apart = [[1.03, 1.0, 0.97], [0.97, 1.03, 1.0], [1.0, 0.97, 1.03], [1.02, 0.98, 1.01]]
    assert proved(of_processes(apart), trust.SLOWDOWN) is False


def test_intervals_over_fresh_processes_must_hold_the_truth() -> None:
    scattered = [[0.98, 1.01], [1.02, 0.99], [1.0, 1.02], [0.99, 0.98]]
    assert proved(of_processes(scattered), unlike.ACROSS) is True
    biased = [[1.040, 1.041], [1.041, 1.042], [1.042, 1.040], [1.043, 1.041]]
    assert proved(of_processes(biased), unlike.ACROSS) is False
    one_each = judge(of_processes([[1.0, 1.0], [1.0]]), 0.03)
    assert "3 of 3 do, of 2 processes each" in [proof.observed for proof in one_each.proofs]


def test_a_try_comes_back_from_json_as_it_was() -> None:
    plain = replace(GOOD, sample_s=0.01, asked_s=0.01)
    for one in (plain, replace(plain, planted=UNKNOWN, own_share=0.9, process=2, number=7)):
        assert Try.from_dict(json.loads(json.dumps(asdict(one)))) == one
