"""A network's totals: by hand, by simulated measurements whose truth is known, and wherever a person sees them."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import convbench
from convbench import cli
from convbench.commands import export
from convbench.facts.record import Record
from convbench.findings import networks
from convbench.findings.network_totals import Estimate, Line, Total, total_of
from convbench.terminal import summary
from tests.report_rows import write
from tests.settings import make_spec

SIZES = {"op": "conv2d", "batch": 2, "in_channels": 4, "out_channels": 4, "size": 8, "kernel": 3}


def row(method: str, time_s: float, speedup: float | None = None, width: float = 0.0, **more: Any) -> Record:
    """A right, timed row whose intervals are ± `width` as a share; `faster` where the margin of 3% is beyond doubt."""
    found = {
        "method": method,
        "baseline": "autograd",
        "status": "ok",
        "accuracy": "ok",
        "time_s": time_s,
        "time_low_s": time_s * (1 - width),
        "time_high_s": time_s * (1 + width),
    }
    if speedup is not None:
        ends = {"speedup_low": speedup * (1 - width), "speedup_high": speedup * (1 + width)}
        found |= {"speedup": speedup, **ends, "speed": "faster" if ends["speedup_low"] > 1.03 else "inconclusive"}
    return {**found, **more}


def line(count: int, *rows: Record, name: str = "layer", wrt: str = "input") -> Line:
    return Line(name, wrt, count, {one["method"]: one for one in rows})


def total(*lines: Line) -> Total:
    found = total_of("net", [], "autograd", lines)
    assert found is not None
    return found


THREE = (
    line(3, row("autograd", 2.0), row("mine", 1.0, 2.0), row("yours", 4.0, 0.5), name="a"),
    line(1, row("autograd", 10.0), row("mine", 20.0, 0.5), row("yours", 8.0, 1.25), name="b"),
    line(2, row("autograd", 1.0), row("mine", 0.1, 10.0, accuracy="fail"), {"method": "yours", "status": "oom"}),
)


def test_totals_by_hand() -> None:
    """Autograd: 3·2 + 10 + 2·1. The wrong method and the one that has no result take the baseline's time there."""
    found = total(*THREE)
    assert {one.method: one.time.value for one in found.methods} == {"autograd": 18.0, "mine": 25.0, "yours": 22.0}
    assert [(one.own, one.wrong, one.others) for one in found.methods] == [(3, 0, 0), (2, 1, 0), (2, 0, 1)]
    speedups = {one.method: one.speedup.value for one in found.methods}
    assert speedups == pytest.approx({"autograd": 1, "mine": 18 / 25, "yours": 18 / 22})
    assert (found.best.time.value, found.best.own, found.layers) == (3 * 1.0 + 8.0 + 2.0, 2, 6)
    assert found.best.speedup.value == pytest.approx(18 / 13)
    assert [(one.line.name, one.method, one.gain_s) for one in found.switches] == [
        ("a", "mine", 3.0),
        ("b", "yours", 2.0),
    ]


@pytest.mark.parametrize(
    "spoilt",
    [{"accuracy": "fail"}, {"speed": "impossible"}, {"status": "error"}, {"accuracy": None}, {"time_s": None}],
)
def test_what_is_not_right_and_timed_never_counts(spoilt: dict[str, Any]) -> None:
    found = total(line(1, row("autograd", 2.0), {**row("mine", 0.5, 4.0), **spoilt}))
    assert found.switches == ()
    assert [one.time.value for one in (*found.methods, found.best)] == [2.0, 2.0, 2.0]
    assert found.methods[1].own == 0


def test_lines_without_a_time_of_the_baselines_count_for_nobody() -> None:
    wrong = row("autograd", 1.0, accuracy="fail")
    found = total(*THREE[:2], line(5, wrong, row("mine", 0.1, 10.0)))
    assert (found.left_out, len(found.lines), found.methods[0].time.value) == (1, 2, 16.0)
    assert total_of("net", [], "autograd", [line(5, wrong)]) is None


def test_only_what_is_faster_beyond_the_margin_is_chosen_by_its_lower_end() -> None:
    lucky = row("lucky", 0.4, 2.5, width=0.3)
    found = total(
        line(1, row("autograd", 1.0), lucky, row("steady", 0.5, 2.0, width=0.01), name="a"),
        line(1, row("autograd", 1.0), row("lucky", 0.9, 1.1, width=0.1), name="b"),
    )
    assert [(one.line.name, one.method) for one in found.switches] == [("a", "steady")]


def test_unknown_ends_make_the_end_of_a_total_unknown() -> None:
    bare = {"method": "mine", "status": "ok", "accuracy": "ok", "time_s": 0.5, "speedup": 2.0, "speed": "faster"}
    found = total(line(1, row("autograd", 1.0), bare), *THREE)
    assert found.methods[1].time[1:] == found.methods[1].speedup[1:] == (None, None)
    assert found.methods[0].time.low is not None


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(1e-6, 1), st.floats(0.2, 5)), min_size=1, max_size=8))
def test_best_is_never_slower_than_the_baseline_nor_a_method_that_wins(rows: list[tuple[int, float, float]]) -> None:
    lines = [line(n, row("autograd", t), row("mine", t / s, s), name=str(i)) for i, (n, t, s) in enumerate(rows)]
    found = total(*lines)
    whole = math.fsum(n * t for n, t, _ in rows)
    assert found.methods[0].time.value == pytest.approx(whole)
    assert found.methods[1].speedup.value == pytest.approx(whole / math.fsum(n * t / s for n, t, s in rows))
    ratio = math.fsum(n * t / (s if s > 1.03 else 1) for n, t, s in rows)
    assert found.best.time.value == pytest.approx(ratio)
    assert found.best.speedup.value == pytest.approx(whole / ratio)


def simulated(rng: np.random.Generator, truths: np.ndarray[Any, Any], sigma: float) -> Total:
    """Measurements of `truths` [lines, methods], true speedups, whose intervals are as wide as their errors are."""
    lines = []
    for at, speedups in enumerate(truths):
        time = float(np.exp(sigma * rng.normal()))
        rows = [row("autograd", (1 + at % 5) * time, width=1.96 * sigma)]
        for method, true in enumerate(speedups):
            seen = float(true * np.exp(sigma * rng.normal()))
            rows.append(row(f"m{method}", (1 + at % 5) / seen, seen, width=1.96 * sigma))
        lines.append(line(1, *rows, name=str(at)))
    return total(*lines)


def holds(found: Estimate, true: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= true <= found.high


def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(1)
    truths = rng.uniform(0.6, 1.8, (12, 1))
    times = 1.0 + np.arange(12) % 5
    true = times.sum() / (times / truths[:, 0]).sum()
    found = [simulated(rng, truths, 0.02).methods for _ in range(400)]
    ratio = np.mean([holds(own.speedup, true) for _, own in found])
    time = np.mean([holds(base.time, times.sum()) for base, _ in found])
    assert 0.92 <= ratio <= 0.99
    assert 0.92 <= time <= 0.99


def test_the_best_does_not_win_by_luck() -> None:
    """Six equal methods in thirty lines: the choice favours what was measured too fast; the low end allows for it."""
    rng = np.random.default_rng(2)
    truths = np.full((30, 6), 1.25)
    found = [simulated(rng, truths, 0.02).best.speedup for _ in range(150)]
    lows = [one.low for one in found if one.low is not None]
    assert len(lows) == len(found)
    assert np.mean([one.value for one in found]) > 1.26
    assert np.mean([low <= 1.25 for low in lows]) >= 0.98
    assert min(lows) > 1.15


def rows_of(labels: dict[str, str], times: dict[str, float], **settings: Any) -> list[Record]:
    """The rows of one configuration; `times` by method, the first the baseline's."""
    spec = make_spec(**{**SIZES, **settings}, methods=list(times))
    base = times["autograd"]
    told = {**spec.columns(), "labels": json.dumps(labels, sort_keys=True)}
    return [
        {**told, **row(name, time, None if name == "autograd" else base / time, 0.01)} for name, time in times.items()
    ]


def list_of(**settings: Any) -> list[Record]:
    """Two layers of one network, of which the second has no gradient of its input."""
    mid = {"network": "net", "layer": "mid", "count": "3"}
    first = {"network": "net", "layer": "first", "count": "1"}
    return [
        *rows_of(mid, {"autograd": 1.0, "mine": 0.5}, wrt="input", **settings),
        *rows_of(mid, {"autograd": 2.0, "mine": 4.0}, wrt="weight", **settings),
        *rows_of(first, {"autograd": 5.0, "mine": 5.0}, wrt="weight", size=16, **settings),
    ]


def baseline_times(rows: list[Record]) -> dict[tuple[tuple[str, Any], ...], float]:
    return {one.setting: one.methods[0].time.value for one in networks.totals(rows)}


def test_gradients_that_have_lines_of_their_own_are_one_network() -> None:
    (one,) = networks.totals(list_of())
    assert (one.network, one.layers, one.wrt, one.setting) == ("net", 7, ("input", "weight"), ())
    assert one.methods[0].time.value == 3 * 1.0 + 3 * 2.0 + 5.0
    assert [(s.line.name, s.line.wrt, s.gain_s) for s in one.switches] == [("mid", "input", 1.5)]


def test_the_forward_pass_is_no_part_of_the_whole_backward() -> None:
    labels = {"network": "net", "layer": "mid", "count": "3"}
    rows = [*list_of(), *rows_of(labels, {"autograd": 7.0}, wrt="output", size=16)]
    assert [(one.wrt, one.methods[0].time.value) for one in networks.totals(rows)] == [
        (("input", "weight"), 14.0),
        (("output",), 21.0),
    ]


def test_what_was_swept_has_totals_of_its_own_and_what_differs_between_layers_has_not() -> None:
    both = [*list_of(dtype="float32"), *list_of(dtype="bfloat16"), *list_of(dtype="float32", batch=8)]
    assert baseline_times(list_of(dtype="float32") + list_of(dtype="bfloat16")) == {
        (("dtype", "float32"),): 14.0,
        (("dtype", "bfloat16"),): 14.0,
    }
    assert len(networks.totals(both)) == 3
    mixed = [
        *list_of(dtype="float32"),
        *rows_of({"network": "net", "layer": "amp", "count": "1"}, {"autograd": 7.0}, dtype="bfloat16"),
    ]
    assert baseline_times(mixed) == {(): 21.0}
    twice = [
        *list_of(),
        *rows_of({"network": "net", "layer": "mid", "count": "3"}, {"autograd": 1.0}, wrt="input", size=9),
    ]
    assert baseline_times(twice) == {(): 17.0}
    other = [{**one, "labels": one["labels"].replace('"net"', '"other"')} for one in list_of()]
    assert [one.network for one in networks.totals([*list_of(), *other])] == ["net", "other"]


def test_a_gradient_does_not_count_twice() -> None:
    labels = {"network": "net", "layer": "mid", "count": "2"}
    rows = [
        found
        for wrt, time in (("input", 1.0), ("weight", 2.0), ("input+weight", 2.5))
        for found in rows_of(labels, {"autograd": time}, wrt=wrt)
    ]
    assert sorted(baseline_times(rows).values()) == [2.0, 4.0, 5.0]
    assert baseline_times(rows[:2]) == {(): 6.0}


def test_rows_without_a_count_and_other_observed_conditions_do_not_matter() -> None:
    rows = [{**one, "cache": "hot"} for one in list_of()]
    unsupported = {k: v for k, v in rows[0].items() if k not in ("cache", "time_s", "accuracy")}
    rows.append({**unsupported, "method": "fft", "status": "unsupported"})
    rows += rows_of({"layer": "x"}, {"autograd": 100.0}) + rows_of({"layer": "x", "count": "many"}, {"autograd": 100.0})
    (one,) = networks.totals(rows)
    assert one.methods[0].time.value == 14.0
    assert [(m.method, m.own, m.others) for m in one.methods[1:]] == [("mine", 3, 0), ("fft", 0, 3)]


def test_the_figures_of_a_training_step_lead_where_they_are_known() -> None:
    rows = list_of()
    for found in rows:
        for name in ("time_s", "time_low_s", "time_high_s"):
            found[f"backward_{name}"] = found[name] + (1.0 if found["method"] == "mine" else 0.5)
        found["backward_speedup"], found["backward_speed"] = 0.9, "slower"
    (one,) = networks.totals(rows)
    assert one.methods[0].time.value == 3 * 1.5 + 3 * 2.5 + 5.5
    assert one.switches == ()


def test_everybody_sees_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The terminal, the page, Markdown, JSON and Python."""
    folder = write(tmp_path / "run", list_of())
    out = Console(file=io.StringIO(), width=120)
    summary.show(folder, out)
    assert isinstance(out.file, io.StringIO)
    said = out.file.getvalue()
    assert "whole of net: 7 layers in 3 lines · wrt input, weight" in said
    assert (
        "switching in 1 line gains 1.50 s of 14.0 s: mine in mid wrt input (3 times: 1.50 s, 2.00× [1.98, 2.02])"
        in said
    )
    assert cli.main(["export", str(folder), "--format", "markdown"]) == 0
    markdown = capsys.readouterr().out
    assert "| best of each layer | 12.5 s | 1.12×" in markdown
    assert "| method | total | speedup |\n|---|--:|---|\n" in markdown
    assert cli.main(["export", str(folder), "--format", "totals"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [found["time_s"] for found in content["totals"]] == [14.0, 18.5, 12.5]
    assert content["switches"][0]["gain_s"] == 1.5
    assert cli.main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "whole of net: 7 layers in 3 lines" in page
    assert ("by the baseline" in said, "By the baseline" in page) == (False, False), "no method needs it to stand in"
    table = convbench.load(folder)
    totals, switches = convbench.totals(table), convbench.switches(table)
    assert list(totals["method"]) == ["autograd", "mine", "best of each layer"]
    assert list(totals["time_s"]) == [14.0, 18.5, 12.5]
    assert list(switches["layer"]) == ["mid"]
    assert {"speedup_low", "own_lines", "left_out_lines"} <= set(totals)


def test_a_run_whose_lines_have_no_count_has_no_totals(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", rows_of({"layer": "x"}, {"autograd": 1.0}))
    assert list(convbench.totals(convbench.load(folder)).columns)[:2] == ["network", "wrt"]
    assert len(convbench.switches(convbench.load(folder))) == 0
    with pytest.raises(convbench.InvalidValue, match="sweep a list of cases"):
        export.main([str(folder), "--format", "totals"])


def test_lines_without_a_layers_name_are_told_apart_by_their_cases() -> None:
    labels = {"network": "net", "count": "1"}
    rows = [found for size in (8, 9, 10) for found in rows_of(labels, {"autograd": 1.0}, size=size)]
    assert baseline_times(rows) == {(): 3.0}
    again = [found for size in (8, 9, 10) for found in rows_of(labels, {"autograd": 2.0}, size=size, dtype="float64")]
    assert sorted(baseline_times([*rows, *again]).values()) == [3.0, 6.0]
