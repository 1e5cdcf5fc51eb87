"""Right methods as people write them, for grad_input of a plain conv_transpose2d: none may be refused."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import convbench

Call = Callable[[], Any]


def _right(problem: Any) -> Call:
    return lambda: F.conv2d(problem.grad_output, problem.weight)


def plainly(problem: Any) -> Call:
    """Calls torch and keeps nothing."""
    return _right(problem)


@convbench.with_autograd
def graph(problem: Any) -> Call:
    """The forward pass is preparation: autograd's graph holds the operands from then on."""
    x = problem.input.detach().requires_grad_()
    y = F.conv_transpose2d(x, problem.weight)
    return lambda: torch.autograd.grad(y, x, problem.grad_output, retain_graph=True)[0]


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return F.conv_transpose2d(x, w)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (w,) = ctx.saved_tensors
        return F.conv2d(gradients[0], w), None


@convbench.with_autograd
def function(problem: Any) -> Call:
    """An autograd.Function of the author's own, its graph made in the preparation."""
    x = problem.input.detach().requires_grad_()
    y = _Transposed.apply(x, problem.weight)  # type: ignore[no-untyped-call]
    return lambda: torch.autograd.grad(y, x, problem.grad_output, retain_graph=True)[0]


def numpy(problem: Any) -> Call:
    """Views of the operands as arrays, made once; a result that numpy allocated."""
    import numpy as np

    gy, w = problem.grad_output.numpy()[0, 0], problem.weight.numpy()[:, 0]

    def call() -> Tensor:
        windows = np.lib.stride_tricks.sliding_window_view(gy, w.shape[1:])
        found = np.tensordot(w, windows, axes=((1, 2), (2, 3)))
        return torch.from_numpy(np.ascontiguousarray(found)[None])

    return call


def foreign(problem: Any) -> Call:
    """A function of a C library that writes through pointers which were looked up in the preparation."""
    right, move = _right(problem), ctypes.memmove

    def call() -> Tensor:
        found = right()
        out = torch.empty_like(found)
        move(out.data_ptr(), found.data_ptr(), found.numel() * found.element_size())
        return out

    return call


def workspace(problem: Any) -> Call:
    """A buffer that is kept from call to call; the result is the caller's all the same."""
    kernel, case = problem.case.kernel, problem.case
    patches = torch.empty(1, kernel[0] * kernel[1], case.size[0] * case.size[1])

    def call() -> Tensor:
        patches.copy_(F.unfold(problem.grad_output, kernel))
        return (problem.weight.flatten(1) @ patches).view(problem.shape)

    return call


KERNELS: dict[Any, Callable[[Tensor, Tensor], Tensor]] = {}


def cache(problem: Any) -> Call:
    """What was made for a shape is kept in the module and found again by every later call."""

    def call() -> Any:
        key = (tuple(problem.grad_output.shape), problem.grad_output.dtype)
        if key not in KERNELS:
            KERNELS[key] = F.conv2d
        return KERNELS[key](problem.grad_output, problem.weight)

    return call


def packed(problem: Any) -> Call:
    """A copy of the weight in the kernel's own layout, made once: right where the weight stays what it is."""
    flat = problem.weight.flatten(1).clone()
    kernel = problem.case.kernel
    return lambda: (flat @ F.unfold(problem.grad_output, kernel)).view(problem.shape)


def compiled(problem: Any) -> Call:
    run = torch.compile(lambda gy, w: F.conv2d(gy, w) * 1.0)
    return lambda: run(problem.grad_output, problem.weight)


SOURCE = """
#include <torch/extension.h>
torch::Tensor run(torch::Tensor gy, torch::Tensor w) { return at::conv2d(gy, w); }
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }
"""


def extension(problem: Any) -> Call:
    """A C++ extension that is built when it is first prepared."""
    from torch.utils.cpp_extension import load

    folder = Path(torch.hub.get_dir()).parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "honest_extension.cpp").write_text(SOURCE)
    built = load("honest_extension", [str(folder / "honest_extension.cpp")], extra_cflags=["-O1"])
    return lambda: built.run(problem.grad_output, problem.weight)


class _Saving(torch.autograd.Function):
    """Saves what its forward has computed of the weight, and so is wrong where the forward is not run again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(w * 2)
        return F.conv_transpose2d(x, w)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (doubled,) = ctx.saved_tensors
        return F.conv2d(gradients[0], doubled) / 2, None


saving = convbench.backward_of(_Saving, op="conv_transpose2d", wrt="input")
