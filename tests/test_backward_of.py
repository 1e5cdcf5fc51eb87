"""`backward_of`: what a forward of one's own may look like, and that its forward pass is not in the time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input, conv2d_weight

import convbench
from convbench.execution.method_server import MethodServer
from convbench.measurement import problem, reference
from convbench.measurement.accuracy import judge
from convbench.methods import Unsupported
from convbench.methods.own import context_of, load

from .settings import make_spec

STRIDED: dict[str, Any] = {
    "op": "conv2d",
    "batch": 2,
    "in_channels": 4,
    "out_channels": 6,
    "size": [6, 5],
    "kernel": [3, 2],
    "stride": [2, 1],
    "padding": [1, 0],
    "groups": 2,
    "bias": True,
}


class Whole(torch.autograd.Function):
    """conv2d with all of its parameters, by torch's own gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, b: Tensor, stride: Any, padding: Any, dilation: Any, groups: Any
    ) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.geometry = stride, padding, dilation, groups
        return F.conv2d(x, w, b, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (x, w), (gy,) = ctx.saved_tensors, gradients
        return (
            conv2d_input(x.shape, w, gy, *ctx.geometry) if ctx.needs_input_grad[0] else None,
            conv2d_weight(x, w.shape, gy, *ctx.geometry) if ctx.needs_input_grad[1] else None,
            gy.sum([0, 2, 3]),
            *[None] * 4,
        )


class Apart(torch.autograd.Function):
    """A forward without a context and a set-up beside it; stride 1 and no bias."""

    @staticmethod
    def forward(input: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(input, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, w = ctx.saved_tensors
        return conv2d_input(x.shape, w, gradients[0]), conv2d_weight(x, w.shape, gradients[0])


def with_case(input: Tensor, weight: Tensor, bias: Tensor | None, case: convbench.Case, flag: bool = False) -> Tensor:
    assert not flag
    return F.conv2d(input, weight, bias, case.stride, case.padding, case.dilation, case.groups)


def named(weight: Tensor, input: Tensor, scale: float = 1.0, *, stride: Any) -> Tensor:
    return F.conv2d(input, weight, None, stride) * scale


class Blurred(nn.Module):
    """A convolution somewhere inside a module."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.inner = nn.ModuleList([nn.Conv2d(in_channels, out_channels, kernel_size, stride, bias=False)])

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner[0](x)
        return found


PLAIN = {"op": "conv2d", "in_channels": 3, "out_channels": 2, "size": 6, "kernel": 3}


@pytest.mark.parametrize(
    ("target", "settings", "wrts"),
    [
        (Whole, STRIDED, ("input", "weight", "bias")),
        (with_case, STRIDED, ("input", "weight", "bias")),
        (nn.Conv2d, STRIDED, ("input", "weight", "bias")),
        (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), groups=2), STRIDED, ("input", "weight", "bias")),
        (nn.ConvTranspose2d, {**STRIDED, "op": "conv_transpose2d", "output_padding": [1, 0]}, ("input", "weight")),
        (Apart, PLAIN, ("input", "weight")),
        (named, {**PLAIN, "stride": 2}, ("input", "weight")),
        (Blurred, {**PLAIN, "stride": 2, "dtype": "float64"}, ("input", "weight")),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_its_gradients_are_right(target: Any, settings: dict[str, Any], wrts: tuple[str, ...]) -> None:
    prepare = convbench.backward_of(target)
    for wrt in wrts:
        spec = make_spec(**{**settings, "wrt": wrt})
        made = problem.make(spec)
        with context_of(prepare)():
            got = prepare(made)()
        assert judge(got, made, reference.compute(made, spec.reference_limits)).verdict == "ok", wrt


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (Apart, {**PLAIN, "stride": [2, 1]}, r"Apart has no parameter stride; it does not cover stride=\[2, 1\]"),
        (Apart, {**PLAIN, "bias": True}, "Apart has no parameter bias; it does not cover bias=true"),
        (Blurred, {**PLAIN, "groups": 1, "padding": 1}, "Blurred has no parameter padding"),
        (nn.Conv2d(3, 2, 5), PLAIN, r"Conv2d has the shape \[2, 3, 5, 5\]; the case's has \[2, 3, 3, 3\]"),
        (nn.Conv2d(3, 2, 3), PLAIN, "Conv2d has a bias; not bias=false"),
        (nn.Conv2d(3, 2, 3, bias=False), {**PLAIN, "bias": True}, "Conv2d has no bias; not bias=true"),
        (Whole, {**PLAIN, "order": 2}, "the backward pass of Whole covers order=1"),
        (Whole, {**PLAIN, "op": "conv3d"}, "Whole is marked for op=conv2d; not op=conv3d"),
        (Whole, {**PLAIN, "wrt": "bias", "bias": True}, "Whole is marked for wrt=input,weight; not wrt=bias"),
    ],
)  # fmt: skip
def test_what_it_does_not_cover_is_unsupported(target: Any, settings: dict[str, Any], message: str) -> None:
    prepare = convbench.backward_of(target, op="conv2d", wrt=["input", "weight"])
    with pytest.raises(Unsupported, match=message):
        prepare(problem.make(make_spec(**settings)))


def test_mistakes_are_named_where_it_is_defined() -> None:
    def unknown(input: Tensor, kernel: Tensor) -> Tensor:
        return input

    with pytest.raises(ValueError, match=r"unknown has a parameter kernel, .* write a function of \(input, weight"):
        convbench.backward_of(unknown)
    with pytest.raises(ValueError, match=r"3 is no autograd\.Function, nn.Module or function"):
        convbench.backward_of(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="op='conv' is not an operation; allowed: conv1d"):
        convbench.backward_of(Whole, op="conv")
    with pytest.raises(ValueError, match="wrt='x' is not a gradient; allowed: input"):
        convbench.backward_of(Whole, wrt=["input", "x"])
    two = convbench.backward_of(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)))
    with pytest.raises(ValueError, match="Sequential has 2 parameters named weight"):
        two(problem.make(make_spec(**PLAIN)))
    short = convbench.backward_of(lambda input, weight: input)
    with pytest.raises(ValueError, match=r"the forward pass returned \[1, 3, 6, 6\]; the output has \[1, 2, 4, 4\]"):
        short(problem.make(make_spec(**PLAIN)))


COUNTED = """
import torch, torch.nn.functional as F, convbench
calls = []
class Counted(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, weight):
        calls.append("forward")
        ctx.save_for_backward(weight.clone())
        return F.conv2d(input, weight)
    @staticmethod
    def backward(ctx, gy):
        calls.append("backward")
        return F.conv_transpose2d(gy, ctx.saved_tensors[0]), None
gradient = convbench.backward_of(Counted)
"""


def test_samples_call_the_backward_alone(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by the forward and the backward themselves; the forward follows the operands between samples."""
    (tmp_path / "counting.py").write_text(COUNTED)
    monkeypatch.syspath_prepend(tmp_path)
    side = MethodServer()
    spec = make_spec(**PLAIN, measure__enabled=True, measure__warmup_s=0.0)
    side.configure(spec.to_dict(), seed=5)
    assert side.prepare("counting:gradient")["forward"] is True
    calls = __import__("counting").calls
    assert calls == ["forward"]
    side.ready()
    calls.clear()
    side.sample(7)
    assert calls == ["backward"] * 7
    side.draw(6)
    side.forward()
    side.draw(6, grad_output=9)
    side.sample(1, anew=True, warm=True)
    assert calls == ["backward"] * 7 + ["forward", "backward", "backward"]
    expected = problem.make(spec, 6, 9)
    got = side._prepared()[0].call()
    assert judge(got, expected, reference.compute(expected, spec.reference_limits)).verdict == "ok"
    assert torch.equal(expected.weight, problem.make(spec, 6).weight)
    assert torch.equal(expected.grad_output, problem.make(spec, 9).grad_output)
    assert "in other memory" in side.ready(cuda_graph=True)["cuda_graph_error"]
    side.close()


def test_plain_covers_the_operations_it_names(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plainly.py").write_text(
        "import convbench\n@convbench.plain(op=['conv1d', 'conv2d'], wrt='input')\n"
        "def gradient(grad_output, input, weight, case): return grad_output\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    prepare = load("plainly:gradient")
    assert callable(prepare(problem.make(make_spec(**PLAIN))))
    with pytest.raises(Unsupported, match="gradient is marked for op=conv1d,conv2d; not op=conv3d"):
        prepare(problem.make(make_spec(**{**PLAIN, "op": "conv3d"})))
    with pytest.raises(ValueError, match="op='conv4d' is not an operation"):
        convbench.plain(op="conv4d")
