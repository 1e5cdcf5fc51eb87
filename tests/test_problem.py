"""A configuration's tensors: the same everywhere, in range, and the notebook's own stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from convbench.facts.fills import FILLS, largest_integer
from convbench.facts.spec import Spec
from convbench.facts.values import IllegalCase, InvalidValue
from convbench.measurement import problem, reference
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
    assert largest_integer(length, dtype) == largest


@pytest.mark.parametrize(("op", "dims"), [("conv2d", 2), ("conv_transpose3d", 3)])
def test_channels_last(op: str, dims: int) -> None:
    made = problem.make(make_spec(op=op, size=5, kernel=3, memory_format="channels_last"))
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    for tensor in (made.input, made.grad_output):
        assert tensor.is_contiguous(memory_format=layout)
    assert torch.equal(made.input, problem.make(make_spec(op=op, size=5, kernel=3)).input)


NAMES = ("input", "weight", "grad_output")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("fill", [name for name in FILLS if name != "notebook"])
def test_every_kind_of_data_is_what_it_says(fill: str, dtype: str) -> None:
    made = problem.make(
        make_spec(op="conv2d", in_channels=40, out_channels=30, size=12, kernel=3, fill=fill, dtype=dtype)
    )
    tensors = {name: getattr(made, name).double() for name in NAMES}
    assert all(t.isfinite().all() for t in tensors.values())
    if fill in ("positive", "abs_normal", "ones"):
        assert all((t >= 0).all() for t in tensors.values())
    if fill == "ones":
        assert all((t == 1).all() for t in tensors.values())
    if fill == "positive":
        assert all(t.max() <= 1 and 0.4 < t.mean() < 0.6 for t in tensors.values())
    if fill == "relu":
        assert (tensors["input"] == 0).double().mean() == pytest.approx(0.5, abs=0.05)
        assert (tensors["weight"] < 0).any()
    if fill == "sparse":
        assert all((t == 0).double().mean() == pytest.approx(0.9, abs=0.02) for t in tensors.values())
    if fill == "scaled":
        by_channel = tensors["input"].square().mean([0, 2, 3]).sqrt()
        assert by_channel.max() / by_channel.min() > 1e4
    again = problem.make(made.spec)
    assert all(torch.equal(getattr(made, name), getattr(again, name)) for name in NAMES)


def test_sums_of_one_sign_stay_within_float16() -> None:
    given = {"op": "conv2d", "batch": 64, "size": 40, "kernel": 1, "wrt": "weight", "dtype": "float16"}
    for fill in ("positive", "abs_normal"):
        made = problem.make(make_spec(**given, fill=fill))
        truth = reference.compute(made, made.spec.reference_limits)
        assert truth.expected.max() < 65504
        assert truth.expected.min() > 1


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_tensors_of_ones_own_come_from_a_file(suffix: str, tmp_path: Path) -> None:
    plain = make_spec(op="conv2d", size=6, kernel=3, bias=True)
    shapes = {"input": (1, 4, 6, 6), "weight": (1, 4, 3, 3), "bias": (1,), "grad_output": (1, 1, 4, 4)}
    held = {name: torch.rand(shape) for name, shape in shapes.items()}
    path = tmp_path / f"held{suffix}"

    def write(tensors: dict[str, torch.Tensor]) -> Spec:
        if suffix == ".pt":
            torch.save(tensors, path)
        else:
            np.savez(path, **{name: t.numpy() for name, t in tensors.items()})
        return make_spec(op="conv2d", size=6, kernel=3, bias=True, fill=str(path))

    made = problem.make(write(held))
    for name, tensor in held.items():
        assert torch.equal(getattr(made, name), tensor)
    assert made.spec.config_id != plain.config_id
    for spoilt, words in (
        ({**held, "weight": torch.rand(1, 4, 3, 2)}, r"weight has shape \[1, 4, 3, 2\]; the configuration's has"),
        (
            {k: t for k, t in held.items() if k != "bias"},
            "has no tensor bias; it needs input, weight, bias, grad_output",
        ),
        ({**held, "input": torch.ones(1, 4, 6, 6, dtype=torch.int64)}, "input must hold finite floating-point numbers"),
        ({**held, "input": torch.full((1, 4, 6, 6), float("nan"))}, "input must hold finite floating-point numbers"),
    ):
        with pytest.raises(InvalidValue, match=words):
            problem.make(write(spoilt))
    path.write_bytes(b"nothing")
    with pytest.raises(InvalidValue, match="cannot be read"):
        problem.make(plain_with(path))
    if suffix == ".pt":
        torch.save([1], path)
        with pytest.raises(InvalidValue, match="it holds a list, not a dict of tensors"):
            problem.make(plain_with(path))


def plain_with(path: Path) -> Spec:
    return make_spec(op="conv2d", size=6, kernel=3, fill=str(path))


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        ("normal+zeros", "fill='normal\\+zeros' is not known; allowed: normal, .*several joined by"),
        ("normal+normal", "names a kind of data twice"),
        ("normal+notebook", "notebook has a loss of its own and stands alone"),
        ("", "is not known"),
    ],
)
def test_what_is_no_kind_of_data_is_refused(fill: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        make_spec(fill=fill)


def test_a_file_has_no_directions() -> None:
    with pytest.raises(IllegalCase, match="holds no directions to differentiate in; give order=1"):
        make_spec(fill="held.pt", order=2)


def test_several_kinds_of_data_are_one_configuration_that_is_timed_on_the_first() -> None:
    both, first = make_spec(fill="positive+normal"), make_spec(fill="positive")
    assert both.fills == ("positive", "normal")
    assert torch.equal(problem.make(both).input, problem.make(first).input)
    assert len({both.config_id, first.config_id, make_spec().config_id}) == 3
