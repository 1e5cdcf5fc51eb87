"""What all cells say of how far processes lie apart, against variances whose distribution is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from convbench.comparison.change import Estimate
from convbench.comparison.moderation import Scatter, moderated
from convbench.comparison.regressions import judge
from convbench.comparison.result import Policy
from convbench.comparison.suspects import confirm, suspects
from convbench.comparison.whole import EVERY
from convbench.facts.record import Record
from tests.gate_simulated import MACHINES, POLICY, rates
from tests.simulated import config_id, timed_row

FREEDOM = 3.0
"""Of four processes."""


def drawn(prior: float, cells: int, seed: int, scale: float = 0.01) -> list[Estimate]:
    """Cells whose true variances have `prior` degrees of freedom about scale², each seen by four processes."""
    rng = np.random.default_rng(seed)
    true = scale**2 * (prior / rng.chisquare(prior, cells) if math.isfinite(prior) else np.ones(cells))
    seen = true * rng.chisquare(FREEDOM, cells) / FREEDOM
    return [Estimate(0.0, math.sqrt(one), FREEDOM) for one in seen]


@pytest.mark.parametrize("prior", [2.0, 4.0, 10.0])
def test_the_distribution_of_the_variances_is_found(prior: float) -> None:
    found = [Scatter.seen(drawn(prior, 400, seed)) for seed in range(20)]
    assert all(found)
    assert np.median([one.freedom for one in found if one]) == pytest.approx(prior, rel=0.25)
    assert np.median([one.variance for one in found if one]) == pytest.approx(1e-4, rel=0.1)


def test_cells_that_are_alike_are_one_sample() -> None:
    """Not better known than all of them together are, and then with the pooled variance."""
    found = Scatter.seen(drawn(math.inf, 400, 0))
    assert found is not None
    assert found.freedom > 100
    assert found.variance == pytest.approx(1e-4, rel=0.1)
    assert found.moderate(Estimate(0.0, 0.5, FREEDOM)).freedom == 400 * FREEDOM
    few = [Scatter.seen(drawn(math.inf, 10, seed)) for seed in range(100)]
    own = Estimate(0.0, 0.01, FREEDOM)
    assert all(one is not None and FREEDOM < one.moderate(own).freedom <= 10 * FREEDOM for one in few)


def test_processes_that_agree_to_the_last_digit_do_not_make_all_cells_differ() -> None:
    alike = drawn(math.inf, 50, 2)
    whole = Scatter.seen(alike)
    one_exact = Scatter.seen([*alike[1:], Estimate(0.0, 1e-16, FREEDOM)])
    assert whole is not None
    assert one_exact is not None
    assert one_exact.freedom > 2
    assert one_exact.variance > 0.4 * whole.variance


def spread(i: int, half: float, **values: Any) -> Record:
    """A cell whose interval is this wide."""
    ends = (2.0, 2.0 * math.exp(-half), 2.0 * math.exp(half))
    return {**timed_row(i, "explicit", ends), **values}


@pytest.mark.parametrize("kind", [{"processes": 1}, {"disturbed": True}, {"speedup_mode_low": 1.5}])
def test_other_errors_than_students_are_left_as_they_are(kind: dict[str, Any]) -> None:
    """Those of one process are order statistics'; disturbed rows are wide on purpose, as are two speeds."""
    quiet = [spread(i, 0.01, processes=4) for i in range(50)]
    odd = spread(50, 0.4, **{"processes": 4, **kind})
    for rows in ([*quiet, odd], [spread(i, 0.01, **{"processes": 4, **kind}) for i in range(50)] + [odd]):
        result = judge(rows, rows, POLICY)
        (change,) = [change for key, change in result.changes.items() if key.config_id == config_id(50)]
        alone = judge([odd], [odd], POLICY)
        assert change.se == pytest.approx(next(iter(alone.changes.values())).se)


def test_a_base_of_one_process_keeps_what_six_fresh_ones_differ_by() -> None:
    """Cells of a single process each, of which those that are measured again scatter ten times as much."""
    base = [spread(i, 0.005, processes=1) for i in range(20)]
    slow = [{**row, **{name: row[name] / 1.2 for name in ("speedup", "speedup_low", "speedup_high")}} for row in base]
    slow = [{**row, "time_s": row["time_s"] * 1.2} for row in slow]
    result = judge(base, slow, Policy())
    assert len(suspects(result)) == 20
    again = [
        {**row, "processes": 6, "speedup_low": row["speedup"] / 1.3, "speedup_high": row["speedup"] * 1.3}
        for row in result.rows.values()
    ]
    second = confirm(result, base, again, Policy())
    assert len(second.doubtful) == 20
    assert not [finding for finding in second.failures if finding.key.config_id != EVERY]


def test_an_error_moves_towards_that_of_all_cells() -> None:
    seen = drawn(4.0, 50, 1)
    small, large = Estimate(0.1, 1e-4, FREEDOM), Estimate(0.2, 0.5, FREEDOM)
    out = moderated({"small": small, "large": large}, seen)
    assert out["small"].se > small.se
    assert out["large"].se < large.se
    assert [one.value for one in out.values()] == [0.1, 0.2]
    assert all(one.freedom > FREEDOM for one in out.values())


def test_few_cells_another_number_of_processes_or_no_error_teach_nothing() -> None:
    one = Estimate(0.0, 0.01, FREEDOM)
    assert moderated({"a": one}, drawn(4.0, 7, 0)) == {"a": one}
    assert moderated({"a": one}, [Estimate(0.0, 0.01, 2.0)] * 50) == {"a": one}
    assert moderated({"a": one}, [Estimate(0.0, 0.0, FREEDOM)] * 50) == {"a": one}
    assert moderated({}, []) == {}


UNLIKE = [name for name in MACHINES if name.startswith(("2% apart", "bursty"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", UNLIKE)
def test_several_processes_find_more_and_do_not_cry_wolf(name: str) -> None:
    """Where 38%, 41% and 42% of slowdowns of 10% were found by each cell's own four processes."""
    found = rates(MACHINES[name], 60, seed=8)
    assert found.alarms <= 2
    assert found.found / found.planted > 0.5
