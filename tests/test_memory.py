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


def test_peak_is_the_most_that_is_held_at_once():
    def call() -> torch.Tensor:
        first = torch.empty(MIB, dtype=torch.uint8)
        second = torch.empty(2 * MIB, dtype=torch.uint8)
        del first
        third = torch.empty(MIB, dtype=torch.uint8)
        del second, third
        return torch.empty(MIB // 2, dtype=torch.uint8)

    assert memory.peak_bytes(call, "cpu") == 3 * MIB


def test_peak_includes_the_result_and_not_what_was_there_before():
    before = torch.empty(8 * MIB, dtype=torch.uint8)
    assert memory.peak_bytes(lambda: torch.empty(MIB, dtype=torch.uint8), "cpu") == MIB
    assert before.numel() == 8 * MIB
    assert memory.peak_bytes(lambda: before.zero_(), "cpu") == 0


def test_peak_of_unfold_is_its_column_matrix_at_least():
    columns = 3 * 9 * 6 * 6 * 2 * 4
    peak = memory.peak_bytes(lambda: F.unfold(X, 3), "cpu")
    assert peak is not None
    assert columns <= peak <= 2 * columns


def test_peak_is_unknown_where_torch_has_no_profiler(monkeypatch):
    monkeypatch.setattr(torch.profiler, "kineto_available", lambda: False)
    assert memory.peak_bytes(lambda: None, "cpu") is None


@pytest.mark.gpu
def test_peak_on_a_device():
    assert memory.peak_bytes(lambda: torch.empty(MIB, dtype=torch.uint8, device="cuda"), "cuda") == MIB
