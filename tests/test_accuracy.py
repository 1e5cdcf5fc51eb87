"""Are the verdicts right? Wrong gradients must fail, right algorithms must not, whatever the data and the dtype."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from torch import Tensor

from convbench.facts.dtypes import DTYPES
from convbench.facts.spec import ReferenceLimits, Spec, Switches
from convbench.measurement import accuracy, contraction, problem, reference
from convbench.measurement.accuracy import Judgement
from convbench.measurement.problem import Problem
from convbench.measurement.reference import Reference
from convbench.measurement.switches import switched
from convbench.methods import METHODS, Unsupported
from convbench.methods.own import context_of, load

from .detection import overlooked
from .mutants import MUTANTS, WRT, mutants, mutated_specs, winograd
from .settings import examples, make_spec, specs
from .survival import survived

PRECISIONS = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def truth_of(made: Problem) -> Reference:
    return reference.compute(made, made.spec.reference_limits)


def verdict_of(result: Tensor, made: Problem, truth: Reference | None = None) -> Judgement:
    return accuracy.judge(result, made, truth or truth_of(made))


def judged_mutants(dtype: str, fill: str, wrts: Sequence[str] = WRT) -> list[tuple[str, Problem, Judgement]]:
    judged = []
    made_before, truth = None, None
    for name, made, wrong in mutants(dtype, fill, wrts):
        if made is not made_before:
            made_before, truth = made, truth_of(made)
        judged.append((name, made, verdict_of(wrong, made, truth)))
    return judged


@pytest.mark.parametrize("dtype", DTYPES)
def test_on_integers_every_planted_bug_fails(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    judged = judged_mutants(dtype, "integer")
    assert len(judged) >= 225
    assert {name for name, _, _ in judged} == set(MUTANTS) - {"bias_missing"}
    with capsys.disabled():
        print(f"\n{dtype} integer: {len(judged)} bugs, {dict(Counter(j.verdict for _, _, j in judged))}")
    assert [(name, str(made.case), j) for name, made, j in judged if j.verdict != "fail"] == []


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_planted_bug_of_an_output_fails(dtype: str) -> None:
    judged = judged_mutants(dtype, "integer", ["output"])
    assert {name for name, _, _ in judged} == set(MUTANTS)
    assert [(name, str(made.case), j) for name, made, j in judged if j.verdict != "fail"] == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_on_normal_data_only_what_16_bits_hide_passes(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A miss is one element, in a 16-bit dtype, that is off by less than rounding the sums on the way may cost.

    None passes for `ok` here; those that pass for `reduced` are listed.
    """
    judged = judged_mutants(dtype, "normal")
    assert len(judged) >= 225
    missed = [(name, made, j) for name, made, j in judged if j.verdict != "fail"]
    with capsys.disabled():
        print(f"\n{dtype} normal: {len(judged)} bugs, {dict(Counter(j.verdict for _, _, j in judged))}")
        for name, made, j in missed:
            print(f"  {j.verdict}: {name}, {made.case}, wrt={made.wrt}: off by {j.max_abs_err:.2g} in one element")
    assert len(missed) <= (3 if dtype in ("float16", "bfloat16") else 0)
    for name, made, j in missed:
        assert name.startswith("pixel_")
        assert j.verdict == "reduced"
        longest = made.case.reduction_length(made.wrt)
        assert j.max_abs_err is not None
        assert j.max_abs_err <= PRECISIONS[dtype] * (1 + 2 * math.sqrt(made.case.taps)) * longest


def right_results(made: Problem) -> dict[str, Tensor]:
    """The gradient by every right algorithm that covers the problem."""
    results = {}
    for name in METHODS:
        if name == "compile":
            continue
        try:
            prepare = load(name)
            call = prepare(made)
        except Unsupported:
            continue
        with context_of(prepare)():
            results[name] = call()
    with switched(Switches(onednn=False)), torch.inference_mode():
        results["explicit, oneDNN off"] = load("explicit")(made)()
    return results


def test_no_right_method_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """Over every dtype, layout, gradient, order and kind of data."""
    counts: Counter[tuple[str, str, str]] = Counter()

    @examples(80)
    @given(specs())
    def check(spec: Spec) -> None:
        made = problem.make(spec)
        truth = truth_of(made)
        with survived(spec):
            results = right_results(made)
        verdicts = {name: verdict_of(result, made, truth) for name, result in results.items()}
        assert {name: j for name, j in verdicts.items() if j.verdict == "fail"} == {}
        direct = ("autograd", "explicit", "aten", "unfold", "upcast", "zero_insert")
        if spec.fill == "integer" and spec.order == 1:
            assert {verdicts[name].verdict for name in direct if name in verdicts} == {"exact"}
        counts.update((spec.dtype, spec.fill, j.verdict) for j in verdicts.values())

    check()
    with capsys.disabled():
        for dtype in DTYPES:
            for fill in ("integer", "normal"):
                found = {verdict: n for (d, f, verdict), n in sorted(counts.items()) if (d, f) == (dtype, fill)}
                print(f"\n{dtype} {fill}: {sum(found.values())} right results, {found}", end="")
        print()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fill", ["normal", "integer"])
def test_winograd_is_right(dtype: str, fill: str) -> None:
    judged = 0
    for spec in mutated_specs(dtype, fill):
        made = problem.make(spec)
        result = winograd(made)
        if result is not None:
            judged += 1
            assert verdict_of(result, made).verdict in ("ok", "exact", "reduced")
    larger = problem.make(
        make_spec(op="conv2d", in_channels=64, out_channels=64, size=14, kernel=3, padding=1, fill=fill)
    )
    result = winograd(larger)
    assert result is not None
    assert verdict_of(result, larger).verdict in ("ok", "exact")
    assert judged >= 2


def through_tf32(made: Problem) -> Tensor:
    """Inputs cut to TF32's 11 bits, summed in float32: what a GPU's tensor cores do."""

    def cut(tensor: Tensor) -> Tensor:
        bits = tensor.contiguous().view(torch.int32)
        return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)

    cut_down = Problem(made.spec, cut(made.input), cut(made.weight), None, cut(made.grad_output))
    return load("explicit")(cut_down)()


def test_tf32_is_reduced_on_normal_data_and_invisible_on_integers() -> None:
    for fill, expected in (("normal", "reduced"), ("integer", "exact")):
        made = problem.make(make_spec(op="conv2d", in_channels=32, out_channels=32, size=9, kernel=3, fill=fill))
        assert verdict_of(through_tf32(made), made).verdict == expected


def rounded_on_the_way(made: Problem) -> Tensor:
    """One addition in the dtype for each tap (wrt=input) or each of the batch (wrt=weight)."""
    x, w, gy = made.input.double(), made.weight.double(), made.grad_output.double()
    total = torch.zeros(made.shape, dtype=made.dtype)
    if made.wrt == "weight":
        for n in range(made.case.batch):
            case = replace(made.case, batch=1)
            one = Problem(replace(made.spec, case=case), x[n : n + 1], w, None, gy[n : n + 1])
            total += load("explicit")(one)().to(made.dtype)
        return total
    for tap in itertools.product(*map(range, made.case.kernel)):
        alone = torch.zeros_like(w)
        alone[(..., *tap)] = w[(..., *tap)]
        total += load("explicit")(Problem(made.spec, x, alone, None, gy))().to(made.dtype)
    return total


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_rounded_on_the_way_are_reduced(dtype: str) -> None:
    made = problem.make(make_spec(op="conv2d", in_channels=16, out_channels=16, size=9, kernel=3, dtype=dtype))
    assert verdict_of(rounded_on_the_way(made), made).verdict == "reduced"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda g: g.index_fill(-1, torch.tensor([0]), math.nan), "NaN or infinity"),
        (lambda g: g.index_fill(-1, torch.tensor([0]), math.inf), "NaN or infinity"),
        (torch.zeros_like, "all zeros"),
        (lambda g: g[..., :-1], "shape"),
        (lambda g: g.double(), "float64"),
        (lambda g: g.to("meta"), "meta"),
        (lambda g: None, "NoneType"),
        (lambda g: [g], "list"),
    ],
)
def test_what_is_no_gradient_at_all_fails_with_its_reason(spoil, words: str) -> None:
    made = problem.make(make_spec())
    judged = verdict_of(spoil(load("explicit")(made)()), made)
    assert judged.verdict == "fail"
    assert words in str(judged.reason)


def test_a_value_where_the_gradient_is_exactly_zero_fails() -> None:
    made = problem.make(make_spec(op="conv2d", kernel=1, stride=2, size=6))
    result = load("explicit")(made)()
    result[0, 0, 1, 1] = 1e-3
    judged = verdict_of(result, made)
    assert judged.verdict == "fail"
    assert "zero where the exact result is zero" in str(judged.reason)


def test_figures_are_what_they_say() -> None:
    """Errors and ulps against numpy's own spacing, with one element moved by three units in the last place."""
    made = problem.make(make_spec(fill="integer"))
    truth = truth_of(made)
    result = truth.expected.float().reshape(made.shape)
    at = int(truth.expected.abs().argmax())
    step = torch.nextafter(result.view(-1)[at].abs(), torch.tensor(math.inf)) - result.view(-1)[at].abs()
    result.view(-1)[at] += 3 * step
    judged = verdict_of(result, made, truth)
    assert judged.max_abs_err == pytest.approx(float(3 * step))
    assert judged.max_ulp_err == 3
    assert judged.rel_l2_err == pytest.approx(float(3 * step) / float(truth.expected.norm()))
    k = made.case.reduction_length("input")
    allowed = 2**-24 * abs(float(truth.expected[at])) + 4 * 2**-24 * math.sqrt(k) * float(truth.magnitude[at])
    assert judged.bound_ratio == pytest.approx(float(3 * step) / allowed)
    assert judged.verdict == "ok"


def test_an_empty_gradient_is_right() -> None:
    for fill, verdict in (("normal", "ok"), ("integer", "exact")):
        made = problem.make(make_spec(batch=0, fill=fill))
        assert verdict_of(torch.zeros(made.shape), made).verdict == verdict


# Beyond the budget: a sample and the trilinear identity.
LARGE = {"op": "conv2d", "batch": 4, "in_channels": 16, "out_channels": 16, "size": 24, "kernel": 3, "padding": 1}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("fill", ["normal", "integer"])
@pytest.mark.parametrize("wrt", ["input", "weight"])
@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_right_methods_pass_the_identity(dtype: str, fill: str, wrt: str, op: str) -> None:
    settings = {**LARGE, "op": op, "dtype": dtype, "fill": fill, "wrt": wrt, "reference__max_flops": 1e7}
    made = problem.make(make_spec(**settings))
    truth = truth_of(made)
    assert truth.checked_fraction < 1
    assert truth.identity is not None
    for name, result in right_results(made).items():
        assert verdict_of(result, made, truth).verdict != "fail", name


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("wrt", "channels"), [("input", 3), ("input", 64), ("weight", 16)])
def test_one_wrong_element_is_found_as_often_as_stated(wrt: str, channels: int, dtype: str) -> None:
    """One element replaced by its neighbour, at random places, none of them in the sample."""
    made = problem.make(make_spec(**{**LARGE, "in_channels": channels, "dtype": dtype, "wrt": wrt}))
    truth = reference.compute(made, ReferenceLimits(max_flops=0.9 * contraction.flops(made.case)))
    assert truth.index is not None
    assert truth.identity is not None
    right = load("upcast" if dtype == "float16" else "explicit")(made)().contiguous()
    assert verdict_of(right, made, truth).verdict == "ok"
    sampled = set(truth.index.tolist())
    generator = torch.Generator().manual_seed(0)
    verdicts: Counter[str] = Counter()
    trials = 150
    while verdicts.total() < trials:
        at = int(torch.randint(right.numel(), (1,), generator=generator))
        if at in sampled or right.view(-1)[at] == right.view(-1)[at - 1]:
            continue
        wrong = right.clone()
        wrong.view(-1)[at] = right.view(-1)[at - 1]
        judged = verdict_of(wrong, made, truth)
        verdicts[judged.verdict] += 1
        if judged.verdict == "fail":
            assert str(judged.reason).startswith("elements outside the sample are wrong")
            assert judged.bound_ratio is not None
            assert judged.bound_ratio > 1
    passed = (verdicts["ok"], verdicts["ok"] + verdicts["reduced"])
    summed = int(truth.identity.mixing.abs().sum(0).max())
    assert summed < channels or channels < 4
    for count, stated in zip(passed, overlooked(dtype, summed), strict=True):
        # Four standard deviations of a binomial count, and one for the gradients' own scatter.
        assert abs(count - trials * stated) <= 1 + 4 * math.sqrt(trials * stated * (1 - stated)) + 1


def test_the_stated_probabilities_are_in_the_documentation() -> None:
    text = (Path(__file__).parent.parent / "docs" / "accuracy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (float32|float16|bfloat16) \| \S+ \| (\d+) \| (\S+)%, (\S+)% \|", text, flags=re.MULTILINE)
    assert len(rows) == 9
    for dtype, channels, *said in rows:
        assert [float(one) for one in said] == pytest.approx(
            [100 * p for p in overlooked(dtype, int(channels))], abs=0.06
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_wrong_integer_is_never_exact(dtype: str) -> None:
    """Sums of integers are exact: an identity that is off by anything at all is seen."""
    made = problem.make(make_spec(**LARGE, dtype=dtype, fill="integer", reference__max_flops=1e7))
    truth = truth_of(made)
    right = load("explicit")(made)().contiguous()
    assert verdict_of(right, made, truth).verdict == "exact"
    assert truth.index is not None
    at = next(i for i in range(right.numel()) if i not in set(truth.index.tolist()))
    right.view(-1)[at] += 1
    assert verdict_of(right, made, truth).verdict != "exact"


SAMPLED: list[dict[str, object]] = [
    {**LARGE, "size": 12},
    {**LARGE, "size": 12, "in_channels": 1, "kernel": 1, "padding": 0},
    {**LARGE, "size": [18, 21], "kernel": [7, 5], "stride": [3, 2], "groups": 4},
    {**LARGE, "size": 9, "op": "conv_transpose2d", "stride": 2, "padding": 0, "output_padding": 1, "kernel": 4},
]


@pytest.mark.parametrize("settings", SAMPLED)
@pytest.mark.parametrize("wrt", ["input", "weight"])
@pytest.mark.parametrize("fill", ["normal", "integer"])
def test_reduced_precision_passes_the_identity_as_well(settings: dict[str, object], wrt: str, fill: str) -> None:
    """TF32 and sums rounded between taps: `reduced` at worst, however few channels or positions there are."""
    for dtype in ("float32", "bfloat16", "float16"):
        made = problem.make(make_spec(**settings, wrt=wrt, fill=fill, dtype=dtype, reference__max_flops=1e4))
        cost = contraction.flops(made.case)
        truth = reference.compute(made, ReferenceLimits(max_flops=0.9 * cost))
        assert truth.identity is not None
        coarse = through_tf32(made) if dtype == "float32" else rounded_on_the_way(made)
        assert verdict_of(coarse, made, truth).verdict in ("exact", "ok", "reduced")


def test_the_budget_is_kept() -> None:
    """Operations of the whole reference above the budget: a sample; below: everything."""
    for flops, whole in ((1e10, True), (1e6, False)):
        made = problem.make(make_spec(**LARGE, reference__max_flops=flops))
        assert (truth_of(made).checked_fraction == 1) is whole
    small_memory = problem.make(make_spec(**LARGE, reference__max_bytes=1e5))
    assert truth_of(small_memory).checked_fraction < 1
