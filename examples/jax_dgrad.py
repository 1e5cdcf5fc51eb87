"""grad_input and grad_weight of every convolution by JAX: is it the framework or the hardware?

    pip install "jax[cpu]"
    python -m convbench methods=[autograd,explicit,examples.jax_dgrad:gradient]

One operation is written down, conv_general_dilated from the large side to the small one; JAX transposes it for the
gradients, as its own vjp does. What a method of another engine has to see to:

- its operands change between calls. They are handed over by DLPack in every call, which takes microseconds and copies
  nothing (torch's memory is aligned as XLA wants it); what was handed over once might be a copy of values of before;
- it is compiled in its preparation, by a call, so that the first timed call does not compile;
- a call waits for its result: JAX returns before it has computed anything;
- threads are XLA's own. They are made once, as many as the process has cores at that moment, whatever
  torch.set_num_threads says, so that the process has only `threads` cores while they are made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

import convbench

try:
    import jax
    from jax import lax
except ImportError as error:
    raise convbench.Unsupported('jax is not installed; pip install "jax[cpu]"') from error

SPACE = {1: "H", 2: "HW", 3: "DHW"}
MADE_WITH: list[int] = []
"""The number of threads that XLA has been given, once it has."""


def gradient(problem: Any) -> Callable[[], Tensor]:
    """Covers wrt=input and wrt=weight, order 1, on a CPU. A tensor in channels_last is copied in each call."""
    case, wrt = problem.case, problem.wrt
    if wrt not in ("input", "weight") or problem.order != 1 or problem.device.type != "cpu" or case.batch == 0:
        raise convbench.Unsupported(
            "jax_dgrad covers wrt=input and wrt=weight, order=1, batch ≥ 1, on device=cpu; "
            f"not wrt={wrt}, order={problem.order}, batch={case.batch}, device={problem.device}"
        )
    start(problem.spec.switches.threads)
    compiled = jax.jit(written(case, wrt, problem.weight.shape))
    sides = (problem.grad_output, problem.weight if wrt == "input" else problem.input)

    def call() -> Tensor:
        found = compiled(*(jax.dlpack.from_dlpack(side.contiguous()) for side in sides))
        return torch.from_dlpack(found.block_until_ready())

    call()
    return call


def written(case: Any, wrt: str, weight_shape: Any) -> Callable[[Any, Any], Any]:
    """The gradient as a function of JAX arrays: of grad_output and the weight, or of grad_output and the input."""
    space = SPACE[case.dims]
    layouts = (f"NC{space}", f"OI{space}", f"NC{space}")
    large_channels = case.out_channels if case.transposed else case.in_channels

    def to_small(large: Any, weight: Any) -> Any:
        """conv, from the large side to the small one; more than that where output_padding ≥ stride, so cut off."""
        found = lax.conv_general_dilated(
            large,
            weight,
            case.stride,
            [(p, p) for p in case.padding],
            rhs_dilation=case.dilation,
            dimension_numbers=layouts,
            feature_group_count=case.groups,
            precision=lax.Precision.HIGHEST,
        )
        return found[(..., *map(slice, case.small_size))]

    def of_input(grad_output: Any, weight: Any) -> Any:
        if case.transposed:
            return to_small(grad_output, weight)
        large = jax.ShapeDtypeStruct((case.batch, large_channels, *case.large_size), grad_output.dtype)
        return jax.linear_transpose(lambda x: to_small(x, weight), large)(grad_output)[0]

    def of_weight(grad_output: Any, input: Any) -> Any:
        small, large = (input, grad_output) if case.transposed else (grad_output, input)
        weight = jax.ShapeDtypeStruct(tuple(weight_shape), grad_output.dtype)
        return jax.linear_transpose(lambda w: to_small(large, w), weight)(small)[0]

    return of_input if wrt == "input" else of_weight


def start(threads: int) -> None:
    """Lets JAX make its threads, of which it makes one for each core that the process may use. Raises Unsupported where
    it has made another number of them before."""
    if not MADE_WITH:
        jax.config.update("jax_enable_x64", True)  # else float64 is quietly float32
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(cores)[:threads])
        try:
            jax.devices("cpu")
        finally:
            # The threads that were made while it was narrower stay where they are: so many cores, and no more.
            with suppress(OSError):
                os.sched_setaffinity(0, cores)
        MADE_WITH.append(threads)
    if MADE_WITH[0] != threads:
        raise convbench.Unsupported(
            f"JAX made its threads for threads={MADE_WITH[0]}, once for its process; run threads={threads} by itself"
        )
