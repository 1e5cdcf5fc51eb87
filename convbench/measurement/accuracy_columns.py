"""The accuracy columns: what the table says of a result, besides its time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ..devices import block_of
from ..facts.record import VERDICTS
from .accuracy import judge
from .joint import Truth, references, tensors
from .problem import Problem

HASHED_BYTES = 2**26
"""Results up to this size are hashed: a SHA-256 of 64 MiB takes about as long as writing them once."""


def accuracy_columns(got: object, made: Problem, truth: Truth, declared: str | None = None) -> dict[str, Any]:
    """The accuracy columns of a result; `declared` is the class of bounds that its method says it belongs to.

    Of several gradients at once those of the worst; the fractions are those of the one that was compared least, the
    hash is that of all, and a mean over different gradients would say nothing.
    """
    judged = judge(got, made, truth, declared)
    row = {**asdict(judged), "accuracy": judged.verdict}
    del row["verdict"]
    known = dict(zip(made.wrts, references(truth), strict=True))
    of_verdict = known.get(judged.judged_wrt or "", max(known.values(), key=lambda one: one.reduction_length))
    row["reduction_length"] = of_verdict.reduction_length
    least = min(known.values(), key=lambda one: one.checked_fraction)
    row["checked_fraction"] = least.checked_fraction
    row["identity_fraction"] = least.identity.fraction if least.identity is not None else None
    row["loss"] = made.loss
    results = tensors(got)
    if all(_describable(one, made) for one in results):
        if not made.joint:
            row["grad_mean"], row["grad_std"] = _moments(results[0].to(of_verdict.expected.device))
        row["result_hash"] = _hash(results)
    return row


def _describable(one: object, made: Problem) -> bool:
    return isinstance(one, Tensor) and one.numel() > 0 and one.is_floating_point() and one.device == made.device


VERDICT_COLUMNS = (
    "accuracy",
    "reason",
    "explained_by",
    "bound_ratio",
    "max_abs_err",
    "rel_l2_err",
    "max_ulp_err",
    "checked_fraction",
    "identity_fraction",
    "judged_wrt",
)


def worse(row: Mapping[str, Any], fill: str, found: Mapping[str, Any], other: str) -> dict[str, Any]:
    """What changes in a row judged on `fill` when the result on `other` data was `found`.

    `judged_on`, and the verdict's columns where it is worse, or as good and nearer its bound; a failure's reason says
    on which data it is one.
    """

    def rank(columns: Mapping[str, Any]) -> tuple[int, float]:
        return max(0, VERDICTS.index(columns["accuracy"]) - 1), columns.get("bound_ratio") or 0.0

    if rank(found) <= rank(row):
        return {"judged_on": row.get("judged_on", fill)}
    changed = {name: found.get(name) for name in VERDICT_COLUMNS}
    if found["accuracy"] == "fail":
        changed["reason"] = f"on fill={other} data: {found['reason']}"
    return {**changed, "judged_on": other}


def _moments(tensor: Tensor) -> tuple[float | None, float | None]:
    """Mean and standard deviation over n, in float64; None where they are not finite."""
    n = tensor.numel()
    mean = tensor.sum(dtype=torch.float64) / n
    blocks = tensor.reshape(-1).split(block_of(tensor.device.type))
    square = sum(block.double().sub(mean).square().sum() for block in blocks) / n
    values = torch.stack([mean, torch.as_tensor(square).sqrt()])
    mean_value, std_value = values.tolist() if bool(torch.isfinite(values).all()) else (None, None)
    return mean_value, std_value


def _hash(results: Sequence[Tensor]) -> str | None:
    """Of the bytes of one result, or of several one after the other."""
    if sum(one.numel() * one.element_size() for one in results) > HASHED_BYTES:
        return None
    digest = hashlib.sha256()
    for one in results:
        digest.update(_stored(one).cpu().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _stored(tensor: Tensor) -> Tensor:
    """The values as they stand in memory, flat: a negation or conjugation that torch has only noted is carried out."""
    # Flat, because a tensor with axes of length 1 counts as contiguous whatever their strides are.
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)


def same(a: object, b: object) -> bool:
    """Bitwise equality of two results, each of several gradients for itself."""
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.device != b.device:
        return False
    # As integers, so that NaN equals NaN and 0 differs from −0.
    integers = {8: torch.int64, 4: torch.int32, 2: torch.int16}.get(a.element_size(), torch.uint8)
    one, other = (_stored(t).view(integers) for t in (a, b))
    return torch.equal(one, other)
