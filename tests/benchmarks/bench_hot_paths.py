"""The paths that every configuration of a sweep takes, without what is being measured. Off by default: a shared
machine is no place to fail on a time. `make microbench` prints them; `ARGS=--benchmark-autosave` keeps them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from convbench.facts.case import ConvCase
from convbench.facts.record import record
from convbench.facts.spec import Spec
from convbench.measurement import accuracy, problem, reference
from convbench.methods import explicit
from tests.settings import NOTEBOOK


@pytest.fixture
def spec() -> Spec:
    return Spec.of(NOTEBOOK)


def test_case_validation(benchmark: BenchmarkFixture) -> None:
    assert benchmark(ConvCase.of, NOTEBOOK).output_size == (25, 25)


def test_spec_and_its_keys(benchmark: BenchmarkFixture) -> None:
    def make() -> tuple[str, str]:
        spec = Spec.of(NOTEBOOK)
        return spec.config_id, spec.run_key

    assert len(set(benchmark(make))) == 2


def test_problem(benchmark: BenchmarkFixture, spec: Spec) -> None:
    assert benchmark(problem.make, spec).input.shape == (1, 4, 17, 17)


def test_reference(benchmark: BenchmarkFixture, spec: Spec) -> None:
    tiny = problem.make(spec)
    assert benchmark(reference.compute, tiny, spec.reference_limits).checked_fraction == 1


def test_judgement(benchmark: BenchmarkFixture, spec: Spec) -> None:
    tiny = problem.make(spec)
    truth = reference.compute(tiny, spec.reference_limits)
    result = explicit.prepare(tiny)()
    assert benchmark(accuracy.judge, result, tiny, truth).verdict in ("exact", "ok")


def test_whole_accuracy_part(benchmark: BenchmarkFixture, spec: Spec) -> None:
    """Problem, reference, one method, verdict: what a configuration costs under measure=none, in the child."""

    def run() -> str:
        tiny = problem.make(spec)
        truth = reference.compute(tiny, spec.reference_limits)
        return accuracy.judge(explicit.prepare(tiny)(), tiny, truth).verdict

    assert benchmark(run) in ("exact", "ok")


def test_second_order_reference(benchmark: BenchmarkFixture, spec: Spec) -> None:
    tiny = problem.make(replace(spec, order=2))
    assert benchmark(reference.compute, tiny, spec.reference_limits).checked_fraction == 1


def test_record(benchmark: BenchmarkFixture, spec: Spec) -> None:
    values: dict[str, Any] = {**spec.columns(), "method": "explicit", "status": "ok", "time_s": math.pi}
    assert benchmark(record, values)["time_s"] == math.pi
