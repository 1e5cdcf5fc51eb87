"""The rules that tests/stopping.py compares, against every possible sequence of throws and the program itself."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from convbench.facts.measure import Measure
from convbench.timing import rounds
from convbench.timing.clocks import Arm

from . import stopping
from .fake_clock import FakeClock
from .pages import replace_section


def test_spending_errs_as_often_as_it_may_and_no_more() -> None:
    """Of all 2¹² sequences of fair throws, counted one by one."""
    looks = (6, 8, 10, 12)
    bounds = stopping.spending_bounds(looks)
    crossed = sum(
        any(sum(throws[:look]) >= bounds[look] for look in looks) for throws in itertools.product((0, 1), repeat=12)
    )
    assert stopping.ALPHA / 2 < crossed / 2**12 <= stopping.ALPHA


def test_the_mixture_may_be_looked_at_after_every_throw() -> None:
    crossed = sum(
        any(stopping.mixture(sum(throws[:n]), n) for n in range(1, 15))
        for throws in itertools.product((0, 1), repeat=14)
    )
    assert 0 < crossed / 2**14 <= stopping.ALPHA


@pytest.mark.parametrize("rejects", [stopping.spending, stopping.mixture])
@pytest.mark.parametrize("value, enough", [(0.5, True), (-0.5, True), (0.0, True), (stopping.EDGE, False)])
def test_a_verdict_is_either_side_of_the_margin_or_within_it(rejects, value, enough) -> None:
    n = 20
    assert stopping.decided(rejects)([value] * n, [True, False] * (n // 2)) is enough


def noisy(seed: int, measure: Measure) -> FakeClock:
    """Calls of a millisecond that scatter the more the higher the seed."""
    rng = np.random.default_rng(seed)
    return FakeClock(lambda call, calls, now: 1e-3 * calls * float(np.exp(rng.normal(0, 0.004 * seed))), measure)


def test_ours_takes_as_many_pairs_as_the_program_does() -> None:
    """The same times, once as a rule's differences and once on a clock that passes time as told."""
    taken, measure = set(), Measure(min_time_s=0.0, warmup_s=0.0)
    arms = [Arm(name, object()) for name in "ab"]  # type: ignore[arg-type]
    for seed in range(12):
        samples = rounds.measure(arms, "a", measure, noisy(seed, measure), seed, rounds.unmarked)
        assert stopping.OURS.stops(samples.log_ratios("b", "a"), samples.ran_first("b", "a")) == samples.rounds
        taken.add(samples.rounds)
    assert taken == {10, 20, 40}


def test_a_section_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x, by y -->\nold\n<!-- end of x -->\nb\n")
    replace_section(page, "x", "new \\1\n")
    assert page.read_text() == "a\n<!-- x, by y -->\nnew \\1\n<!-- end of x -->\nb\n"
    with pytest.raises(ValueError, match="0 sections called 'z'"):
        replace_section(page, "z", "")
