from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from convbench.measurement import memory

X, W = torch.ones(2, 3, 8, 8), torch.ones(4, 3, 3, 3)
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
