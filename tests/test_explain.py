"""The page's headline: what is said of the speedups was planted in them, and nothing is said of noise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from convbench.facts.record import Record
from convbench.report import explain
from convbench.report.data import Runs, read_runs
from tests import made_up, report_rows


def runs_of(tmp_path: Path, rows: list[Record]) -> Runs:
    return read_runs([report_rows.write(tmp_path / "run", rows)])


def swept(speedup, **axes: tuple) -> list[Record]:
    """Rows of `explicit` over a grid of axes; `speedup` gives each configuration's from its spec."""
    rows = []
    for spec in report_rows.specs(**axes):
        of = made_up.spec(
            ("autograd", "explicit"), **{k: getattr(spec.case, k, None) or getattr(spec, k) for k in axes}
        )
        rows += made_up.timed(of, {"autograd": 1e-3, "explicit": 1e-3 / speedup(of)})
    return rows


GRID = {"kernel": (3, 5, 9, 11), "dtype": ("float32", "bfloat16"), "wrt": ("input", "weight"), "batch": (1, 2, 4)}


def planted(spec) -> float:
    slow = spec.case.kernel[0] == 3 and spec.wrt == "weight" and spec.dtype == "float32"
    return 0.8 if slow else 1.78


def test_the_split_is_found_and_said(tmp_path: Path) -> None:
    (headline,) = explain.headlines(runs_of(tmp_path, swept(planted, **GRID)))
    assert headline.method == "explicit"
    said = "faster in 45 of 48, median 1.78×; slower in 3, all with "
    assert headline.text.startswith(said)
    conditions = headline.text.removeprefix(said).partition(";")[0].split(", ")
    assert sorted(conditions) == ["float32", "kernel 3", "wrt weight"]


@pytest.mark.parametrize(
    ("slow", "condition"),
    [
        (lambda s: s.case.kernel[0] >= 9, "all with kernel ≥ 9"),
        (lambda s: s.case.kernel[0] <= 5 and s.dtype == "float32", "kernel ≤ 5"),
        (lambda s: s.case.kernel[0] in (5, 9) and s.wrt == "input", "kernel 5 to 9"),
    ],
)
def test_a_range_of_a_numeric_axis_is_a_condition(tmp_path: Path, slow, condition: str) -> None:
    (headline,) = explain.headlines(runs_of(tmp_path, swept(lambda s: 0.7 if slow(s) else 1.5, **GRID)))
    assert condition in headline.text


def test_chance_is_no_condition(tmp_path: Path) -> None:
    """Slow at random: no conditions that leave out most of the others describe it."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        runs = runs_of(tmp_path / str(seed), swept(lambda s, rng=rng: 0.8 if rng.random() < 0.2 else 1.5, **GRID))
        (headline,) = explain.headlines(runs)
        assert "all with" not in headline.text, (seed, headline.text)
        assert "of the spread" not in headline.text, (seed, headline.text)


def test_what_explains_the_spread_comes_first(tmp_path: Path) -> None:
    def speedup(spec) -> float:
        return math.exp(0.3 * math.log(spec.case.kernel[0]) + (0.05 if spec.wrt == "weight" else 0.0))

    runs = runs_of(tmp_path, swept(speedup, **GRID))
    assert [axis for axis, _ in explain.explaining(runs)][:2] == ["kernel", "wrt"]
    (headline,) = explain.headlines(runs)
    low, high = (f"{k**0.3 * math.exp(0.025):.2f}×" for k in (3, 11))
    assert f"of the spread follows kernel: {low} at 3, {high} at 11" in headline.text


def test_share_explained_is_epsilon_squared() -> None:
    """By hand: groups (1, 3) and (5, 7) have means 2 and 6; SS_total 20, SS_within 4, one degree of freedom of 2."""
    assert explain.share_explained([0, 0, 1, 1], np.array([1.0, 3.0, 5.0, 7.0])) == pytest.approx((20 - 4 - 2) / 20)
    assert explain.share_explained([0, 1, 2], np.array([1.0, 2.0, 3.0])) == 0.0
    assert explain.share_explained([0, 0, 0], np.array([1.0, 2.0, 3.0])) == 0.0


def test_nothing_timed_has_no_headline(tmp_path: Path) -> None:
    assert explain.headlines(runs_of(tmp_path, report_rows.table(measured=False, kernel=(3, 5)))) == []
    assert explain.explaining(runs_of(tmp_path / "none", [])) == []


def test_labels_are_never_the_same_for_two_configurations(tmp_path: Path) -> None:
    """Two presets of one case, and two layers of one shape whose names are too long to be said."""
    rows: list[Record] = []
    for name in ("quick", "default"):
        rows += made_up.timed(
            made_up.spec(("autograd", "explicit"), measure__name=name), {"autograd": 1e-3, "explicit": 1e-3}
        )
    for layer in ("a" * 40, "b" * 40):
        of = made_up.spec(("autograd", "explicit"), labels={"layer": layer}, kernel=3)
        rows += made_up.timed(of, {"autograd": 1e-3, "explicit": 1e-3})
    runs = runs_of(tmp_path, rows)
    every = range(runs.rows.count)
    labels = dict(zip(runs.rows.cells("configuration", every), runs.rows.cells("label", every), strict=True))
    assert len(labels) == len(set(labels.values())) == 4
    assert any("measure=quick" in label for label in labels.values())
