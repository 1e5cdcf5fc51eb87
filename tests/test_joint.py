"""Several gradients in one configuration: their name, their cost, and a verdict that says which one is wrong."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import convbench
from convbench import runner
from convbench.facts.limits import least_time
from convbench.facts.rates import Work
from convbench.facts.record import Record
from convbench.facts.values import IllegalCase, InvalidValue
from convbench.facts.wrt import TOGETHER
from convbench.measurement import problem, reference
from convbench.measurement.accuracy_columns import accuracy_columns, same
from convbench.measurement.joint import tensors, truth_of
from convbench.memory_columns import memory_columns
from convbench.methods import METHODS, SEVERAL, Unsupported
from convbench.methods.in_training import as_backward
from convbench.methods.own import context_of, gradients, load
from convbench.sweep.plan import planned
from convbench.timing.clocks import Arm

from . import naive
from .settings import cases, examples, make_spec

SMALL: dict[str, Any] = {
    "op": "conv2d", "batch": 2, "in_channels": 3, "out_channels": 2, "size": 5, "kernel": 3, "bias": True,
}  # fmt: skip
CEILINGS = {"ceiling_tflops": 10.0, "ceiling_gbps": 1000.0}


@pytest.mark.parametrize(
    ("written", "bias", "name"),
    [
        ("all", True, "input+weight+bias"),
        ("all", False, "input+weight"),
        (["weight", "input"], True, "input+weight"),
        (("bias", "input"), True, "input+bias"),
        ("bias+weight", True, "weight+bias"),
        (["weight"], False, "weight"),
    ],
)
def test_several_gradients_have_one_name(written: Any, bias: bool, name: str) -> None:
    spec = make_spec(**{**SMALL, "bias": bias}, wrt=written)
    assert spec.wrt == name
    assert spec.config_id == make_spec(**{**SMALL, "bias": bias}, wrt=name).config_id
    assert spec.columns()["wrt"] == name


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"wrt": ["input", "weights"]},
            r"wrt=\[input,weights\] is not known; allowed: input, weight, .*\[input,weight\]",
        ),
        ({"wrt": []}, r"wrt=\[\] is not known"),
        ({"wrt": ["input", "input"]}, "names a gradient twice"),
        ({"wrt": ["all", "input"]}, "names all beside others"),
        ({"wrt": 3}, "wrt=3 is not known"),
        ({"wrt": "input+weight", "order": 2}, "several gradients at once exist for order=1 only"),
        ({"wrt": ["input", "grad_output"], "order": 2}, "only input, weight, bias are computed together"),
        ({"wrt": "input+bias", "bias": False}, r"wrt=input\+bias needs bias=true"),
    ],
)
def test_what_is_no_set_of_gradients_is_refused_in_a_sentence(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        make_spec(**{**SMALL, **settings})


def test_a_list_is_one_configuration_and_commas_are_a_sweep() -> None:
    def wrts(*words: str) -> list[str]:
        return [spec.wrt for spec in planned(["op=conv2d", "size=8", "kernel=3", *words]).sweep]

    assert wrts("wrt=[input,weight]") == ["input+weight"]
    assert wrts("-m", "wrt=input,weight,bias", "bias=true") == ["input", "weight", "bias"]
    assert wrts("-m", "wrt=[input,weight],all,bias", "bias=true") == ["input+weight", "input+weight+bias", "bias"]
    # Without a bias, all are these two: one configuration.
    assert wrts("-m", "wrt=all,input+weight") == ["input+weight"]


@given(cases())
@examples(20)
def test_they_cost_what_their_parts_cost_together(settings: dict[str, Any]) -> None:
    spec = make_spec(**settings, wrt="all")
    case, parts = spec.case, spec.wrts
    assert case.flops(spec.wrt) == sum(case.flops(wrt) for wrt in parts)
    tensors = {
        "input": {"grad_output": case.output_shape, "weight": case.weight_shape},
        "weight": {"grad_output": case.output_shape, "input": case.input_shape},
        "bias": {"grad_output": case.output_shape},
    }
    read: dict[str, tuple[int, ...]] = {}
    for wrt in parts:
        read |= tensors[wrt]
    written = [case.shape_of(wrt) for wrt in parts]
    assert case.elements_moved(spec.wrt) == sum(map(math.prod, [*read.values(), *written]))
    joint = least_time(case, spec.wrt, "float32", CEILINGS, 0.0)
    each = [least_time(case, wrt, "float32", CEILINGS, 0.0) for wrt in parts]
    # No call that computes them all can be faster than one that computes one, nor need it be slower than all in turn.
    assert joint is not None
    assert max(filter(None, each), default=0) <= joint * (1 + 1e-12)
    assert joint <= sum(filter(None, each)) * (1 + 1e-12)
    assert Work.of(spec, CEILINGS).rates(1.0)["flops"] == case.flops(spec.wrt)


@given(cases(), st.sampled_from(SEVERAL))
@examples(12)
def test_every_method_computes_each_of_them(settings: dict[str, Any], wrt: str) -> None:
    """On small integers, which every method sums exactly, against loops over every element."""
    try:
        spec = make_spec(**settings, wrt=wrt, fill="integer")
    except IllegalCase:  # without a bias
        return
    made = problem.make(spec)
    x, w, gy = (t.double().numpy() for t in (made.input, made.weight, made.grad_output))
    expected = {
        "input": naive.grad_input(w, gy, spec.case),
        "weight": naive.grad_weight(x, gy, spec.case),
        "bias": naive.grad_bias(gy),
    }
    truth = truth_of(made, reference.computed)
    for method in METHODS:
        if method == "compile":  # takes seconds for each
            continue
        try:
            got = load(method)(made)()
        except Unsupported:
            continue
        assert isinstance(got, tuple)
        assert len(got) == len(spec.wrts)
        for one, name in zip(got, spec.wrts, strict=True):
            assert np.allclose(one.double().numpy(), expected[name], rtol=0, atol=1e-12), method
        # The transforms of fft leave less than that where nothing should be.
        assert accuracy_columns(got, made, truth)["accuracy"] in (("exact",) if method != "fft" else ("exact", "ok")), (
            method
        )


RIGHT = load("explicit")


def judged(spoil: Any, **settings: Any) -> dict[str, Any]:
    """The accuracy columns of explicit's gradients after `spoil`."""
    made = problem.make(make_spec(**SMALL, **settings))
    return accuracy_columns(spoil(RIGHT(made)()), made, truth_of(made, reference.computed))


@pytest.mark.parametrize("wrong", TOGETHER)
def test_a_verdict_names_the_gradient_that_is_wrong(wrong: str) -> None:
    def spoil(got: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(one * 1.01 if name == wrong else one for one, name in zip(got, TOGETHER, strict=True))

    row = judged(spoil, wrt="all")
    right = " and ".join(name for name in TOGETHER if name != wrong)
    assert (row["accuracy"], row["judged_wrt"]) == ("fail", wrong)
    assert row["reason"].startswith(f"wrong with respect to {wrong} ({right}: right): ")
    alone = problem.make(make_spec(**SMALL, wrt=wrong))
    single = accuracy_columns(tensors(RIGHT(alone)())[0] * 1.01, alone, reference.computed(alone))
    assert row["reason"].endswith(single["reason"])
    for column in ("bound_ratio", "max_abs_err", "rel_l2_err", "max_ulp_err", "reduction_length"):
        assert row[column] == single[column]


def test_all_that_are_wrong_are_named_and_right_ones_have_the_figures_of_the_worst() -> None:
    row = judged(lambda got: (-got[0], 2 * got[1], got[2]), wrt="all")
    assert re.match(r"wrong with respect to input and weight \(bias: right\): (input|weight): ", row["reason"])
    row = judged(lambda got: got, wrt="all")
    assert row["accuracy"] == "ok"
    assert row["reason"] is None
    assert row["judged_wrt"] in TOGETHER
    assert row.get("grad_mean") is None
    assert row["result_hash"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda got: got[0], r"returned Tensor; wrt=input\+weight wants a tuple of 2 tensors"),
        (lambda got: (*got, got[0]), r"returned 3 results; wrt=input\+weight wants a tuple of 2"),
        (lambda got: (got[1], got[0]), r"^input: the result has shape"),
        (lambda got: (got[0], None), r"^weight: the method returned NoneType"),
        (lambda got: (got[0], got[1].double()), r"^weight: the result is torch.float64"),
    ],
)
def test_what_is_no_tuple_of_gradients_is_wrong(spoil: Any, words: str) -> None:
    row = judged(spoil, wrt="input+weight")
    assert row["accuracy"] == "fail"
    assert re.search(words, row["reason"])


MODULE = """
import torch
import convbench
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input, conv2d_weight


def each(problem):  # is asked for one after the other
    gy, x, w, p = problem.grad_output, problem.input, problem.weight, problem.case.padding
    return {{
        "input": lambda: conv2d_input(x.shape, w, gy, padding=p),
        "weight": lambda: conv2d_weight(x, w.shape, gy, padding=p),
        "bias": lambda: gy.sum([0, 2, 3]),
    }}[problem.wrt]


@convbench.together
def at_once(problem):
    x, w, b = (t.detach().requires_grad_() for t in (problem.input, problem.weight, problem.bias))
    gy, p = problem.grad_output, problem.case
    def call():
        found = torch.ops.aten.convolution_backward(
            gy, x, w, [p.out_channels], p.stride, p.padding, p.dilation, False, (0, 0), 1, [True, True, True])
        return {at_once}
    return call


@convbench.plain(wrt="all")
def plain_all(grad_output, input, weight, case):
    found = (conv2d_input(input.shape, weight, grad_output), conv2d_weight(input, weight.shape, grad_output))
    return (*found, grad_output.sum([0, 2, 3])) if case.bias else found


@convbench.plain(wrt="input")
def grad_input(grad_output, input, weight, case):
    return conv2d_input(input.shape, weight, grad_output)


@convbench.plain(wrt="weight")
def grad_weight(grad_output, input, weight, case):
    return conv2d_weight(input, weight.shape, grad_output)


@convbench.plain
def any_one(grad_output, input, weight, case):
    return conv2d_input(input.shape, weight, grad_output)


made_of_two = convbench.gradients(input=grad_input, weight=grad_weight)
made_of_one = convbench.gradients(input=grad_input)
through_autograd = convbench.backward_of(lambda input, weight, bias: conv2d(input, weight, bias))
"""
numbers = itertools.count()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`name of a function, what at_once returns` → its method's name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(function: str, at_once: str = "found") -> str:
        name = f"joint_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(MODULE.format(at_once=at_once), encoding="utf-8")
        return f"{name}:{function}"

    return write


def row_of(method: str, **settings: Any) -> Record:
    """Judged in this process, as convbench.check does: with operands that it was not prepared on."""
    (one,) = convbench.check(method, **{**SMALL, **settings}).judged
    return one.row


@pytest.mark.parametrize(
    "function",
    [
        "each",
        "at_once",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("plain_all", "made_of_two", "through_autograd")),
    ],
)
def test_own_methods_compute_several_in_one_call_or_one_after_the_other(own: Any, function: str) -> None:
    row = row_of(own(function), wrt="all", threads=1)
    assert (row["status"], row["accuracy"]) == ("ok", "ok"), row.get("reason")
    if function in ("each", "made_of_two", "through_autograd"):
        assert row_of(own(function), wrt="weight")["accuracy"] == "ok"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("grad_input", r"grad_input computes one gradient \(wrt=input\); not wrt=input\+weight: a plain function that"),
        ("any_one", r"computes one gradient .*not wrt=input\+weight: .* is marked wrt='input\+weight'"),
        ("made_of_one", r"there is no method for wrt=weight, order=1; so not wrt=input\+weight either"),
        ("plain_all", r"plain_all is marked for wrt=all; not wrt=input\+weight"),
    ],
)
def test_what_covers_only_a_part_says_so(own: Any, function: str, words: str) -> None:
    row = row_of(own(function), wrt=("input", "weight"))
    assert row["status"] == "unsupported"
    assert re.search(words, row["reason"]), row["reason"]


def test_an_own_method_that_is_wrong_in_one_gradient_is_told_which_and_where(own: Any) -> None:
    wrong = own("at_once", at_once="(found[0], found[1].flip(-1), found[2])")
    row = row_of(wrong, wrt="all")
    assert (row["accuracy"], row["judged_wrt"]) == ("fail", "weight")
    assert row["reason"].startswith("wrong with respect to weight (input and bias: right): ")
    assert re.search(r"worst at \[\d, \d, \d, \d\]: got .*, expected", row["reason"])
    kept = own("at_once", at_once="(found[0], kept.setdefault('weight', found[1]), found[2])")
    path = Path(__import__(kept.partition(":")[0]).__file__)
    path.write_text(path.read_text() + "\nkept = {}\n")
    __import__("importlib").reload(__import__(kept.partition(":")[0]))
    assert row_of(kept, wrt="all")["accuracy"] == "fail"
    with pytest.raises(ValueError, match="is given no method"):
        gradients()


def test_the_memory_of_a_joint_call_is_that_of_all_its_results() -> None:
    made = problem.make(make_spec(**SMALL, wrt="all"))
    results = sum(4 * math.prod(made.case.shape_of(wrt)) for wrt in TOGETHER)
    operands = 4 * (math.prod(made.case.input_shape) + math.prod(made.case.weight_shape))
    for method in ("autograd", "aten", "explicit"):
        prepare = load(method)
        found = memory_columns(Arm(method, prepare(made), context_of(prepare)), prepare, made)
        assert found["saved_bytes"] == operands
        assert found["peak_bytes"] is not None
        assert found["peak_bytes"] >= results


def test_they_can_be_the_backward_of_one_function() -> None:
    made = problem.make(make_spec(**SMALL, wrt="all"))
    call = load("explicit")(made)
    assert same(as_backward(made, call)(), call())


def test_aten_computes_what_autograd_does_and_says_so() -> None:
    spec = make_spec(**SMALL, wrt="all", methods=["autograd", "aten", "zero_insert"])
    rows = {row["method"]: row for row in runner.run(spec, spec.arms, lambda *_: None).records}
    assert rows["aten"]["equals_baseline"] is True
    assert (rows["zero_insert"]["status"], rows["autograd"]["accuracy"]) == ("unsupported", "ok")


def test_a_list_of_cases_may_ask_for_several(tmp_path: Path) -> None:
    path = tmp_path / "layers.csv"
    path.write_text("op,size,kernel,bias,wrt\nconv2d,8,3,1,weight+bias\nconv2d,8,3,0,all\nconv2d,8,3,0,input\n")
    assert [spec.wrt for spec in planned([f"cases={path}"]).sweep] == ["weight+bias", "input+weight", "input"]
