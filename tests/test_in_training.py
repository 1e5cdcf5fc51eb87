"""What a training step can have of a method: its computation as the backward of an autograd.Function."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter

from convbench import runner
from convbench.commands.recompute import speed_columns
from convbench.execution.method_server import MethodServer
from convbench.facts.measure import Measure
from convbench.facts.record import Record
from convbench.findings import tally
from convbench.findings.finders import find
from convbench.measurement import problem
from convbench.methods.formulas import EXPLICIT
from convbench.methods.in_training import as_backward, empty_backward
from convbench.methods.own import load
from convbench.report.summary import Figures, others
from convbench.results.rows import Rows
from convbench.timing.figures import with_figures
from convbench.timing.samples import Samples
from tests.made_up import spec, timed
from tests.settings import make_spec
from tests.test_runner import TIMED, run, small
from tests.test_terminal import text

IN_ENGINE = torch._C._current_graph_task_id
"""−1 outside of autograd's engine."""


@pytest.fixture
def own() -> Iterator[ModuleType]:
    module = ModuleType("own_in_training")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("wrt", ["input", "weight", "bias"])
@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_it_is_the_same_gradient_computed_within_the_engine(op: str, wrt: str) -> None:
    made = problem.make(make_spec(op=op, wrt=wrt, size=6, kernel=3, bias=True, in_channels=2, out_channels=3))
    inside: list[bool] = []
    call = load("aten")(made)

    def seen() -> Tensor:
        inside.append(IN_ENGINE() != -1)
        return call()

    trained = as_backward(made, seen)
    assert torch.equal(trained(), load("autograd")(made)())
    assert torch.equal(trained(), trained())
    assert inside == [True] * 3


def test_it_follows_operands_whose_values_change_in_place() -> None:
    made, other = (problem.make(make_spec(size=6, kernel=3), seed) for seed in (1, 2))
    trained = as_backward(made, EXPLICIT.wanted(made))
    for name in ("input", "weight", "grad_output"):
        tensor = getattr(made, name)
        with torch.no_grad(), _unsafe_preserve_version_counter(tensor):
            tensor.copy_(getattr(other, name))
    assert torch.equal(trained(), F.conv2d(other.grad_output, other.weight))


def test_the_engine_by_itself_runs_a_graph_and_computes_nothing() -> None:
    made = problem.make(make_spec(size=6, kernel=3))
    with torch.autograd.profiler.profile() as profile:
        got = empty_backward(made)()
    names = {event.name for event in profile.function_events}
    assert any("ViewBackward" in name for name in names)
    assert not any("conv" in name for name in names)
    assert got.shape == made.input.shape


def counted(events: list[int]) -> Any:
    def prepare(made: Any) -> Any:
        call = EXPLICIT.wanted(made)

        def observed() -> Tensor:
            events.append(IN_ENGINE())
            return call()

        return observed

    return prepare


def test_a_method_is_timed_as_it_is_called_and_in_the_engine(own: ModuleType) -> None:
    events: list[int] = []
    own.method = counted(events)  # type: ignore[attr-defined]
    rows, _, result = run(small("autograd", "own_in_training:method", **TIMED, deterministic=False))
    calls, trained = result.samples
    assert (calls.timed_as, trained.timed_as) == ("call", "backward")
    assert calls.arms == trained.arms
    within = [event for event in events if event != -1]
    least = sum(row[1] for row in trained.calls)
    assert len(within) >= least
    assert len(events) - len(within) >= sum(row[1] for row in calls.calls)
    assert trained.counters["engine_s"] > 0
    row = rows["own_in_training:method"]
    assert row["backward_speedup"] > 0
    assert row["engine_s"] == rows["autograd"]["engine_s"] == trained.counters["engine_s"]
    assert "backward_time_s" in rows["autograd"]


def test_what_cannot_be_a_backward_is_timed_by_its_calls_and_says_so(own: ModuleType) -> None:
    def prepare(made: Any) -> Any:
        call = EXPLICIT.wanted(made)

        def outside_only() -> Tensor:
            if IN_ENGINE() != -1:
                raise RuntimeError("not here")
            return call()

        return outside_only

    own.method = prepare  # type: ignore[attr-defined]
    rows, _, _ = run(small("autograd", "own_in_training:method", **TIMED))
    row = rows["own_in_training:method"]
    assert row["status"] == "ok"
    assert "speedup" in row
    assert "backward_speedup" not in row
    assert row["reason"] == "not timed as the backward of an autograd.Function: RuntimeError: not here"


def test_what_is_wrong_within_the_engine_is_not_timed_there(own: ModuleType) -> None:
    def prepare(made: Any) -> Any:
        call = EXPLICIT.wanted(made)
        return lambda: call() * (2 if IN_ENGINE() != -1 else 1)

    own.method = prepare  # type: ignore[attr-defined]
    rows, _, _ = run(small("autograd", "own_in_training:method", **TIMED))
    row = rows["own_in_training:method"]
    assert row["accuracy"] == "ok"
    assert "backward_speedup" not in row
    assert row["reason"].endswith("another gradient, which is wrong")


def test_it_can_be_left_out_and_has_no_second_order_and_no_output() -> None:
    for changes in ({"measure__backward": False}, {"order": 2}, {"wrt": "output"}):
        rows, _, result = run(small("autograd", "explicit", **TIMED, **changes))
        assert [samples.timed_as for samples in result.samples] == ["call"]
        assert "speedup" in rows["explicit"]
        assert not [name for name in rows["explicit"] if name.startswith("backward_")]


def test_methods_through_autograd_are_timed_once() -> None:
    rows, _, result = run(small("autograd", **TIMED))
    calls, trained = result.samples
    assert trained.times == calls.times
    assert rows["autograd"]["backward_time_s"] == rows["autograd"]["time_s"]


def test_a_method_in_a_process_of_its_own_is_sampled_within_the_engine(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apart.py").write_text(
        "import torch\nfrom torch.nn.functional import conv2d\nevents = []\n"
        "def method(problem):\n"
        "    def call():\n"
        "        events.append(torch._C._current_graph_task_id() != -1)\n"
        "        return conv2d(problem.grad_output, problem.weight)\n"
        "    return call\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with closing(MethodServer()) as side:
        side.configure(make_spec(size=6, kernel=3, measure__enabled=True).to_dict(), seed=5)
        assert side.prepare("apart:method")["autograd"] is False
        events = sys.modules["apart"].events
        for timed_as, inside in (("call", False), ("backward", True), ("call", False)):
            side.ready(timed_as=timed_as)
            events.clear()
            side.sample(4)
            assert events == [inside] * 4
        side.draw(7)
        side.ready(timed_as="backward")
        side.sample(1, anew=True)
        expected = problem.make(make_spec(size=6, kernel=3), 7)
        assert torch.equal(side._prepared()[0].call(), F.conv2d(expected.grad_output, expected.weight))


# The figures.


def samples(timed_as: str, times: list[float], **changes: Any) -> Samples:
    """Six rounds of autograd and explicit with these times; the order alternates."""
    return Samples(
        arms=("autograd", "explicit"), seed=0, margin=0.03, half_width=0.01, times=[times] * 6, calls=[[1, 1]] * 6,
        order=[[0, 1], [1, 0]] * 3, timed_as=timed_as, **changes,
    )  # fmt: skip


def figured(*parts: Samples, **values: Any) -> Record:
    row = {"method": "explicit", "status": "ok", "accuracy": "ok", "flops": 1, "bytes": 1, "threads": 1, **values}
    return with_figures(row, parts, "autograd", Measure())


def test_both_ratios_stand_side_by_side_and_can_be_recomputed() -> None:
    parts = [samples("call", [4e-5, 1e-5]), samples("backward", [4e-5, 5e-5], counters={"engine_s": 2e-5})]
    row = figured(*parts)
    assert (row["speedup"], row["speed"]) == (pytest.approx(4), "faster")
    assert (row["backward_speedup"], row["backward_speed"]) == (pytest.approx(0.8), "slower")
    assert (row["time_s"], row["backward_time_s"], row["engine_s"]) == (1e-5, 5e-5, 2e-5)
    kept = [r for part in parts for r in part.to_rows(make_spec().key)]
    read = Samples.from_rows(kept)
    assert [part.timed_as for part in read] == ["backward", "call"]
    again = speed_columns({**row, "baseline": "autograd"}, read)
    assert {name: value for name, value in again.items() if value is not None}.items() <= row.items()
    older = Samples.from_rows(
        [{k: v for k, v in r.items() if k != "timed_as"} for r in parts[0].to_rows(make_spec().key)]
    )
    assert [part.timed_as for part in older] == ["call"]


@pytest.mark.parametrize("impossible", ["call", "backward"])
def test_what_is_impossible_in_one_way_is_believed_in_neither(impossible: str) -> None:
    times = {"call": [4e-5, 1e-5], "backward": [4e-5, 2e-5], impossible: [4e-5, 1e-7]}
    row = figured(*(samples(way, times[way]) for way in ("call", "backward")), least_s=1e-6)
    assert (row["speed"], row["backward_speed"]) == ("impossible", "impossible")
    assert "impossible" in row["reason"]


def test_what_keeps_more_cores_busy_is_faster_in_neither_way() -> None:
    crowded = samples("call", [4e-5, 1e-5], per_arm={"explicit": {"cpus": 2.0}})
    row = figured(crowded, samples("backward", [4e-5, 2e-5]))
    assert (row["speed"], row["backward_speed"]) == ("inconclusive", "inconclusive")


# What a person sees.

CALLS, TRAINED = {"autograd": 4e-5, "explicit": 1e-5}, {"autograd": 4e-5, "explicit": 5e-5}


def trained(**keys: Any) -> list[Record]:
    of = spec(methods=("autograd", "explicit"), **keys)
    also = {r["method"]: {f"backward_{k}": v for k, v in r.items() if k != "samples"} for r in timed(of, TRAINED)}
    keep = ("time_s", "time_low_s", "time_high_s", "speedup", "speedup_low", "speedup_high", "speed", "converged")
    rows = timed(of, CALLS, engine_s=3e-5)
    return [{**r, **{f"backward_{k}": also[r["method"]][f"backward_{k}"] for k in keep}} for r in rows]


def test_the_table_leads_with_the_training_step() -> None:
    for width in (40, 60, 80, 100, 160):
        shown = text(trained(kernel=3) + trained(kernel=5), width)
        assert "0.80×" in shown
        assert "4.00×" in shown
        assert shown.index("0.80×") < shown.index("4.00×")
        assert "slower" in shown
        assert "faster" not in shown.partition("needs attention")[0]
        assert "in a training step" in " ".join(shown.split())


def test_a_row_without_a_training_step_leads_with_nothing_beside_those_that_have_one() -> None:
    rows = trained(kernel=3)
    alone = [{k: v for k, v in r.items() if not k.startswith("backward_")} for r in trained(kernel=3)]
    without = [rows[0], alone[1]]
    assert "4.00× [" not in text(without)
    assert "4.00×" in text(without)
    assert "4.00× [3.96, 4.04]" in text(alone)


def test_counts_are_of_the_leading_verdicts() -> None:
    rows = Rows.of([*trained(kernel=3), *timed(spec(methods=("autograd", "explicit"), order=2), CALLS)])
    assert tally.speeds(rows, rows.known("status")) == {"faster": 1, "slower": 1}


def test_findings_say_what_the_engine_takes_and_what_is_lost_in_it() -> None:
    found = {f.kind: f for f in find(Rows.of(trained(kernel=3) + trained(kernel=5)))}
    assert found["engine_bound"].sentence == (
        "75% of autograd's time on cpu is autograd's engine, which every backward pays (30.0 µs of 40.0 µs, kernel 3) "
        "in both configurations"
    )
    assert "larger batch" in found["engine_bound"].remedy
    assert found["not_in_training"].sentence == (
        "faster when called, not in a training step (as the backward of an autograd.Function): both results that beat "
        "the baseline on cpu; explicit 4.00× when called and 0.80× in a step (kernel 3)"
    )
    large = [{**r, "engine_s": 1e-6} for r in trained(kernel=3)]
    assert "engine_bound" not in {f.kind for f in find(Rows.of(large))}


def test_a_runner_without_measuring_prepares_no_backward(own: ModuleType) -> None:
    events: list[int] = []
    own.method = counted(events)  # type: ignore[attr-defined]
    of = small("autograd", "own_in_training:method")
    runner.run(of, of.arms, lambda method, phase: None)
    assert set(events) == {-1}


def test_the_report_leads_with_the_training_step_and_shows_the_calls_beside_it() -> None:
    rows = Rows.of(trained(kernel=3))
    line = Figures(rows).line(("explicit",), np.flatnonzero(rows.equal("method", "explicit")))
    assert line.speedup == pytest.approx((0.8, 0.8, 0.8))
    assert line.speed == {"slower": 1}
    assert line.others["the calls' own"] == pytest.approx(4.0)
    assert others([line]) == ["the calls' own"]
    calls = Rows.of(timed(spec(methods=("autograd", "explicit")), CALLS))
    line = Figures(calls).line(("explicit",), np.flatnonzero(calls.equal("method", "explicit")))
    assert line.speedup == pytest.approx((4.0, 4.0, 4.0))
    assert others([line]) == []
