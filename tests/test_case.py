"""One convolution's facts: what is legal, which sizes come out and what it costs; judged by torch and by counting."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings

from convbench.facts.case import OPS, PER_AXIS, ConvCase
from convbench.facts.record import COLUMNS
from convbench.facts.values import IllegalCase, InvalidValue
from convbench.measurement.convolution import forward

from . import naive
from .settings import NOTEBOOK, cases


def case_of(**settings: Any) -> ConvCase:
    return ConvCase.of({**NOTEBOOK, **settings})


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        ({"op": "conv4d"}, "op", "op='conv4d' is not known; allowed: conv1d, conv2d, conv3d, conv_transpose1d"),
        ({"bias": 1}, "bias", "bias=1 is neither true nor false"),
        ({"bias": "yes"}, "bias", "bias='yes' is neither"),
        ({"batch": -1}, "batch", "batch=-1 is out of range; give an integer from 0"),
        ({"batch": 2**31}, "batch", "to 2147483647"),
        ({"batch": 1.0}, "batch", "batch=1.0 is not a whole number; give an integer ≥ 0"),
        ({"batch": True}, "batch", "batch=True is not a whole number"),
        ({"batch": None}, "batch", "batch=None is not a whole number"),
        ({"in_channels": 0}, "in_channels", "from 1"),
        ({"out_channels": 0}, "out_channels", "from 1"),
        ({"groups": 0}, "groups", "from 1"),
        ({"groups": [1]}, "groups", "not a whole number"),
        ({"size": 0}, "size", "size=0 is out of range"),
        ({"size": [5, 0]}, "size", "size=0 is out of range"),
        ({"size": "55"}, "size", "size='55' is not a whole number"),
        ({"kernel": 0}, "kernel", "kernel=0"),
        ({"kernel": [3, "3"]}, "kernel", "kernel='3' is not a whole number"),
        ({"stride": 0}, "stride", "from 1"),
        ({"dilation": 0}, "dilation", "from 1"),
        ({"padding": -1}, "padding", "from 0"),
        ({"output_padding": -1}, "output_padding", "from 0"),
    ],
)
def test_a_value_that_is_never_allowed_is_named(settings: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words) as raised:
        case_of(**settings)
    assert raised.value.key == key
    assert not isinstance(raised.value, IllegalCase)


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        ({"size": [5]}, "size", r"size=\[5\] has 1 values for 2 axes; give one integer or 2 of them"),
        ({"size": [5, 5, 5]}, "size", "3 values for 2 axes"),
        ({"groups": 3}, "groups", "groups=3 must divide in_channels=4"),
        ({"groups": 2}, "groups", "groups=2 must divide out_channels=1"),
        (
            {"stride": 2, "dilation": 3, "output_padding": [2, 3]},
            "output_padding",
            r"output_padding=3 \(axis w\) must be smaller than stride=2 or dilation=3",
        ),
        ({"padding": [0, 13]}, "padding", r"padding=\[0, 13\] leaves no output: axis w of size 17 would have .* -1"),
        ({"op": "conv2d", "output_padding": 1}, "output_padding", "must be 0 for conv2d, which has none"),
        (
            {"op": "conv2d", "size": [9, 4], "kernel": 3, "dilation": 4, "padding": [0, 2]},
            "kernel",
            r"kernel=3 with dilation=4 spans 9 and does not fit into size=4 with padding=2 \(axis w\), which is 8",
        ),
        ({"size": 2**21}, "size", r"gives a tensor of 1.8e\+13 elements; at most 2\^40"),
    ],
)
def test_a_combination_that_is_no_convolution_is_named(settings: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(IllegalCase, match=words) as raised:
        case_of(**settings)
    assert raised.value.key == key


@settings(max_examples=150)
@given(cases())
def test_shapes_are_torchs(values: dict[str, Any]) -> None:
    """On torch's meta device, which computes shapes only."""
    case = case_of(**values)
    x, w = (torch.empty(shape, device="meta") for shape in (case.input_shape, case.weight_shape))
    b = torch.empty(case.shape_of("bias"), device="meta") if case.bias else None
    assert tuple(forward(x, w, b, case).shape) == case.output_shape == case.shape_of("grad_output")
    assert case.shape_of("input") == tuple(x.shape)
    assert case.shape_of("weight") == tuple(w.shape)


def module_of(case: ConvCase) -> torch.nn.Module:
    names = {"conv": "Conv", "conv_transpose": "ConvTranspose"}
    kind = getattr(torch.nn, f"{names[case.op[:-2]]}{case.dims}d")
    extra = {"output_padding": case.output_padding} if case.transposed else {}
    module: torch.nn.Module = kind(
        case.in_channels, case.out_channels, case.kernel, case.stride, case.padding,
        dilation=case.dilation, groups=case.groups, bias=case.bias, device="meta", **extra,
    )  # fmt: skip
    return module


@settings(max_examples=100)
@given(cases())
def test_weights_are_shaped_like_torchs_modules(values: dict[str, Any]) -> None:
    case = case_of(**values)
    parameters = dict(module_of(case).named_parameters())
    assert tuple(parameters["weight"].shape) == case.weight_shape
    assert ("bias" in parameters) is case.bias


@settings(max_examples=60)
@given(cases())
def test_flops_are_twice_the_products_without_padding(values: dict[str, Any]) -> None:
    """Without padding and output_padding every product of the direct algorithm has both its factors."""
    try:
        case = case_of(**{**values, "padding": 0, "output_padding": 0})
    except IllegalCase:
        assume(False)
    products = sum(1 for _ in naive.products(case))
    for wrt in ("input", "weight", "output"):
        assert case.flops(wrt) == 2 * products
    assert case.flops("grad_output") == 4 * products
    assert case.flops("bias") == torch.Size(case.output_shape).numel()


@settings(max_examples=60)
@given(cases())
def test_no_element_sums_more_products_than_the_reduction_length(values: dict[str, Any]) -> None:
    case = case_of(**values)
    most = {"input": 0, "weight": 0, "output": 0}
    counts: dict[str, Counter[tuple[int, ...]]] = {name: Counter() for name in most}
    for at_input, at_weight, at_output in naive.products(case):
        counts["input"][at_input] += 1
        counts["weight"][at_weight] += 1
        counts["output"][at_output] += 1
    for name, count in counts.items():
        most[name] = max(count.values(), default=0)
    assert most["input"] <= case.reduction_length("input")
    assert most["weight"] <= case.reduction_length("weight")
    assert most["output"] + case.bias <= case.reduction_length("output")
    # Order 2: two operations and the bias's direction.
    assert 2 * most["output"] + case.bias <= case.reduction_length("grad_output")
    assert case.reduction_length("bias") * case.out_channels == torch.Size(case.output_shape).numel()


def test_the_reduction_length_is_reached() -> None:
    """conv_transpose grad_input in the notebook's case: 9·9 taps of 1 channel; conv: 3·3 taps of 5 channels."""
    assert case_of().reduction_length("input") == 81
    case = case_of(op="conv2d", batch=2, out_channels=5, size=9, kernel=3)
    terms = Counter(at_input for at_input, _, _ in naive.products(case))
    assert max(terms.values()) == case.reduction_length("input") == 45
    terms = Counter(at_weight for _, at_weight, _ in naive.products(case))
    assert set(terms.values()) == {case.reduction_length("weight")} == {2 * 7 * 7}


def test_elements_moved_by_hand() -> None:
    """The notebook's case: 4·17·17 in, 4·9·9 weights, 25·25 out."""
    case = case_of()
    for wrt in ("input", "weight"):
        assert case.elements_moved(wrt) == 1156 + 324 + 625
    assert case.elements_moved("bias") == 625 + 1
    assert case.elements_moved("grad_output") == 2 * (1156 + 324) + 625


@given(cases())
def test_columns_are_the_tables_and_give_the_case_back(values: dict[str, Any]) -> None:
    case = case_of(**values)
    row = case.columns()
    assert row.keys() <= COLUMNS.keys()
    assert all(type(value) is COLUMNS[name].type for name, value in row.items())
    assert not [name for name in row if name.endswith("_d") and case.dims < 3]
    prefixes = {"size": "in", "padding": "pad", "dilation": "dil"}
    again = {key: [row[f"{prefixes.get(key, key)}_{a}"] for a in case.axes] for key in PER_AXIS}
    whole = {key: row[key] for key in ("op", "batch", "in_channels", "out_channels", "groups")}
    assert ConvCase.of({**whole, **again, "bias": bool(row["bias"])}) == case


def test_axes_are_named_from_the_last() -> None:
    assert [case_of(op=op, size=20).axes for op in OPS][:3] == [("w",), ("h", "w"), ("d", "h", "w")]


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_padding_same_is_torch_s_own(dims: int) -> None:
    """Its module says how much it pads on each side; where that is uneven, a case cannot say it."""
    module = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)[dims - 1]
    for kernel, dilation in product(range(1, 6), range(1, 4)):
        resolved = module(1, 1, kernel, padding="same", dilation=dilation)._reversed_padding_repeated_twice
        given = {"op": f"conv{dims}d", "kernel": kernel, "dilation": dilation, "padding": "same"}
        if resolved[0] != resolved[1]:
            with pytest.raises(IllegalCase, match="padding=same with kernel="):
                case_of(**given)
            continue
        case = case_of(**given)
        assert [p for p in case.padding for _ in range(2)] == resolved
        assert case.output_size == case.size


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"op": "conv_transpose2d"}, "padding=same is not defined for conv_transpose2d; give numbers"),
        ({"op": "conv2d", "stride": [1, 2]}, r"padding=same needs stride=1, as in torch, and stride=\[1, 2\]"),
    ],
)
def test_padding_same_is_refused_where_torch_refuses_it(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(IllegalCase, match=words):
        case_of(**{"kernel": 3, **settings, "padding": "same"})
