"""The cheaper truth against the independent reference, on data that neither was made for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from convbench.measurement import further, problem, reference
from convbench.methods.formulas import EXPLICIT

from .settings import make_spec

CASES: list[dict[str, Any]] = [
    {},
    {"wrt": "weight"},
    {"wrt": "bias", "bias": True},
    {"order": 2},
    {"order": 2, "wrt": "weight"},
    {"order": 2, "wrt": "grad_output", "bias": True},
    {"op": "conv2d", "batch": 3, "in_channels": 4, "out_channels": 6, "groups": 2, "size": [9, 8], "kernel": 3},
    {"op": "conv3d", "size": 6, "kernel": 3, "stride": 2, "padding": 1, "dtype": "bfloat16"},
    {"op": "conv1d", "size": 30, "kernel": 5, "dilation": 2, "fill": "integer", "memory_format": "contiguous"},
    {"op": "conv2d", "size": 12, "kernel": 3, "memory_format": "channels_last", "dtype": "float64"},
]


@pytest.mark.parametrize("settings", CASES)
def test_it_is_what_the_reference_finds(settings: dict[str, Any]) -> None:
    spec = make_spec(**settings)
    made = problem.make(spec, seed=12345)
    found, truth = further.truth(made, EXPLICIT.wanted), reference.compute(made, spec.reference_limits)
    assert found.index is None
    assert (found.terms, found.reduction_length) == (truth.terms, truth.reduction_length)
    scale = float(truth.magnitude.amax())
    torch.testing.assert_close(found.expected, truth.expected, rtol=0, atol=1e-13 * scale)
    torch.testing.assert_close(found.magnitude, truth.magnitude, rtol=1e-12, atol=0)


def test_of_a_large_case_a_sample_is_known() -> None:
    made = problem.make(make_spec(op="conv2d", batch=8, in_channels=32, out_channels=32, size=40, kernel=3), seed=1)
    assert made.case.flops("input") > further.CHEAP
    found = further.truth(made, EXPLICIT.wanted)
    assert found.index is not None
    assert found.identity is not None


def test_a_fixed_weight_is_that_of_the_configuration() -> None:
    spec = make_spec(fixed_weight=True)
    one, other = problem.make(spec), problem.make(spec, 7)
    assert torch.equal(one.weight, other.weight)
    assert not torch.equal(one.grad_output, other.grad_output)
    assert spec.config_id != make_spec().config_id


def test_other_seeds_are_the_same_problem_with_other_values() -> None:
    spec = make_spec(bias=True)
    one, other, again = problem.make(spec), problem.make(spec, 7), problem.make(spec, 7)
    assert torch.equal(other.grad_output, again.grad_output)
    for name in ("input", "weight", "bias", "grad_output"):
        assert getattr(one, name).shape == getattr(other, name).shape
        assert not torch.equal(getattr(one, name), getattr(other, name))
