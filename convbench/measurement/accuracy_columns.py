"""The accuracy columns: what the table says of a result, besides its time."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from .accuracy import BLOCK, judge
from .problem import Problem
from .reference import Reference

HASHED_BYTES = 2**26
"""Results up to this size are hashed: a SHA-256 of 64 MiB takes about as long as writing them once."""


def accuracy_columns(got: object, made: Problem, truth: Reference) -> dict[str, Any]:
    """The accuracy columns of a result."""
    judged = judge(got, made, truth)
    row = {**asdict(judged), "accuracy": judged.verdict, "reduction_length": truth.reduction_length}
    del row["verdict"]
    row["checked_fraction"] = truth.checked_fraction
    row["identity_fraction"] = truth.identity.fraction if truth.identity is not None else None
    row["loss"] = made.loss
    if isinstance(got, Tensor) and got.numel() and got.is_floating_point() and got.device == made.device:
        mean, std = _moments(got)
        row["grad_mean"], row["grad_std"] = mean, std
        row["result_hash"] = _hash(got)
    return row


def _moments(tensor: Tensor) -> tuple[float | None, float | None]:
    """Mean and standard deviation over n, in float64; None where they are not finite."""
    n = tensor.numel()
    mean = tensor.sum(dtype=torch.float64) / n
    blocks = tensor.reshape(-1).split(BLOCK[tensor.device.type])
    square = sum(block.double().sub(mean).square().sum() for block in blocks) / n
    values = torch.stack([mean, torch.as_tensor(square).sqrt()])
    mean_value, std_value = values.tolist() if bool(torch.isfinite(values).all()) else (None, None)
    return mean_value, std_value


def _hash(tensor: Tensor) -> str | None:
    if tensor.numel() * tensor.element_size() > HASHED_BYTES:
        return None
    data = _stored(tensor).cpu().view(torch.uint8).numpy()
    return hashlib.sha256(data.tobytes()).hexdigest()[:16]


def _stored(tensor: Tensor) -> Tensor:
    """The tensor as its values stand in memory: a negation or conjugation that torch has only noted is carried out."""
    return tensor.detach().resolve_conj().resolve_neg().contiguous()


def same(a: object, b: object) -> bool:
    """Bitwise equality of two results."""
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.device != b.device:
        return False
    # As integers, so that NaN equals NaN and 0 differs from −0.
    integers = {8: torch.int64, 4: torch.int32, 2: torch.int16}.get(a.element_size(), torch.uint8)
    one, other = (_stored(t).view(-1).view(integers) for t in (a, b))
    return torch.equal(one, other)
