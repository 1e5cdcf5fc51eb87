"""Figures that follow from a time, against arithmetic by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.facts.rates import RATES, Work
from convbench.facts.record import COLUMNS

counts = st.integers(1, 10**15)
positive = st.floats(1e-9, 1e3)


def test_by_hand() -> None:
    """2·10⁹ operations and 3·10⁸ bytes in 10 ms: 0.2 TFLOP/s and 30 GB/s.

    Ceilings of 1 TFLOP/s and 60 GB/s need 2 ms and 5 ms at least: half of what it took.
    """
    row = Work(2 * 10**9, 3 * 10**8, 1.0, 60.0).rates(0.01)
    assert (row["flops"], row["bytes"], row["ceiling_tflops"], row["ceiling_gbps"]) == (2 * 10**9, 3 * 10**8, 1.0, 60.0)
    assert row["tflops"] == pytest.approx(0.2)
    assert row["gbps"] == pytest.approx(30.0)
    assert row["ceiling_share"] == pytest.approx(0.5)
    compute_bound = Work(2 * 10**9, 3 * 10**8, 0.25, 60.0).rates(0.01)
    assert compute_bound["ceiling_share"] == pytest.approx(0.8)


@pytest.mark.parametrize("time_s", [None, 0.0])
def test_without_a_time_there_are_no_rates(time_s: float | None) -> None:
    row = Work(10, 20, 1.0, 1.0).rates(time_s)
    assert row == {"flops": 10, "bytes": 20, "ceiling_tflops": 1.0, "ceiling_gbps": 1.0}


@pytest.mark.parametrize("ceilings", [(None, None), (1.0, None), (None, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_without_both_ceilings_there_is_no_share(ceilings: tuple[float | None, float | None]) -> None:
    row = Work(10, 20, *ceilings).rates(1.0)
    assert "ceiling_share" not in row
    assert row["tflops"] > 0


@given(counts, counts, positive, positive, positive)
def test_the_share_is_that_of_the_nearer_ceiling(flops: int, moved: int, time_s: float, tf: float, gb: float) -> None:
    row = Work(flops, moved, tf, gb).rates(time_s)
    assert row["ceiling_share"] == pytest.approx(max(row["tflops"] / tf, row["gbps"] / gb))
    assert row.keys() <= COLUMNS.keys()


@given(counts, counts, positive, positive, positive, positive)
def test_rates_change_as_the_time_does(flops: int, moved: int, old: float, new: float, tf: float, gb: float) -> None:
    row = {"time_s": old, **Work(flops, moved, tf, gb).rates(old)}
    found = Work.of_row(row).rates(new)
    assert {name: found[name] for name in RATES} == pytest.approx({name: row[name] * old / new for name in RATES})
    assert (found["flops"], found["bytes"]) == (flops, moved)


def test_without_ceilings_the_share_stays_unknown() -> None:
    assert "ceiling_share" not in Work.of_row({"flops": 10, "bytes": 20}).rates(1.0)


def test_a_time_below_the_least_is_impossible_whatever_it_is_compared_with() -> None:
    known = Work(10, 20, least_s=2e-3)
    assert known.verdict({"time_s": 2e-3, "speed": "faster"}) == {}
    caught = known.verdict({"time_s": 1e-6})
    assert caught["speed"] == "impossible"
    assert "1.00 µs" in caught["reason"]
    assert "2.00 ms" in caught["reason"]
    assert Work.of_row(known.rates(1.0)) == known
    assert Work(10, 20).verdict({"time_s": 1e-9}) == {}


@pytest.mark.parametrize("said, now", [("faster", "inconclusive"), ("equivalent", "inconclusive"), ("slower", None)])
def test_more_cores_than_the_row_says_are_no_speedup(said: str, now: str | None) -> None:
    known = Work(10, 20, threads=2)
    assert known.verdict({"time_s": 1.0, "speed": said, "cpus": 2.2}) == {}
    found = known.verdict({"time_s": 1.0, "speed": said, "cpus": 3.96})
    assert found == {"reason": "its calls kept 4.0 cores busy where threads=2"} | ({"speed": now} if now else {})
    again = Work.of_row({"flops": 10, "bytes": 20, "threads": 2, "cpus": 3.96})
    assert again.verdict({"time_s": 1.0, "speed": said, "cpus": None}) == found, "samples do not tell of it"
    assert again.verdict({"time_s": 1.0, "speed": said, "cpus": 1.0}) == {}
