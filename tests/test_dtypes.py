"""The element types against torch's own account of them."""

from __future__ import annotations

import pytest
import torch

from convbench.facts.dtypes import DTYPES


@pytest.mark.parametrize("name", DTYPES)
def test_torch_says_the_same(name: str) -> None:
    theirs, ours = getattr(torch, name), DTYPES[name]
    info = torch.finfo(theirs)
    assert ours.bytes == theirs.itemsize
    assert ours.largest == info.max
    assert 2.0**ours.least_exponent == info.smallest_normal
    # eps is the distance from 1 to the next number: twice the unit roundoff.
    assert ours.u_out == info.eps / 2
    assert ours.u_acc == min(ours.u_out, torch.finfo(torch.float32).eps / 2)
