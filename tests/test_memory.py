from __future__ import annotations

import ctypes

import pytest
import torch
import torch.nn.functional as F

from convbench.measurement import memory

X, W = torch.ones(2, 3, 8, 8), torch.ones(4, 3, 3, 3)
GRAD = torch.ones(2, 4, 6, 6)
MIB = 2**20


def test_a_convolution_saves_its_two_operands():
    x = X.clone().requires_grad_()
    assert memory.saved_bytes(lambda: F.conv2d(x, W)) == 4 * (X.numel() + W.numel())


def test_views_of_one_storage_count_once_and_whole():
    base = torch.ones(1000, requires_grad=True)
    # Each product saves its own operand: two views of the same thousand floats.
    assert memory.saved_bytes(lambda: (base[:10] ** 2).sum() + (base[10:20] ** 2).sum()) == 4000


def test_what_an_operation_makes_and_saves_counts():
    x = torch.ones(100, requires_grad=True)
    # exp saves its result, which is new; x itself is not kept.
    assert memory.saved_bytes(lambda: x.exp()) == 400


def test_storages_that_are_freed_and_made_again_all_count():
    x = torch.ones(100, requires_grad=True)

    def three_times() -> None:
        for _ in range(3):
            x.exp()

    assert memory.saved_bytes(three_times) == 1200


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_a_graph_nothing_is_saved(context):
    def forward() -> torch.Tensor:
        with context():
            return F.conv2d(X, W)

    assert memory.saved_bytes(forward) == 0


def past_the_dispatcher(out: torch.Tensor, *operands: torch.Tensor) -> None:
    """Writes as a Triton kernel does: by addresses, so that torch's dispatcher hears nothing of it."""
    ctypes.memset(out.data_ptr(), 0, out.nbytes)


def launched_alone() -> torch.Tensor:
    out = torch.empty_like(X)
    past_the_dispatcher(out, X, W)
    return out


def launched_into_zeros() -> torch.Tensor:
    out = torch.zeros(2, 3, 8, 8).view(-1)
    past_the_dispatcher(out, X, W)
    return out.view(X.shape)


def launched_and_reduced() -> torch.Tensor:
    """Of a split sum, only the last step is one of torch's."""
    parts = X.new_empty(4, *X.shape)
    past_the_dispatcher(parts, X, W)
    return parts.sum(0)


@pytest.mark.parametrize("call", [launched_alone, launched_into_zeros, launched_and_reduced])
def test_what_a_kernel_reads_that_torch_does_not_see_is_unknown(call):
    assert memory.held_bytes(call, GRAD) is None


def test_what_torch_is_seen_to_read_is_known():
    def into_zeros() -> torch.Tensor:
        out = GRAD.new_zeros(2, 4, 12, 12)
        out[..., ::2, ::2] = GRAD
        return F.conv_transpose2d(out, W)

    assert memory.held_bytes(lambda: F.conv_transpose2d(GRAD, W), GRAD) == 4 * W.numel()
    assert memory.held_bytes(into_zeros, GRAD) == 4 * W.numel()
    # What a tensor is like, and its sizes, are not read.
    assert memory.held_bytes(lambda: torch.empty_like(X).copy_(GRAD[:, :3, :1, :1]), GRAD) == 0
