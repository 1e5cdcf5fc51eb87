"""Simple mistakes, and the gradient that has one: computed in float64, so that nothing else is wrong with it.

Each is a way in which people do get a convolution's gradient wrong. Where the output is
wanted, the input is in grad_output's place.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..facts.wrt import OUTPUT
from ..measurement.convolution import CONV_TRANSPOSE
from ..measurement.problem import Problem
from ..methods.formulas import EXPLICIT, with_bias
from .pattern import places_of

Change = Callable[[Tensor], object]
"""Changes a tensor in place."""


def in_float64(made: Problem, **changed: Tensor) -> Tensor:
    """The gradient (or output) of the problem with operands replaced, in float64."""
    wide = {name: changed.get(name, getattr(made, name)).double() for name in ("input", "weight", "grad_output")}
    bias = changed.get("bias", made.bias)
    wide_problem = replace(made, **wide, bias=None if bias is None else bias.double())
    return EXPLICIT.wanted(wide_problem)().contiguous()


def side_of(made: Problem) -> str:
    """The operand that the result is computed of, beside the weight: grad_output, or the input of an output."""
    return "input" if made.wrt == OUTPUT else "grad_output"


def with_side(made: Problem, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The result where that operand is another one."""
    return in_float64(made, **{side_of(made): change(getattr(made, side_of(made)))})


def edited(tensor: Tensor, change: Change) -> Tensor:
    copy = tensor.clone()
    change(copy)
    return copy


def spatial(made: Problem) -> list[int]:
    return list(range(2, 2 + made.case.dims))


def flipped(made: Problem) -> Tensor:
    """the kernel is flipped (convolution for correlation)"""
    if made.wrt == "weight":
        return in_float64(made).flip(spatial(made))
    return in_float64(made, weight=made.weight.flip(spatial(made)))


def _with_tap(made: Problem, change: Change) -> Tensor:
    """One tap of the kernel changed in the weight, or in its gradient."""
    if made.wrt == "weight":
        return edited(in_float64(made), change)
    return in_float64(made, weight=edited(made.weight, change))


def tap_missing(made: Problem) -> Tensor:
    """the kernel's first tap is left out"""
    return _with_tap(made, lambda w: w.flatten(2)[..., 0].zero_())


def last_tap_missing(made: Problem) -> Tensor:
    """the kernel's last tap is left out"""
    return _with_tap(made, lambda w: w.flatten(2)[..., -1].zero_())


def tap_twice(made: Problem) -> Tensor:
    """the kernel's last tap counts twice"""
    return _with_tap(made, lambda w: w.flatten(2)[..., -1].mul_(2))


def shifted(made: Problem) -> Tensor:
    """everything is one place too far along the last axis, as with padding off by one"""
    return in_float64(made).roll(1, -1)


def shifted_back(made: Problem) -> Tensor:
    """everything is one place too early along the last axis, as with padding off by one"""
    return in_float64(made).roll(-1, -1)


def operand_shifted(made: Problem) -> Tensor:
    """grad_output is read one row off"""
    return with_side(made, lambda side: side.roll(1, 2))


def last_row_dropped(made: Problem) -> Tensor:
    """the last row is never written"""
    return edited(in_float64(made), lambda g: g.select(2, -1).zero_())


def last_column_dropped(made: Problem) -> Tensor:
    """the last column is never written"""
    return edited(in_float64(made), lambda g: g[..., -1].zero_())


def groups_permuted(made: Problem) -> Tensor:
    """the halves of the channels are exchanged, as where groups are taken for each other's"""
    return in_float64(made).roll(max(1, made.shape[1] // 2), 1)


def channels_swapped(made: Problem) -> Tensor:
    """the first two channels are exchanged"""
    order = [1, 0, *range(2, made.shape[1])] if made.shape[1] > 1 else [0]
    return in_float64(made)[:, order]


def reduction_cut(made: Problem) -> Tensor:
    """the last term of the sum is left out: a channel of grad_output, or one image of the batch"""
    if made.wrt == "weight":
        return with_side(made, lambda side: edited(side, lambda g: g[-1].zero_()))
    return with_side(made, lambda side: edited(side, lambda g: g[:, -1].zero_()))


def border_ignored(made: Problem) -> Tensor:
    """the first row of grad_output is never read"""
    return with_side(made, lambda side: edited(side, lambda g: g.select(2, 0).zero_()))


def bias_missing(made: Problem) -> Tensor:
    """the bias is not added"""
    return in_float64(made) if made.bias is None else in_float64(made, bias=torch.zeros_like(made.bias))


def averaged(made: Problem) -> Tensor:
    """it is divided by the batch, a mean for a sum"""
    return in_float64(made) / made.case.batch


def doubled(made: Problem) -> Tensor:
    """it is twice as large"""
    return in_float64(made) * 2


def negated(made: Problem) -> Tensor:
    """it has the opposite sign"""
    return -in_float64(made)


def axes_exchanged(made: Problem) -> Tensor:
    """the last two axes are exchanged"""
    exact = in_float64(made)
    turned = exact.transpose(-1, -2)
    return turned.contiguous() if turned.shape == exact.shape and made.case.dims > 1 else exact


def weight_transposed(made: Problem) -> Tensor:
    """the weight's input and output channels are exchanged"""
    turned = made.weight.transpose(0, 1)
    return in_float64(made, weight=turned.contiguous() if turned.shape == made.weight.shape else made.weight)


MISTAKES: dict[str, Callable[[Problem], Tensor]] = {
    f.__name__: f
    for f in (
        flipped,
        axes_exchanged,
        groups_permuted,
        channels_swapped,
        weight_transposed,
        averaged,
        doubled,
        negated,
        tap_missing,
        last_tap_missing,
        tap_twice,
        shifted,
        shifted_back,
        operand_shifted,
        last_row_dropped,
        last_column_dropped,
        reduction_cut,
        border_ignored,
        bias_missing,
    )
}
"""Name → what computes the gradient with it; its docstring is the sentence."""


MOST_OFF = 3
"""Rows or columns by which the padding is looked for to be off, either way."""


def padding_off(made: Problem, by: Sequence[int]) -> Tensor:
    """The gradient with `by[axis]` more padding than there is: position i of the large side taken for i + by.

    Beyond the large side, where the padding is, it has zeros; where the large side is the result (conv's grad_input,
    conv_transpose's output), it has what the padding would have got.
    """
    case = made.case
    if made.wrt != "weight" and (made.wrt == OUTPUT) == case.transposed:
        small: Tensor = getattr(made, side_of(made))
        canvas = CONV_TRANSPOSE[case.dims](
            small.double(), made.weight.double(), None, case.stride, 0, 0, case.groups, case.dilation
        )
        starts = [p + n for p, n in zip(case.padding, by, strict=True)]
        sizes = zip(starts, case.large_size, canvas.shape[2:], strict=True)
        ends = [start + size - there for start, size, there in sizes]
        found = _padded(canvas, [(-start, end) for start, end in zip(starts, ends, strict=True)])
        return with_bias(found, made.bias if made.wrt == OUTPUT else None, case).contiguous()
    # The padding made part of the large side, which is the operand here.
    size = case.size if case.transposed else tuple(n + 2 * p for n, p in zip(case.size, case.padding, strict=True))
    wide = replace(made.spec, case=replace(case, size=size, padding=(0,) * case.dims))
    sides = [(p + n, p - n) for p, n in zip(case.padding, by, strict=True)]
    name = "grad_output" if case.transposed else "input"
    padded: dict[str, Any] = {name: _padded(getattr(made, name), sides)}
    return in_float64(replace(made, spec=wide, **padded))


def _padded(tensor: Tensor, sides: Sequence[tuple[int, int]]) -> Tensor:
    """Zeros before and after along each of the last axes; negative numbers cut off."""
    return torch.nn.functional.pad(tensor, [n for side in reversed(sides) for n in side])


def off_paddings(made: Problem) -> Iterator[tuple[str, Tensor]]:
    """The padding off along each axis, and along all of them by the same number; the least first."""
    dims = made.case.dims
    names = [{"depth": "slices"}.get(place, f"{place}s") for place in places_of(dims)]
    along = {name: [axis == n for n in range(dims)] for axis, name in enumerate(names)}
    if dims > 1:
        along[", ".join(names[:-1]) + f" and {names[-1]}"] = [True] * dims
    for size, (where, axes) in itertools.product(range(1, MOST_OFF + 1), along.items()):
        for more, word in ((size, "large"), (-size, "small")):
            by = [more if axis else 0 for axis in axes]
            yield f"the padding is {size} too {word} along {where}", padding_off(made, by)


def sentence_of(mistake: Callable[[Problem], Tensor], made: Problem) -> str:
    return str(mistake.__doc__).replace("grad_output", side_of(made))


def mistaken(made: Problem) -> Iterator[tuple[str, Tensor]]:
    """What each mistake is, and the gradient with it, where that differs from the right one."""
    right = in_float64(made)
    named = ((sentence_of(mistake, made), mistake(made)) for mistake in MISTAKES.values())
    for said, wrong in itertools.chain(named, off_paddings(made)):
        if not torch.equal(wrong, right):
            yield said, wrong
