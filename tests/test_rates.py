"""Figures that follow from a time, against arithmetic by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.facts.rates import RATES, rates, with_rates
from convbench.facts.record import COLUMNS

counts = st.integers(1, 10**15)
positive = st.floats(1e-9, 1e3)


def test_by_hand() -> None:
    """2·10⁹ operations and 3·10⁸ bytes in 10 ms: 0.2 TFLOP/s and 30 GB/s.

    Ceilings of 1 TFLOP/s and 60 GB/s need 2 ms and 5 ms at least: half of what it took.
    """
    row = rates(2 * 10**9, 3 * 10**8, 0.01, 1.0, 60.0)
    assert (row["flops"], row["bytes"], row["ceiling_tflops"], row["ceiling_gbps"]) == (2 * 10**9, 3 * 10**8, 1.0, 60.0)
    assert row["tflops"] == pytest.approx(0.2)
    assert row["gbps"] == pytest.approx(30.0)
    assert row["ceiling_share"] == pytest.approx(0.5)
    compute_bound = rates(2 * 10**9, 3 * 10**8, 0.01, 0.25, 60.0)
    assert compute_bound["ceiling_share"] == pytest.approx(0.8)


@pytest.mark.parametrize("time_s", [None, 0.0])
def test_without_a_time_there_are_no_rates(time_s: float | None) -> None:
    row = rates(10, 20, time_s, 1.0, 1.0)
    assert row == {"flops": 10, "bytes": 20, "ceiling_tflops": 1.0, "ceiling_gbps": 1.0}


@pytest.mark.parametrize("ceilings", [(None, None), (1.0, None), (None, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_without_both_ceilings_there_is_no_share(ceilings: tuple[float | None, float | None]) -> None:
    row = rates(10, 20, 1.0, *ceilings)
    assert "ceiling_share" not in row
    assert row["tflops"] > 0


@given(counts, counts, positive, positive, positive)
def test_the_share_is_that_of_the_nearer_ceiling(flops: int, moved: int, time_s: float, tf: float, gb: float) -> None:
    row = rates(flops, moved, time_s, tf, gb)
    assert row["ceiling_share"] == pytest.approx(max(row["tflops"] / tf, row["gbps"] / gb))
    assert row.keys() <= COLUMNS.keys()


@given(counts, counts, positive, positive, positive, positive)
def test_rates_change_as_the_time_does(flops: int, moved: int, old: float, new: float, tf: float, gb: float) -> None:
    row = {"time_s": old, **rates(flops, moved, old, tf, gb)}
    speed = {"time_s": new, "speedup": 2.0}
    found = with_rates(row, speed)
    assert speed == {"time_s": new, "speedup": 2.0}, "the arguments stay as they are"
    assert {name: found[name] for name in RATES} == pytest.approx({name: row[name] * old / new for name in RATES})
    assert (found["speedup"], found["flops"], found["bytes"]) == (2.0, flops, moved)


def test_without_ceilings_the_share_stays_unknown() -> None:
    assert "ceiling_share" not in with_rates({"flops": 10, "bytes": 20}, {"time_s": 1.0})
