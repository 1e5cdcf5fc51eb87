"""Where a result is wrong, and which mistake explains it: against results that were spoilt on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d

from convbench import runner
from convbench.endings import failure
from convbench.failures.explain import explained
from convbench.failures.mistakes import in_float64, mistaken, padding_off
from convbench.failures.pattern import axes_of, pattern
from convbench.measurement import problem, reference
from convbench.measurement.convolution import CONV
from convbench.measurement.problem import Problem
from convbench.measurement.reference import Reference

from .mutants import MUTANTS, NAMED, OPS, SHAPES, WRT
from .settings import make_spec

SHAPE: dict[str, Any] = {
    "op": "conv2d",
    "batch": 2,
    "in_channels": 4,
    "out_channels": 4,
    "size": [6, 7],
    "kernel": [3, 2],
    "padding": 1,
}
SQUARE = {**SHAPE, "size": 6, "kernel": 3}


def said_of(spoil: Callable[[Tensor], object], **settings: Any) -> str:
    """What is said of the right result after `spoil` has changed it in place."""
    made = problem.make(make_spec(**{**SHAPE, **settings}))
    truth = reference.compute(made, made.spec.reference_limits)
    result = in_float64(made).to(made.dtype)
    assert explained(result.clone(), made, truth) is None
    spoil(result)
    said = explained(result, made, truth)
    assert said is not None
    return said


@pytest.mark.parametrize(
    ("spoil", "settings", "expected"),
    [
        (lambda g: g[:, 2].add_(9), {}, "84 of 336 elements are wrong: all in channel 2"),
        (lambda g: g[1].zero_(), {}, "168 of 336 elements are wrong: all in image 1 (the last)"),
        (lambda g: g[..., 1::2].add_(9), {}, "144 of 336 elements are wrong: every second column, from 1 on"),
        (lambda g: g[:, :, 4:].add_(9), {}, "112 of 336 elements are wrong: all in rows 4 to 5"),
        (lambda g: (g[:, :2].add_(9), g[:, 3].add_(9)), {}, "252 of 336 elements are wrong: all in channels 0, 1, 3"),
        (lambda g: g[1, 3, 2, 5].fill_(torch.nan), {}, "1 of 336 elements are wrong: the one at [1, 3, 2, 5]"),
        (lambda g: g[0, 1, 2:4, 3:6].add_(9), {}, "6 of 336 elements are wrong: those of the block [0, 1, 2:4, 3:6]"),
        (lambda g: g.add_(9), {}, "every element is wrong"),
        (lambda g: g[..., 0].add_(9), {"wrt": "weight"}, "48 of 96 elements are wrong: all in kernel column 0"),
        (lambda g: g[3].add_(9), {"wrt": "weight"}, "24 of 96 elements are wrong: all in output channel 3 (the last)"),
        (
            lambda g: g.view(-1).index_add_(0, torch.tensor([0, 100, 300]), torch.full((3,), 9.0)),
            {},
            "3 of 336 elements are wrong, in no simple pattern",
        ),
    ],
)
def test_pattern_of_what_was_spoilt(spoil: Callable[[Tensor], object], settings: dict[str, Any], expected: str) -> None:
    said = said_of(spoil, **settings)
    assert said.split("; ")[1] == expected


def test_border_is_a_pattern() -> None:
    wrong = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    wrong[..., 1:-1, 1:-1] = False
    found = pattern(wrong.flatten(), torch.arange(50), wrong.shape, axes_of("input", False, 2))
    assert found == "32 of 50 elements are wrong: the border"
    assert axes_of("weight", True, 1) == ["input channel", "channel of its group", "kernel column"]


def test_worst_element_by_its_place() -> None:
    def spoil(result: Tensor) -> None:
        result.zero_()
        result[1, 3, 2, 5] = 1000.0

    made = problem.make(make_spec(**SHAPE))
    expected = float(in_float64(made)[1, 3, 2, 5])
    assert said_of(spoil).startswith(f"worst at [1, 3, 2, 5]: got 1000, expected {expected:.6g}; ")


def named(wrong: Tensor, made: Problem, truth: Reference) -> str:
    """The mistake that is said to explain a planted result."""
    said = explained(wrong.to(made.dtype), made, truth)
    assert said is not None
    return said.partition("it is what comes out where ")[2]


def own_name(planted: str, made: Problem) -> str:
    """What is said of a planted mistake."""
    return NAMED[planted].replace("grad_output", "input" if made.wrt == "output" else "grad_output")


def meant(planted: str, made: Problem, wrong: Tensor, every: list[tuple[str, Tensor]]) -> set[str]:
    """What may be said of it: its own name, or that of a mistake which gives the same result."""
    return {
        own_name(planted, made),
        *(said for said, other in every if torch.allclose(other, wrong, rtol=0, atol=1e-9)),
    }


@pytest.mark.parametrize(("op", "wrt"), [(op, wrt) for op in OPS for wrt in (*WRT, "output")])
def test_every_planted_mistake_is_explained_by_its_own_name(op: str, wrt: str) -> None:
    """On every shape of the planted bugs: strides, groups, dilation, uneven kernels."""
    own, shapes = 0, SHAPES if op == "conv2d" else SHAPES[1:4:2]
    for shape in shapes:
        settings = {"op": op, "wrt": wrt, "bias": wrt == "output", "dtype": "float32", "fill": "normal"}
        made = problem.make(make_spec(**{**shape, **settings}))
        truth = reference.compute(made, made.spec.reference_limits)
        every, right = list(mistaken(made)), in_float64(made)
        for planted in NAMED:
            wrong = MUTANTS[planted](made)
            if not torch.equal(wrong, right):
                said = named(wrong, made, truth)
                assert said in meant(planted, made, wrong, every), (planted, shape)
                own += said == own_name(planted, made)
    assert own >= 0.85 * len(shapes) * (len(NAMED) - (wrt != "output"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_mistakes_are_recognised_in_every_dtype(dtype: str) -> None:
    made = problem.make(make_spec(**{**SQUARE, "dtype": dtype}))
    truth = reference.compute(made, made.spec.reference_limits)
    every, right = list(mistaken(made)), in_float64(made)
    for planted in NAMED:
        wrong = MUTANTS[planted](made)
        assert torch.equal(wrong, right) or named(wrong, made, truth) in meant(planted, made, wrong, every), planted


@pytest.mark.parametrize("settings", [{}, {"op": "conv3d", "size": [4, 5, 6], "kernel": [1, 3, 2], "groups": 2}])
@pytest.mark.parametrize("wrt", ["input", "weight", "output"])
def test_more_padding_is_what_torch_computes_with_it(settings: dict[str, Any], wrt: str) -> None:
    """The result with more padding has more outputs; those beyond the right ones get no gradient."""
    made = problem.make(make_spec(**{**SHAPE, **settings, "stride": 2, "wrt": wrt}))
    case, by = made.case, [2, 1, 0][: made.case.dims]
    x, w = made.input.double().requires_grad_(), made.weight.double().requires_grad_()
    padding = [p + n for p, n in zip(case.padding, by, strict=True)]
    output = CONV[case.dims](x, w, None, case.stride, padding, case.dilation, case.groups)
    wanted = (..., *map(slice, case.output_size))
    if wrt == "output":
        expected = output[wanted]
    else:
        gy = torch.zeros_like(output)
        gy[wanted] = made.grad_output
        (expected,) = torch.autograd.grad(output, x if wrt == "input" else w, gy)
    torch.testing.assert_close(padding_off(made, by), expected, rtol=0, atol=1e-12)


def test_less_padding_of_a_transposed_convolution() -> None:
    """The gradient of an output from which two more rows are cut off at either side, read where they would be."""
    made = problem.make(make_spec(**{**SHAPE, "op": "conv_transpose2d", "wrt": "input"}))
    case = made.case
    x = made.input.double().requires_grad_()
    output = conv_transpose2d(x, made.weight.double(), None, case.stride, [0, 1])
    gy = torch.zeros_like(output)  # which has a row more at either side
    gy[:, :, : case.output_size[0]] = made.grad_output
    (expected,) = torch.autograd.grad(output, x, gy)
    torch.testing.assert_close(padding_off(made, [-1, 0]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrt", ["input", "weight", "bias"])
def test_the_previous_call_s_result_is_recognised(wrt: str) -> None:
    spec = make_spec(**{**SHAPE, "wrt": wrt, "bias": True})
    made, before = problem.make(spec), problem.make(spec, seed=17)
    truth = reference.compute(made, spec.reference_limits)
    said = explained(in_float64(before).float(), made, truth, before)
    assert said is not None
    assert said.endswith("it is what comes out where the previous call's result is returned again, " + EVER)
    said = explained(in_float64(before).float() * 2, made, truth, before)
    assert said is not None
    assert EVER not in said


EVER = "whatever the operands are"


def test_sampled_results_are_explained_by_what_was_compared() -> None:
    spec = make_spec(**{**SHAPE, "size": 40, "reference__max_flops": 1e4})
    made = problem.make(spec)
    truth = reference.compute(made, spec.reference_limits)
    assert truth.index is not None
    said = explained(in_float64(made).flip(1).float(), made, truth)
    assert said is not None
    assert f"of {truth.index.numel()} elements" in said or "every element is wrong" in said


def test_nothing_is_said_of_what_is_no_gradient() -> None:
    made = problem.make(make_spec(**SHAPE))
    truth = reference.compute(made, made.spec.reference_limits)
    assert explained(None, made, truth) is None
    assert explained(torch.zeros(3), made, truth) is None


def test_rows_say_where_and_what(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mistaken.py").write_text(
        "import torch.nn.functional as F\n"
        "def unflipped(problem):\n"
        "    w = problem.weight.transpose(0, 1)\n"
        "    return lambda: F.conv2d(problem.grad_output, w, None, 1, 1)\n"
        "def raising(problem):\n"
        "    def call():\n"
        "        raise ArithmeticError('no such tile')\n"
        "    return call\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec = make_spec(**{**SQUARE, "methods": ["autograd", "mistaken:unflipped", "mistaken:raising"]})
    rows = {row["method"]: row for row in runner.run(spec, spec.arms, lambda method, phase: None).records}
    wrong = rows["mistaken:unflipped"]
    assert wrong["accuracy"] == "fail"
    assert "times its bound; worst at [" in wrong["reason"]
    assert wrong["reason"].endswith("it is what comes out where the kernel is flipped (convolution for correlation)")
    assert rows["mistaken:raising"]["reason"] == "ArithmeticError: no such tile (mistaken.py, line 7, in call)"
    assert rows["autograd"].get("reason") is None


def test_an_error_names_the_line_of_the_user_s_code() -> None:
    """The last one outside of torch and convbench, where the error came through one."""
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2).view(3)
    line = caught.traceback[0].lineno + 1
    where = f"(test_failures.py, line {line}, in {test_an_error_names_the_line_of_the_user_s_code.__name__})"
    assert failure(caught.value)["reason"].endswith(where)
    assert failure(ValueError("never raised"))["reason"] == "ValueError: never raised"
