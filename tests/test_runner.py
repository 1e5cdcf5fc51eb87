"""From one configuration to its rows: what is run in which order, and what a failure takes with it (its own row)."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import convbench
from convbench import runner
from convbench.devices.cpu import Cpu
from convbench.devices.device import Underneath
from convbench.endings import REASON_LENGTH
from convbench.execution.measured import Measured
from convbench.facts.record import COLUMNS, Record
from convbench.facts.spec import Spec
from convbench.measurement import problem, reference
from convbench.measurement.accuracy_columns import same
from convbench.measurement.problem import Problem
from convbench.methods.formulas import EXPLICIT
from convbench.methods.own import load
from convbench.timing.clocks import Lost
from convbench.timing.cpu_clock import CpuClock
from convbench.timing.samples import Samples
from convbench.timing.speed_columns import columns

from .settings import make_spec

Event = tuple[str, str]

# The least that the timing accepts, with samples of a call or so.
TIMED: dict[str, Any] = {
    "measure__enabled": True, "measure__looks": [6], "measure__min_time_s": 0.0, "measure__max_time_s": 2.0,
    "measure__sample_s": 1e-4, "measure__warmup_s": 0.0, "measure__warmup_calls": 1, "measure__memory": False,
    "measure__kernels": False,
}  # fmt: skip


@pytest.fixture
def own() -> Iterator[ModuleType]:
    """A module of own methods, with the list `events` of what was run."""
    module = ModuleType("own_methods")
    module.events = []  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


CEILINGS = {"ceiling_tflops": 1.0, "ceiling_gbps": 10.0}
"""Measuring them takes longer than all of these tests, and they have tests of their own."""


def run(spec: Spec, methods: list[str] | None = None) -> tuple[dict[str, Record], list[Event], runner.Result]:
    """Rows by method with their figures, the stages that were announced, and the whole result."""
    stages: list[Event] = []
    result = runner.run(spec, methods or spec.arms, lambda method, phase: stages.append((method, phase)), 0, CEILINGS)
    return {row["method"]: row for row in figured(spec, result)}, stages, result


def figured(spec: Spec, result: runner.Result) -> list[Record]:
    """The rows as the process that asked for them makes them."""
    return Measured(result.records, result.samples).rows(spec)


def small(*methods: str, **settings: Any) -> Spec:
    return make_spec(**{"size": 5, "kernel": 3, "methods": list(methods), **settings})


# Devices that are not there.


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_skipped_with_the_reason() -> None:
    rows, stages, result = run(make_spec(device="cuda", methods=["autograd", "explicit"]))
    assert {row["status"] for row in rows.values()} == {"skipped"}
    assert {row["reason"] for row in rows.values()} <= {
        "no CUDA: this torch is built without CUDA",
        "no CUDA: torch finds no usable CUDA device",
    }
    assert rows["explicit"]["kernel_h"] == 9
    assert (stages, result.samples, result.environment) == ([], [], None)


# Rows of methods that cannot be judged.


def test_what_a_method_does_not_cover_is_unsupported() -> None:
    rows, _, _ = run(small("explicit", "zero_insert", "upcast"))
    for name in ("zero_insert", "upcast"):
        assert rows[name]["status"] == "unsupported"
        assert rows[name]["reason"].startswith(f"{name} covers")
        assert "accuracy" not in rows[name]
    assert rows["explicit"]["status"] == "ok"


def raising(error: BaseException, at: str) -> Any:
    def prepare(made: Problem) -> Any:
        def call() -> Any:
            raise error

        if at == "prepare":
            raise error
        return call

    return prepare


@pytest.mark.parametrize("at", ["prepare", "call"])
@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (RuntimeError("shape\n  mismatch"), "error", "RuntimeError: shape mismatch"),
        (SystemExit(4), "error", "SystemExit: 4"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "oom", None),
        (MemoryError(), "oom", "MemoryError:"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "oom", None),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "oom", None),
        (convbench.Unsupported("only on\nSundays"), "unsupported", "only on Sundays"),
    ],
)
def test_exceptions_are_a_row(own: ModuleType, error: BaseException, status: str, reason: str | None, at: str) -> None:
    own.fails = raising(error, at)  # type: ignore[attr-defined]
    rows, _, result = run(small("autograd", "own_methods:fails", "explicit"))
    row = rows["own_methods:fails"]
    assert row["status"] == status
    assert reason is None or row["reason"].startswith(reason)
    assert "(test_runner.py, line " in row["reason"] or status != "error"
    assert [r["method"] for r in result.records] == ["autograd", "own_methods:fails", "explicit"]
    assert (rows["autograd"]["accuracy"], rows["explicit"]["accuracy"]) == ("ok", "ok")


def test_a_real_allocation_that_fails_is_oom(own: ModuleType) -> None:
    own.greedy = lambda made: lambda: torch.empty(2**55)  # type: ignore[attr-defined]
    rows, _, _ = run(small("own_methods:greedy"))
    assert rows["own_methods:greedy"]["status"] == "oom"


def test_an_interrupt_is_not_swallowed(own: ModuleType) -> None:
    own.stopped = raising(KeyboardInterrupt(), "call")  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        run(small("own_methods:stopped"))


def test_long_reasons_are_cut(own: ModuleType) -> None:
    own.wordy = raising(RuntimeError("word " * 1000), "call")  # type: ignore[attr-defined]
    reason = run(small("own_methods:wordy"))[0]["own_methods:wordy"]["reason"]
    said, _, place = reason.partition("…")
    assert len(f"{said}…") == REASON_LENGTH
    assert place.endswith("in call)")


@pytest.mark.parametrize(("module", "function"), [(problem, "make"), (reference, "compute")])
def test_what_all_need_fails_for_all(monkeypatch: pytest.MonkeyPatch, module: ModuleType, function: str) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError("2 TB")

    monkeypatch.setattr(module, function, fail)
    rows, stages, _ = run(small("autograd", "explicit", **TIMED))
    assert {(row["status"], row["reason"]) for row in rows.values()} == {("oom", "MemoryError: 2 TB")}
    assert all(method == "" for method, _ in stages)


# Accuracy.


def test_a_wrong_method_is_called_once_and_not_timed(own: ModuleType) -> None:
    def wrong(made: Problem) -> Any:
        def call() -> torch.Tensor:
            own.events.append("called")
            return made.input

        return call

    own.wrong = wrong  # type: ignore[attr-defined]
    rows, stages, result = run(small("autograd", "own_methods:wrong", "explicit", **TIMED))
    assert rows["own_methods:wrong"]["accuracy"] == "fail"
    assert "bound" in rows["own_methods:wrong"]["reason"]
    assert own.events == ["called"]
    assert ("own_methods:wrong", "timing") not in stages
    assert "time_s" not in rows["own_methods:wrong"]
    assert result.samples[0].arms == ("autograd", "explicit")
    assert rows["explicit"]["time_s"] > 0
    judged = [i for i, (_, phase) in enumerate(stages) if phase == "accuracy"]
    timed = [i for i, (_, phase) in enumerate(stages) if phase == "timing"]
    assert max(judged) < min(timed)


def test_the_figures_are_those_of_the_result() -> None:
    spec = small("autograd", "explicit")
    row = run(spec)[0]["explicit"]
    made = problem.make(spec)
    got = EXPLICIT.wanted(made)().numpy()
    assert row["result_hash"] == hashlib.sha256(np.ascontiguousarray(got).tobytes()).hexdigest()[:16]
    assert row["grad_mean"] == pytest.approx(got.astype(float).mean(), rel=1e-12)
    assert row["grad_std"] == pytest.approx(got.astype(float).std(), rel=1e-12)
    assert row["reduction_length"] == 9
    assert row["checked_fraction"] == 1.0
    assert "identity_fraction" not in row
    assert "loss" not in row


@pytest.mark.parametrize(("max_flops", "covered"), [(1e6, None), (3e5, 1.0), (1e5, 1 / 3), (1e4, None)])
def test_what_was_checked_is_recorded(max_flops: float, covered: float | None) -> None:
    """The whole reference costs 691,200 operations, the identity over 4 channels a quarter: of three images or one."""
    row = run(small("explicit", size=40, batch=3, reference__max_flops=max_flops))[0]["explicit"]
    assert row["accuracy"] == "ok"
    assert (row["checked_fraction"] == 1.0) is (max_flops == 1e6)
    assert row.get("identity_fraction") == covered


def test_equal_bytes_have_equal_hashes_whatever_their_layout(own: ModuleType) -> None:
    def laid_out_differently(made: Problem) -> Any:
        return lambda: EXPLICIT.wanted(made)().contiguous(memory_format=torch.channels_last)

    own.last = laid_out_differently  # type: ignore[attr-defined]
    rows, _, _ = run(small("explicit", "own_methods:last", baseline="explicit"))
    assert rows["explicit"]["result_hash"] == rows["own_methods:last"]["result_hash"]
    assert rows["own_methods:last"]["equals_baseline"] is True


def test_results_beyond_the_limit_have_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * 5 * 5 * 4
    for limit, hashed in ((size, True), (size - 1, False)):
        monkeypatch.setattr("convbench.measurement.accuracy_columns.HASHED_BYTES", limit)
        assert ("result_hash" in run(small("explicit"))[0]["explicit"]) is hashed


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_equality_with_the_baseline_is_bitwise(own: ModuleType, dtype: str) -> None:
    """One element next to its right value, and a −0 in place of 0."""

    def almost(made: Problem) -> Any:
        def call() -> torch.Tensor:
            result = EXPLICIT.wanted(made)()
            result.view(-1)[7] = torch.nextafter(result.view(-1)[7], torch.tensor(9e9, dtype=made.dtype))
            return result

        return call

    own.almost = almost  # type: ignore[attr-defined]
    rows, _, _ = run(small("autograd", "explicit", "own_methods:almost", dtype=dtype))
    found = {name: row["equals_baseline"] for name, row in rows.items()}
    assert found == {"autograd": True, "explicit": True, "own_methods:almost": False}
    assert rows["explicit"]["result_hash"] != rows["own_methods:almost"]["result_hash"]
    zero = torch.zeros(3, dtype=getattr(torch, dtype))
    assert not same(zero, -zero)
    assert same(zero / 0, zero / 0)


@pytest.mark.parametrize(
    "returned",
    [None, torch.zeros(3, dtype=torch.int8), torch.zeros(3, dtype=torch.complex128), torch.zeros((), dtype=torch.bool)],
)
def test_a_baseline_that_returns_anything_is_its_row_alone(own: ModuleType, returned: object) -> None:
    own.odd = lambda made: lambda: returned  # type: ignore[attr-defined]
    rows, _, _ = run(small("explicit", baseline="own_methods:odd"))
    assert rows["own_methods:odd"]["accuracy"] == "fail"
    assert rows["own_methods:odd"].get("equals_baseline", False) is isinstance(returned, torch.Tensor)
    assert rows["explicit"]["accuracy"] == "ok"
    assert rows["explicit"]["equals_baseline"] is False


def test_a_result_on_another_device_fails(own: ModuleType) -> None:
    own.elsewhere = lambda made: lambda: made.input.to("meta")  # type: ignore[attr-defined]
    row = run(small("own_methods:elsewhere"))[0]["own_methods:elsewhere"]
    assert (row["status"], row["accuracy"]) == ("ok", "fail")
    assert row["reason"] == "the result is on meta; the problem is on cpu"


def test_figures_that_are_not_finite_are_unknown(own: ModuleType) -> None:
    own.infinite = lambda made: lambda: made.input / 0  # type: ignore[attr-defined]
    row = run(small("own_methods:infinite"))[0]["own_methods:infinite"]
    assert row["accuracy"] == "fail"
    assert not {"grad_mean", "grad_std"} & row.keys()


def test_without_a_baseline_nothing_is_said_of_it(own: ModuleType) -> None:
    rows, _, _ = run(small("autograd", "explicit"), ["explicit"])
    assert list(rows) == ["explicit"]
    assert "equals_baseline" not in rows["explicit"]
    own.fails = raising(RuntimeError("no"), "call")  # type: ignore[attr-defined]
    rows, _, _ = run(small("explicit", baseline="own_methods:fails"))
    assert "equals_baseline" not in rows["explicit"]


def test_repeatability_compares_two_calls(own: ModuleType) -> None:
    def alternating(made: Problem) -> Any:
        results = [EXPLICIT.wanted(made)() for _ in range(2)]
        results[1].view(-1)[3] *= 1 + 2**-20
        return lambda: results.pop(0)

    own.alternating = alternating  # type: ignore[attr-defined]
    rows, _, _ = run(small("explicit", "own_methods:alternating", deterministic="check"))
    assert rows["explicit"]["repeatable"] is True
    assert rows["own_methods:alternating"]["repeatable"] is False
    assert rows["own_methods:alternating"]["accuracy"] == "ok"
    assert "repeatable" not in run(small("explicit"))[0]["explicit"]


def test_the_notebooks_figures_are_in_its_row() -> None:
    """Printed by the notebook: cost 656.59412, mean −0.0020146435, standard deviation 0.62366945."""
    rows, _, _ = run(make_spec(fill="notebook", methods=["autograd", "explicit"]))
    for row in rows.values():
        assert row["loss"] == pytest.approx(656.59412, rel=1e-6)
        assert row["grad_mean"] == pytest.approx(-0.0020146435, rel=1e-5)
        assert row["grad_std"] == pytest.approx(0.62366945, rel=1e-6)
        assert row["equals_baseline"] is True


# What is run, where and in which order.


def test_stages_are_announced_before_anything_of_a_method_runs(own: ModuleType) -> None:
    events: list[Event] = []

    def watched(made: Problem) -> Any:
        events.append(("own_methods:watched", "prepare runs"))
        call = EXPLICIT.wanted(made)

        def watched_call() -> torch.Tensor:
            events.append(("own_methods:watched", "call runs"))
            return call()

        return watched_call

    own.watched = watched  # type: ignore[attr-defined]
    spec = small("explicit", "own_methods:watched", baseline="explicit", **{**TIMED, "measure__memory": True})
    runner.run(spec, spec.arms, lambda method, phase: events.append((method, phase)))
    assert events[:2] == [("", "problem"), ("", "reference")]
    announced = {"prepare runs": "prepare", "call runs": "accuracy"}
    seen: list[str] = []
    for i, (method, what) in enumerate(events):
        if not what.endswith("runs"):
            continue
        last = next((m, phase) for m, phase in reversed(events[:i]) if not phase.endswith("runs"))
        assert last[0] == method
        seen.append(last[1])
        assert what == "prepare runs" or last[1] in ("accuracy", "timing", "memory")
        if len(seen) <= 2:
            assert last[1] == announced[what]
    assert {"prepare", "accuracy", "timing", "memory"} == set(seen)
    phases = [phase for _, phase in events if not phase.endswith("runs")]
    assert list(dict.fromkeys(phases)) == [
        "problem",
        "reference",
        "prepare",
        "accuracy",
        "warm-up",
        "timing",
        "engine",
        "ceilings",
        "memory",
    ]


def test_measure_none_times_nothing() -> None:
    rows, stages, result = run(small("autograd", "explicit"))
    assert {phase for _, phase in stages} == {"problem", "reference", "prepare", "accuracy"}
    assert result.samples == []
    for row in rows.values():
        assert row["accuracy"] == "ok"
        assert row["prepare_s"] > 0
        assert not {"time_s", "speedup", "samples", "flops", "peak_bytes", "saved_bytes"} & row.keys()


def test_rows_are_in_the_order_that_was_asked_for() -> None:
    rows, stages, _ = run(small("unfold", "explicit", "autograd"))
    assert list(rows) == ["unfold", "explicit", "autograd"]
    judged = [method for method, phase in stages if phase == "accuracy"]
    assert judged == ["autograd", "unfold", "explicit"]


def test_switches_hold_while_methods_run_and_no_longer(own: ModuleType) -> None:
    def note(made: Problem) -> Any:
        def call() -> torch.Tensor:
            own.events.append((torch.get_num_threads(), torch.is_inference_mode_enabled()))
            return EXPLICIT.wanted(made)()

        return call

    own.note = note  # type: ignore[attr-defined]
    own.note_grad = convbench.with_autograd(lambda made: note(made))  # type: ignore[attr-defined]
    before = torch.get_num_threads()
    run(small("own_methods:note", "own_methods:note_grad", threads=before + 1))
    assert own.events == [(before + 1, True), (before + 1, False)]
    assert torch.get_num_threads() == before


def test_provenance() -> None:
    begun = datetime.now(timezone.utc)
    rows, _, result = run(small("autograd", "explicit"))
    assert result.environment is not None
    for row in rows.values():
        assert row["environment_id"] == result.environment["environment_id"]
        assert row["convbench_version"] == convbench.__version__
        assert row["config_id"] == small("autograd", "explicit").config_id
        assert abs((datetime.fromisoformat(row["started_at"]) - begun).total_seconds()) < 60
        assert 0 < row["elapsed_s"] < 60
        assert row.keys() <= COLUMNS.keys()


# Timing.


def test_speed_columns_are_those_of_the_samples() -> None:
    spec = small("autograd", "explicit", **TIMED)
    rows, _, result = run(spec)
    samples, _ = result.samples
    samples = Samples.from_dict(json.loads(json.dumps(samples.to_dict())))
    for name, row in rows.items():
        derived = columns(samples, name, "autograd", spec.measure)
        assert {key: value for key, value in derived.items() if value is not None} == {
            key: row[key] for key, value in derived.items() if value is not None
        }
        assert row["samples"] == 6
        assert row["preempted"] >= 0
        # 2·9 taps·4 channels·25 positions; input 100, weight 36 and output 49 elements of 4 bytes.
        assert row["flops"] == 1800
        assert row["bytes"] == 4 * (100 + 36 + 49)
        assert row["tflops"] == pytest.approx(1800 / row["time_s"] / 1e12)
        assert row["ceiling_share"] == pytest.approx(max(1800 / 1e12, 740 / 1e10) / row["time_s"])


def after(calls: int, error: Exception) -> Any:
    """A right method that raises from its call number `calls` on."""

    def prepare(made: Problem) -> Any:
        right, left = EXPLICIT.wanted(made), iter(range(calls - 1))

        def call() -> torch.Tensor:
            if next(left, None) is None:
                raise error
            return right()

        return call

    return prepare


@pytest.mark.parametrize("calls", [2, 3, 20])
def test_a_method_that_fails_while_it_is_timed_drops_out(own: ModuleType, calls: int) -> None:
    own.tires = after(calls, ValueError("tired"))  # type: ignore[attr-defined]
    rows, _, result = run(small("autograd", "own_methods:tires", "explicit", **TIMED))
    row = rows["own_methods:tires"]
    assert (row["status"], row["accuracy"]) == ("error", "ok")
    assert row["reason"].startswith("ValueError: tired (test_runner.py, line ")
    assert "time_s" not in row
    assert result.samples[0].arms == ("autograd", "explicit")
    assert rows["explicit"]["speedup"] > 0


def test_running_out_of_memory_while_timed_is_oom(own: ModuleType) -> None:
    own.grows = after(5, torch.OutOfMemoryError("CUDA out of memory"))  # type: ignore[attr-defined]
    rows, _, result = run(small("own_methods:grows", baseline="own_methods:grows", **TIMED))
    assert rows["own_methods:grows"]["status"] == "oom"
    assert result.samples == []
    assert "flops" not in rows["own_methods:grows"]


def test_without_its_baseline_a_method_is_timed_but_not_compared(own: ModuleType) -> None:
    own.fails = raising(RuntimeError("no"), "call")  # type: ignore[attr-defined]
    rows, _, _ = run(small("explicit", baseline="own_methods:fails", **TIMED))
    assert rows["explicit"]["time_s"] > 0
    assert "speedup" not in rows["explicit"]


@pytest.mark.parametrize(("busy_s", "accuracy"), [(1e-6, "ok"), (1.0, "fail"), (None, "ok")])
def test_work_that_the_device_alone_knows_of_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, busy_s: float | None, accuracy: str
) -> None:
    """On a stream of its own, where the host is slower than the device: nothing is left to wait for after the calls."""
    monkeypatch.setattr(Cpu, "kernels", lambda device, call: Underneath(["kernel"], busy_s))
    rows, _, result = run(small("autograd", "explicit", **{**TIMED, "measure__kernels": True}))
    for row in rows.values():
        assert (row["accuracy"], row.get("busy_s"), "time_s" in row) == (accuracy, busy_s, accuracy == "ok")
        if accuracy == "fail":
            assert row["reason"].startswith("its calls start work that torch's current stream does not wait for, at ")
    assert bool(result.samples) is (accuracy == "ok")


class CapturesNothing(CpuClock):
    """Tells as the CUDA clock does when a graph could not be captured."""

    def conditions(self) -> dict[str, Any]:
        return {**super().conditions(), "cuda_graph_error": "operation not permitted when stream is capturing"}


def test_after_a_failed_capture_the_process_is_spent(own: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not run(small("autograd", **TIMED))[2].spent
    monkeypatch.setattr(Cpu, "clock", lambda device, measure: CapturesNothing(device.name, measure))
    rows, _, result = run(small("autograd", **TIMED))
    assert result.spent
    assert rows["autograd"]["cuda_graph_error"] == "operation not permitted when stream is capturing"
    own.breaks = after(3, RuntimeError("broken allocator"))  # type: ignore[attr-defined]
    rows, _, result = run(small("own_methods:breaks", baseline="own_methods:breaks", **TIMED))
    assert (rows["own_methods:breaks"]["status"], result.samples, result.spent) == ("error", [], True)


def test_ceilings_that_are_known_are_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.devices.ceilings._product_flops", lambda *where: 3e12)
    spec = small("autograd", **TIMED)
    result = runner.run(spec, spec.arms, lambda method, phase: None, 0, {"ceiling_gbps": 10.0})
    assert result.ceilings == {"ceiling_tflops": 3.0, "ceiling_gbps": 10.0}
    assert (result.records[0]["ceiling_tflops"], result.records[0]["ceiling_gbps"]) == (3.0, 10.0)
    assert 0 < result.once_s < result.records[0]["elapsed_s"]


def test_a_time_that_no_algorithm_can_reach_is_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose ceilings are a billionth of this one's, everything is."""
    spec = small("autograd", "explicit", **TIMED)
    slow = {"ceiling_tflops": 1e-9, "ceiling_gbps": 1e-6}
    rows = figured(spec, runner.run(spec, spec.arms, lambda method, phase: None, 0, slow))
    assert [row["speed"] for row in rows] == ["impossible", "impossible"]
    assert all(row["time_s"] < row["least_s"] for row in rows)
    assert "no algorithm takes less than" in rows[1]["reason"]


# Methods that write where they must only read.


def meddling(operand: str, where: str) -> Callable[[Problem], Callable[[], Tensor]]:
    """The explicit formula, after which (or before which) an operand is halved in place."""

    def prepare(problem: Problem) -> Callable[[], Tensor]:
        right = load("explicit")(problem)
        if where == "prepare":
            getattr(problem, operand).mul_(0.5)

        def call() -> Tensor:
            result = right()
            if where == "call":
                getattr(problem, operand).mul_(0.5)
            if where == "fault":
                getattr(problem, operand).mul_(0.5)
                raise RuntimeError("after that")
            return result

        return call

    return prepare


@pytest.mark.parametrize("copied", [2**26, 0])
@pytest.mark.parametrize("operand", ["input", "weight", "grad_output"])
@pytest.mark.parametrize("where", ["prepare", "call"])
def test_a_method_that_changes_an_operand_fails_and_nobody_else_does(
    own: ModuleType, monkeypatch: pytest.MonkeyPatch, operand: str, where: str, copied: int
) -> None:
    monkeypatch.setattr("convbench.measurement.operands.COPIED_BYTES", copied)
    own.meddles = meddling(operand, where)  # type: ignore[attr-defined]
    rows, stages, _ = run(small("own_methods:meddles", "explicit", "aten", **TIMED))
    assert rows["own_methods:meddles"]["status"] == "ok"
    assert rows["own_methods:meddles"]["accuracy"] == "fail"
    said = f"changed {operand} in place; a method must not modify its operands"
    assert rows["own_methods:meddles"]["reason"] == said
    assert "max_abs_err" not in rows["own_methods:meddles"]
    assert ("own_methods:meddles", "timing") not in stages
    for method in ("autograd", "explicit", "aten"):
        assert (rows[method]["status"], rows[method]["accuracy"]) == ("ok", "ok")
        assert rows[method]["time_s"] > 0


def test_an_operand_that_is_changed_before_a_fault_is_restored_for_the_others(own: ModuleType) -> None:
    own.meddles = meddling("grad_output", "fault")  # type: ignore[attr-defined]
    rows, _, _ = run(small("own_methods:meddles", "explicit"))
    assert (rows["own_methods:meddles"]["status"], rows["explicit"]["accuracy"]) == ("error", "ok")


def test_directions_are_operands_too(own: ModuleType) -> None:
    def prepare(problem: Problem) -> Callable[[], Tensor]:
        problem.directions().input.neg_()
        return load("explicit")(problem)

    own.meddles = prepare  # type: ignore[attr-defined]
    rows, _, _ = run(small("own_methods:meddles", "explicit", order=2, wrt="weight"))
    assert "changed direction_input in place" in rows["own_methods:meddles"]["reason"]
    assert rows["explicit"]["accuracy"] == "ok"


def test_a_baseline_that_changes_its_operands_fails_alone(own: ModuleType) -> None:
    own.meddles = meddling("weight", "call")  # type: ignore[attr-defined]
    rows, _, _ = run(small("own_methods:meddles", "explicit", baseline="own_methods:meddles", **TIMED))
    assert rows["own_methods:meddles"]["accuracy"] == "fail"
    assert (rows["explicit"]["accuracy"], "speedup" in rows["explicit"]) == ("ok", False)


# Memory.


def test_memory_is_measured_after_the_timing() -> None:
    rows, stages, _ = run(small("autograd", "explicit", **{**TIMED, "measure__memory": True}))
    # Autograd keeps at least the weight that grad_input needs; a call allocates at least its result.
    assert rows["autograd"]["saved_bytes"] >= 36 * 4
    assert rows["explicit"]["peak_bytes"] >= 100 * 4
    assert [method for method, phase in stages if phase == "memory"] == ["autograd", "explicit"]
    forward, _, _ = run(small("autograd", "explicit", **{**TIMED, "measure__memory": True, "wrt": "output"}))
    assert "saved_bytes" not in forward["autograd"].keys() | forward["explicit"].keys()
    assert forward["explicit"]["peak_bytes"] > 0
    without, _, _ = run(small("autograd", "explicit", **TIMED))
    assert not {"saved_bytes", "peak_bytes"} & without["autograd"].keys()


def test_times_stand_where_memory_could_not_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> int:
        raise RuntimeError("no profiler")

    monkeypatch.setattr(Cpu, "peak_bytes", fail)
    row = run(small("explicit", baseline="explicit", **{**TIMED, "measure__memory": True}))[0]["explicit"]
    assert (row["status"], row["reason"]) == ("ok", "memory not measured: no profiler")
    assert row["time_s"] > 0
    assert not {"saved_bytes", "peak_bytes"} & row.keys()


def test_kernels_are_named_after_the_timing() -> None:
    """Each method's own: what unfold is made of is another thing than a convolution."""
    rows, stages, _ = run(small("autograd", "unfold", **{**TIMED, "measure__kernels": True}))
    assert {"col2im", "im2col"} & {word for name in rows["unfold"]["kernels"].split("; ") for word in name.split()}
    assert "convolution" in rows["autograd"]["kernels"]
    assert [method for method, phase in stages if phase == "kernels"] == ["autograd", "unfold"]
    without, _, _ = run(small("autograd", "unfold", **TIMED))
    assert "kernels" not in without["autograd"]


def test_times_stand_where_kernels_could_not_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> list[str]:
        raise RuntimeError("no profiler")

    monkeypatch.setattr(Cpu, "kernels", fail)
    row = run(small("explicit", baseline="explicit", **{**TIMED, "measure__kernels": True}))[0]["explicit"]
    assert (row["status"], row["reason"]) == ("ok", "kernels not named: no profiler")
    assert row["time_s"] > 0
    assert "kernels" not in row


class _Starting:
    """A process for an own method that takes its time to start, and then refuses; what was marked meanwhile is kept."""

    idle_cpu_s = 0.0

    def __init__(self, marks: list[Event]) -> None:
        self._marks, self.meanwhile = marks, list[Event]()

    def of(self, method: str) -> Any:
        return self

    def start(self) -> bool:
        return True

    def settle(self) -> None:
        self.meanwhile.append(self._marks[-1])

    def configure(self, spec: Spec, seed: int, result_bytes: int) -> None: ...

    def close(self) -> None: ...

    def ask(self, do: str, phase: str, within_s: float, **words: Any) -> Any:
        raise Lost(status="error", reason="it refuses")


def test_a_process_that_starts_slowly_is_not_charged_to_the_baseline() -> None:
    marks: list[Event] = []
    host = _Starting(marks)
    spec = small("explicit", "own_methods:right", baseline="explicit", **TIMED)
    stage = lambda method, phase: marks.append((method, phase))  # noqa: E731
    found = runner.run(spec, spec.arms, stage, known_ceilings=CEILINGS, hosts=host)
    assert [(row["method"], row["status"]) for row in found.records] == [
        ("explicit", "ok"),
        ("own_methods:right", "error"),
    ]
    assert host.meanwhile == [("", "other processes")]


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    untimed = {"measure__memory": True, "measure__kernels": True}
    rows, _, _ = run(small("autograd", "explicit", device="cuda", fill="integer", **{**TIMED, **untimed}))
    for row in rows.values():
        assert (row["status"], row["accuracy"]) == ("ok", "exact")
        assert row["time_s"] > 0
        assert row["peak_bytes"] >= 400
        assert row["kernels"]


def _leaves_onednn_off(problem: Problem) -> Callable[[], Tensor]:
    right = EXPLICIT.wanted(problem)
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    return right


def _patches_grad(problem: Problem) -> Callable[[], Tensor]:
    grad = torch.autograd.grad
    torch.autograd.grad = lambda *args, **kwargs: grad(*args, **kwargs)  # type: ignore[assignment]
    return EXPLICIT.wanted(problem)


def _turns_denormals_off_later(problem: Problem) -> Callable[[], Tensor]:
    right, calls = EXPLICIT.wanted(problem), iter(range(10**6))

    def call() -> Tensor:
        if next(calls) == 3:
            torch.set_flush_denormal(True)
        return right()

    return call


def _slow_at_first(problem: Problem) -> Callable[[], Tensor]:
    right, first = EXPLICIT.wanted(problem), [True]

    def call() -> Tensor:
        if first:
            first.clear()
            time.sleep(0.3)
        return right()

    return call


def test_what_a_first_call_takes_is_told_and_in_no_time(own: ModuleType) -> None:
    own._slow_at_first = _slow_at_first  # type: ignore[attr-defined]
    rows, _, _ = run(small("own_methods:_slow_at_first", "explicit", **TIMED))
    row = rows["own_methods:_slow_at_first"]
    assert row["first_call_s"] >= 0.3
    assert row["mean_s"] < 0.3 / row["samples"]
    assert rows["explicit"]["first_call_s"] > 0


def test_what_a_method_of_this_process_changes_is_said_and_put_back(own: ModuleType) -> None:
    was = torch.backends.mkldnn.enabled, torch.autograd.grad
    for made in (_leaves_onednn_off, _patches_grad, _turns_denormals_off_later):
        setattr(own, made.__name__, made)
    methods = ["own_methods:_leaves_onednn_off", "own_methods:_patches_grad", "explicit"]
    rows, _, _ = run(small(*methods))
    assert (torch.backends.mkldnn.enabled, torch.autograd.grad) == was
    left, patched, explicit = (rows[name] for name in methods)
    assert (left["accuracy"], left["reason"]) == ("ok", "its code changed onednn (True → False); it was put back")
    assert patched["accuracy"] == "fail"
    assert patched["reason"].startswith("its code changed torch.autograd.grad; a method must leave")
    assert (explicit["accuracy"], explicit.get("reason")) == ("ok", None)
    rows, _, _ = run(small("own_methods:_turns_denormals_off_later", "explicit", **TIMED))
    said = (
        "a method that was timed in this process changed flushing of denormal numbers (False → True); it was put back"
    )
    assert {row["reason"] for row in rows.values()} == {said}
    assert {row["accuracy"] for row in rows.values()} == {"ok"}
