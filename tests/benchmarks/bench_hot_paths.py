"""The paths that every configuration of a sweep takes, without what is being measured. Off by default: a shared
machine is no place to fail on a time. `make microbench` prints them; `ARGS=--benchmark-autosave` keeps them."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from convbench.facts.case import ConvCase
from convbench.facts.record import record
from convbench.facts.spec import Budget, Measure, Spec
from convbench.measurement import accuracy, problem, reference
from convbench.methods import explicit

CASE = {
    "op": "conv_transpose2d",
    "batch": 1,
    "in_channels": 4,
    "out_channels": 1,
    "size": 17,
    "kernel": 9,
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": False,
}
SETTINGS = {
    **CASE,
    "dtype": "float32",
    "device": "cpu",
    "memory_format": "contiguous",
    "wrt": "input",
    "order": 1,
    "fill": "normal",
    "seed": 0,
    "threads": 1,
    "tf32": False,
    "cudnn_benchmark": False,
    "deterministic": False,
    "onednn": True,
    "methods": ["autograd", "explicit"],
    "baseline": "autograd",
    "timeout_s": 300.0,
    **{f"measure.{key}": value for key, value in asdict(Measure()).items()},
    **{f"reference.{key}": value for key, value in asdict(Budget()).items()},
}


@pytest.fixture
def spec() -> Spec:
    return Spec.of(SETTINGS)


def test_case_validation(benchmark: BenchmarkFixture) -> None:
    assert benchmark(ConvCase.of, CASE).output_size == (25, 25)


def test_spec_and_its_keys(benchmark: BenchmarkFixture) -> None:
    def make() -> tuple[str, str]:
        spec = Spec.of(SETTINGS)
        return spec.config_id, spec.run_key

    assert len(set(benchmark(make))) == 2


def test_problem(benchmark: BenchmarkFixture, spec: Spec) -> None:
    assert benchmark(problem.make, spec).input.shape == (1, 4, 17, 17)


def test_reference(benchmark: BenchmarkFixture, spec: Spec) -> None:
    tiny = problem.make(spec)
    assert benchmark(reference.compute, tiny, spec.budget).checked_fraction == 1


def test_judgement(benchmark: BenchmarkFixture, spec: Spec) -> None:
    tiny = problem.make(spec)
    truth = reference.compute(tiny, spec.budget)
    result = explicit.prepare(tiny)()
    assert benchmark(accuracy.judge, result, tiny, truth).verdict in ("exact", "ok")


def test_whole_accuracy_part(benchmark: BenchmarkFixture, spec: Spec) -> None:
    """Problem, reference, one method, verdict: what a configuration costs under measure=none, in the child."""

    def run() -> str:
        tiny = problem.make(spec)
        truth = reference.compute(tiny, spec.budget)
        return accuracy.judge(explicit.prepare(tiny)(), tiny, truth).verdict

    assert benchmark(run) in ("exact", "ok")


def test_second_order_reference(benchmark: BenchmarkFixture, spec: Spec) -> None:
    tiny = problem.make(replace(spec, order=2))
    assert benchmark(reference.compute, tiny, spec.budget).checked_fraction == 1


def test_record(benchmark: BenchmarkFixture, spec: Spec) -> None:
    values: dict[str, Any] = {**spec.columns(), "method": "explicit", "status": "ok", "time_s": math.pi}
    assert benchmark(record, values)["time_s"] == math.pi
