"""A configuration's tensors: the same everywhere, in range, and the notebook's own stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from convbench.facts.spec import Spec
from convbench.measurement import problem
from convbench.measurement.notebook import Stream
from convbench.methods.formulas import EXPLICIT

from .settings import make_spec, specs


def test_notebook_figures() -> None:
    """The notebook's printed figures, from torch 0.3's random stream."""
    made = problem.make(make_spec(fill="notebook"))
    gradient = EXPLICIT.wanted(made)()
    assert made.loss == pytest.approx(656.59412, rel=1e-6)
    assert float(gradient.double().mean()) == pytest.approx(-0.0020146435, rel=1e-5)
    assert float(gradient.double().std(correction=0)) == pytest.approx(0.62366945, rel=1e-6)
    assert gradient.shape == (1, 4, 17, 17)
    y = torch.conv_transpose2d(made.input.requires_grad_(), made.weight)
    by_autograd = torch.autograd.grad(y, made.input, made.grad_output)[0]
    assert float((by_autograd - gradient).abs().max()) == 0.0


def test_notebook_stream_is_what_numpy_draws_one_number_at_a_time() -> None:
    raw = np.random.RandomState(3)

    def uniform53() -> float:
        high, low = (int(raw.randint(0, 2**32, dtype=np.uint32)) for _ in range(2))
        return ((high << 32 | low) % 2**53) * 2.0**-53

    stream = Stream(3)
    for count in (4, 3):
        drawn = []
        for _ in range((count + 1) // 2):
            u, v = uniform53(), uniform53()
            radius = np.sqrt(-2 * np.log(1 - v))
            drawn += [radius * np.cos(2 * np.pi * u), radius * np.sin(2 * np.pi * u)]
        np.testing.assert_allclose(stream.normal((count,)), drawn[:count], rtol=1e-13)
    expected = [(int(raw.randint(0, 2**32, dtype=np.uint32)) % 2**24 * 2.0**-24 * 2 - 1) / 18 for _ in range(5)]
    np.testing.assert_allclose(stream.uniform((5,), 1 / 18), expected, rtol=1e-13)


@pytest.mark.parametrize("fill", ["normal", "integer"])
def test_a_bias_changes_no_other_tensor(fill: str) -> None:
    without, with_bias = (problem.make(make_spec(fill=fill, bias=b)) for b in (False, True))
    for name in ("input", "weight", "grad_output"):
        assert torch.equal(getattr(without, name), getattr(with_bias, name))
    assert without.bias is None
    assert with_bias.bias is not None


def test_with_the_notebooks_loss_a_bias_moves_the_gradient() -> None:
    without, with_bias = (problem.make(make_spec(fill="notebook", bias=b)) for b in (False, True))
    assert torch.equal(without.weight, with_bias.weight)
    assert not torch.equal(without.grad_output, with_bias.grad_output)


def test_16_bit_data_are_the_float32_data_rounded() -> None:
    wide, narrow = (problem.make(make_spec(dtype=d)) for d in ("float32", "bfloat16"))
    assert torch.equal(wide.input.bfloat16(), narrow.input)


def test_seeds_give_different_data_and_the_same_seed_the_same() -> None:
    first, again, other = (problem.make(make_spec(seed=s)) for s in (1, 1, 2))
    assert torch.equal(first.input, again.input)
    assert not torch.equal(first.input, other.input)
    assert not torch.equal(first.input.reshape(-1)[:100], first.grad_output.reshape(-1)[:100])


@settings(max_examples=80)
@given(specs(fill="integer"))
def test_integers_are_dense_and_their_sums_exact(spec: Spec) -> None:
    made = problem.make(spec)
    k = spec.case.reduction_length(spec.wrt)
    largest = 0.0
    for tensor in (made.input, made.weight, made.grad_output):
        if tensor.numel():
            values = tensor.double()
            assert torch.equal(values, values.round())
            assert not (values == 0).any()
            largest = max(largest, float(values.abs().max()))
    assert largest <= 3
    assert largest**2 * k <= (65504 if spec.dtype == "float16" else 2**24)


@pytest.mark.parametrize(
    ("length", "dtype", "largest"),
    [(100, "float32", 3), (2**24 // 9 + 1, "float32", 2), (2**24, "float32", 1), (2**25, "float32", 1)]
    + [(65504 // 9, "float16", 3), (65504 // 9 + 1, "float16", 2), (65504, "float16", 1), (70000, "float16", 1)],
)
def test_largest_integer(length: int, dtype: str, largest: int) -> None:
    assert problem.largest_integer(length, dtype) == largest


@pytest.mark.parametrize(("op", "dims"), [("conv2d", 2), ("conv_transpose3d", 3)])
def test_channels_last(op: str, dims: int) -> None:
    made = problem.make(make_spec(op=op, size=5, kernel=3, memory_format="channels_last"))
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    for tensor in (made.input, made.grad_output):
        assert tensor.is_contiguous(memory_format=layout)
    assert torch.equal(made.input, problem.make(make_spec(op=op, size=5, kernel=3)).input)
