"""Bugs of sums and of precision, which depend on the data: what one kind of data hides another shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from convbench.measurement.problem import Problem

from .right import correlation, split

SMALL = {"op": "conv2d", "batch": 2, "in_channels": 16, "out_channels": 16, "size": 12, "kernel": 3, "padding": 1}
LONG_BATCH = {
    **SMALL,
    "batch": 8192,
    "in_channels": 1,
    "out_channels": 1,
    "size": 1,
    "kernel": 1,
    "padding": 0,
    "wrt": "weight",
}


class Bug(NamedTuple):
    """A wrong gradient of the configuration `case`, in those dtypes."""

    case: Mapping[str, Any]
    dtypes: tuple[str, ...]
    spoil: Callable[[Problem], Tensor]


def one_after_the_other(made: Problem) -> Tensor:
    """The images' products added in the dtype itself, which stops growing where the sum is large."""
    products = (made.input.double() * made.grad_output.double()).flatten().to(made.dtype)
    total = torch.zeros((), dtype=made.dtype)
    for product in products:
        total = total + product
    return total.view(made.shape)


def one_product_of_bfloat16(made: Problem) -> Tensor:
    """float32 operands cut to bfloat16, and nothing added for what was cut off."""
    return correlation(made, lambda image, kernel: conv2d(split(image, 1)[0], split(kernel, 1)[0]))


def summed_in_bfloat16(made: Problem) -> Tensor:
    """float32 that was stored as bfloat16 on the way."""
    return correlation(made, lambda image, kernel: conv2d(image, kernel).bfloat16().float())


def every_second_rounding_up(made: Problem) -> Tensor:
    """16-bit results one unit too large in their last place wherever the sum is not zero."""
    right = correlation(made, lambda image, kernel: conv2d(image.float(), kernel.float())).to(made.dtype)
    return torch.nextafter(right, torch.where(right > 0, torch.inf, -torch.inf).to(made.dtype))


def last_channel_at_a_seam(made: Problem) -> Tensor:
    """Where two tiles of eight columns meet, one channel is left out."""
    right = correlation(made, conv2d_in_float)
    short = correlation(made, lambda image, kernel: conv2d_in_float(image[:, :-1], kernel[:, :-1]))
    right[..., 8] = short[..., 8]
    return right.to(made.dtype)


def tile_of_the_call_before(made: Problem) -> Tensor:
    """A tile of 4×4 that holds what another call left there: the right values of the next image."""
    right = correlation(made, conv2d_in_float)
    right[0, :, :4, :4] = right[1, :, :4, :4]
    return right.to(made.dtype)


def conv2d_in_float(image: Tensor, kernel: Tensor) -> Tensor:
    return conv2d(image.float(), kernel.float())


ANY = ("float32", "float16", "bfloat16")
BUGS = {
    "added one after the other in 16 bits, batch 8192": Bug(LONG_BATCH, ("float16", "bfloat16"), one_after_the_other),
    "float32 as one product of bfloat16": Bug(SMALL, ("float32",), one_product_of_bfloat16),
    "float32 stored as bfloat16 on the way": Bug(SMALL, ("float32",), summed_in_bfloat16),
    "every result a unit too large": Bug(SMALL, ("float16", "bfloat16"), every_second_rounding_up),
    "a channel left out where two tiles meet": Bug(SMALL, ANY, last_channel_at_a_seam),
    "a tile of another image": Bug(SMALL, ANY, tile_of_the_call_before),
}
