"""The explicit formulas and the reference against loops over every element, and against autograd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch.utils._python_dispatch import TorchDispatchMode

from convbench.devices.cpu import Cpu
from convbench.facts.spec import Spec
from convbench.measurement import contraction, convolution, problem, reference
from convbench.measurement.problem import Problem
from convbench.methods import METHODS, Unsupported, autograd
from convbench.methods.formulas import EXPLICIT
from convbench.methods.own import context_of, load

from . import naive
from .settings import examples, make_spec, specs


def by_loops(made: Problem) -> naive.Array:
    """The wanted gradient, or the output, from the definition of the operation."""
    case = made.case
    x, w, gy = (t.double().numpy() for t in (made.input, made.weight, made.grad_output))
    if made.order == 1:
        return {
            "input": lambda: naive.grad_input(w, gy, case),
            "weight": lambda: naive.grad_weight(x, gy, case),
            "bias": lambda: naive.grad_bias(gy),
            "output": lambda: naive.forward(x, w, None if made.bias is None else made.bias.double().numpy(), case),
        }[made.wrt]()
    v = made.directions()
    vx, vw = v.input.double().numpy(), v.weight.double().numpy()
    vb = None if v.bias is None else v.bias.double().numpy()
    return {
        "input": lambda: naive.grad_input(vw, gy, case),
        "weight": lambda: naive.grad_weight(vx, gy, case),
        "grad_output": lambda: naive.forward(vx, w, vb, case) + naive.forward(x, vw, None, case),
    }[made.wrt]()


@examples(80)
@given(specs(dtype="float64"))
def test_explicit_equals_loops(spec: Spec) -> None:
    made = problem.make(spec)
    expected = by_loops(made)
    got = EXPLICIT.wanted(made)().numpy()
    assert got.shape == expected.shape == made.shape
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@examples(80)
@given(specs(dtype="float64"))
def test_explicit_equals_autograd(spec: Spec) -> None:
    made = problem.make(spec)
    torch.testing.assert_close(EXPLICIT.wanted(made)(), autograd.prepare(made)(), rtol=1e-12, atol=1e-12)


@examples(50)
@given(specs(dtype="float64"))
def test_reference_equals_loops(spec: Spec) -> None:
    made = problem.make(spec)
    truth = reference.compute(made, spec.reference_limits)
    assert truth.checked_fraction == 1
    np.testing.assert_allclose(truth.expected.numpy(), by_loops(made).reshape(-1), rtol=1e-12, atol=1e-12)


@examples(20)
@given(specs(dtype="float64"))
def test_reference_magnitude_is_the_gradient_of_absolute_values(spec: Spec) -> None:
    made = problem.make(spec)
    if made.order == 2:
        return
    bias = None if made.bias is None else made.bias.abs()
    absolute = Problem(spec, made.input.abs(), made.weight.abs(), bias, made.grad_output.abs())
    truth = reference.compute(made, spec.reference_limits)
    np.testing.assert_allclose(truth.magnitude.numpy(), by_loops(absolute).reshape(-1), rtol=1e-12, atol=1e-12)


@examples(50)
@given(specs(dtype="float64", reference__max_flops=1e4))
def test_sampled_reference_equals_the_whole_one(spec: Spec) -> None:
    made = problem.make(spec)
    truth = reference.compute(made, spec.reference_limits)
    expected = torch.from_numpy(by_loops(made).reshape(-1))
    if truth.index is not None:
        expected = expected[truth.index]
    torch.testing.assert_close(truth.expected, expected, rtol=1e-12, atol=1e-12)


class Counted(TorchDispatchMode):
    """How many of torch's operations run."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_sampled_elements_of_a_weight_s_gradient_are_not_computed_one_by_one() -> None:
    """One by one, 512 → 512 channels at batch 64 took 26 s."""
    made = problem.make(make_spec(op="conv2d", in_channels=64, out_channels=64, size=5, kernel=3, wrt="weight",
                                  reference__max_flops=1e4))  # fmt: skip
    with Counted() as counted:
        truth = reference.compute(made, made.spec.reference_limits)
    assert truth.index is not None
    assert truth.index.numel() > 4000
    assert counted.count < 1000


def test_how_much_of_a_reference_is_computed_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    made = problem.make(
        make_spec(op="conv2d", in_channels=8, out_channels=8, size=17, wrt="weight", reference__max_flops=None)
    )
    cost = contraction.flops(made.case)
    for most, sampled in ((cost, False), (cost - 1, True)):
        monkeypatch.setattr(Cpu, "work", replace(Cpu.work, reference_flops=most))
        assert (reference.computed(made).index is not None) is sampled


@examples(50)
@given(specs(dtype="float64", reference__max_flops=1e4))
def test_identity_is_the_signed_sum_of_the_exact_gradient(spec: Spec) -> None:
    made = problem.make(spec)
    identity = reference.compute(made, spec.reference_limits).identity
    if identity is None:
        return
    grouped = torch.from_numpy(by_loops(made)).reshape(identity.shape)[: identity.length]
    signed = (grouped.movedim(identity.axis, -1) @ identity.mixing).movedim(-1, identity.axis)
    torch.testing.assert_close(identity.expected, signed, rtol=1e-11, atol=1e-11)


@examples(20)
@given(specs(dtype="float64", wrt="input", order=1))
def test_first_order_gradients_satisfy_the_trilinear_identity(spec: Spec) -> None:
    """Σ y·gy = Σ x·gx = Σ w·gw without a bias: a check that needs no reference."""
    made = problem.make(spec)
    x, w, gy, case = made.input, made.weight, made.grad_output, made.case
    y = convolution.forward(x, w, None, case)
    through_output = (y * gy).sum()
    torch.testing.assert_close((x * EXPLICIT.grad_input(gy, w, case)).sum(), through_output, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close((w * EXPLICIT.grad_weight(x, gy, case)).sum(), through_output, rtol=1e-10, atol=1e-10)


@examples(20)
@given(specs(dtype="float64", order=1))
def test_every_method_equals_loops(spec: Spec) -> None:
    made = problem.make(spec)
    expected = by_loops(made)
    for name in METHODS:
        if name == "compile":
            continue
        try:
            prepare = load(name)
            call = prepare(made)
        except Unsupported:
            continue
        with context_of(prepare)():
            got = call()
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-11, atol=1e-11, err_msg=name)


@pytest.mark.parametrize(
    "settings",
    [
        # output_padding ≥ dilation: grad_weight is cropped.
        {"stride": 2, "output_padding": 1, "kernel": 4, "padding": 1},
        # output_padding ≥ stride, legal because dilation > stride: grad_input is cropped.
        {"stride": 1, "output_padding": 2, "dilation": 3, "kernel": 2},
        # A size that the stride does not divide.
        {"op": "conv2d", "stride": 3, "size": 8, "kernel": 2},
        {"op": "conv2d", "kernel": 1, "stride": 2, "size": 6},
        # Padding larger than the kernel reaches.
        {"op": "conv2d", "kernel": 2, "padding": 3, "size": 3},
        {"op": "conv2d", "in_channels": 6, "out_channels": 6, "groups": 6, "kernel": [3, 1], "size": [5, 4]},
        {"batch": 0},
    ],
)
@pytest.mark.parametrize("wrt", ["input", "weight"])
def test_the_cases_that_formulas_get_wrong(settings: dict[str, object], wrt: str) -> None:
    made = problem.make(make_spec(**{"size": 5, "kernel": 3, "dtype": "float64", **settings}, wrt=wrt))
    np.testing.assert_allclose(EXPLICIT.wanted(made)().numpy(), by_loops(made), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"])
def test_gradients_agree_with_finite_differences(op: str) -> None:
    """gradgradcheck of the forward operation whose gradients the formulas claim to be, through a custom Function."""
    spec = make_spec(op=op, size=4, kernel=2, stride=2, padding=1, in_channels=2, out_channels=2, dtype="float64")
    case = spec.case

    class Operation(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return EXPLICIT.forward(x, w, case)

        @staticmethod
        def backward(ctx, gy):
            x, w = ctx.saved_tensors
            return EXPLICIT.grad_input(gy, w, case), EXPLICIT.grad_weight(x, gy, case)

    made = problem.make(spec)
    leaves = (made.input.requires_grad_(), made.weight.requires_grad_())
    assert torch.autograd.gradcheck(Operation.apply, leaves)


def test_second_order_agrees_with_finite_differences() -> None:
    """∂⟨v, first-order gradients⟩ by central differences of the naive loops."""
    step = 1e-3
    for wrt, name in (("input", "input"), ("weight", "weight"), ("grad_output", "grad_output")):
        spec = make_spec(
            size=3, kernel=2, stride=2, in_channels=2, out_channels=2, bias=True, dtype="float64", order=2, wrt=wrt
        )
        made = problem.make(spec)
        v, case = made.directions(), made.case
        at = {n: getattr(made, n).numpy().copy() for n in ("input", "weight", "grad_output")}

        def paired(at: dict[str, naive.Array], v=v, case=case) -> float:
            gx = naive.grad_input(at["weight"], at["grad_output"], case)
            gw = naive.grad_weight(at["input"], at["grad_output"], case)
            gb = naive.grad_bias(at["grad_output"])
            sums = [(gx * v.input.numpy()).sum(), (gw * v.weight.numpy()).sum(), (gb * v.bias.numpy()).sum()]
            return float(sum(sums))

        got = EXPLICIT.wanted(made)().numpy()
        for index in np.ndindex(at[name].shape):
            kept = at[name][index]
            at[name][index] = kept + step
            above = paired(at)
            at[name][index] = kept - step
            below = paired(at)
            at[name][index] = kept
            # The pairing is linear in each operand, so that central differences are exact but for rounding.
            assert got[index] == pytest.approx((above - below) / (2 * step), abs=1e-9)
