"""A method's failure as the process that judged it knows it, and how that is kept: operands, result and reference."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..measurement.joint import Truth, references
from ..measurement.operands import operands_of
from ..measurement.problem import Problem
from ..measurement.reference import Reference
from ..timing.clocks import Lost
from ..timing.rounds import ArmFailed
from .kept import Saved, Told, keep, reproducer
from .wrong import Wrong

MOST_OPERANDS = 2**25
"""Bytes of operands that are kept, those of an earlier call included; of larger ones none are."""
MOST_ELEMENTS = 2**18
"""Elements of the result and the reference that are kept; of more those with the largest errors."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`made` and `truth`: what the method was asked for, as far as it was known when it failed; `got`: what it
    returned. `before`: the operands of before, see Wrong. `together`: it was asked for these gradients at once, and
    the others are those of one of them."""

    method: str
    told: Told
    made: Problem | None = None
    truth: Reference | None = None
    got: Tensor | None = None
    before: Problem | None = None
    declared: str | None = None
    together: str | None = None

    def kept(self, failures: Path, row: dict[str, Any]) -> str | None:
        """Keeps it in that folder; see kept.keep."""
        made = self.made
        if made is None:
            return None
        asked = replace(reproducer(made.spec, self.method, row), declared=self.declared, together=self.together)
        return keep(failures, row, asked, self.told, lambda file: _save(file, self, made))


def told_by(error: BaseException) -> Told:
    """What an exception tells: its traceback, or what the process that it was raised in told of it."""
    if isinstance(error, ArmFailed):
        error = error.error
    if isinstance(error, Lost):
        return Told(error.traceback, error.output)
    return Told("".join(traceback.format_exception(error)))


def of_wrong(method: str, wrong: Wrong, told: Told, declared: str | None) -> Failure:
    """The failure that a wrong result is, of several gradients the worst one."""
    together = wrong.made.wrt if wrong.made.joint else None
    part = wrong.worst
    if part is None:
        return Failure(method, told, wrong.made.parts[0], references(wrong.truth)[0], together=together)
    got = part.got if isinstance(part.got, Tensor) else None
    return Failure(method, told, part.made, part.truth, got, part.before, declared, together)


def of_end(method: str, told: Told, made: Problem | None, truth: Truth | None) -> Failure:
    """The failure of a method that raised or was lost."""
    if made is None or truth is None:
        return Failure(method, told)
    return Failure(method, told, made.parts[0], references(truth)[0], together=made.wrt if made.joint else None)


def _save(file: Path, failure: Failure, made: Problem) -> Saved | None:
    operands = {name: tensor.detach().cpu() for name, tensor in operands_of(made).items()}
    before = {} if failure.before is None else _others(operands_of(failure.before), operands)
    if failure.truth is None or sum(t.nbytes for t in (*operands.values(), *before.values())) > MOST_OPERANDS:
        return None
    held, notes = _compared(failure.got, failure.truth, made)
    torch.save({"operands": operands, "earlier": before or None, **held}, file)
    return Saved(notes, bool(before))


def _others(before: Mapping[str, Tensor], operands: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The operands of before, where any of them was another."""
    found = {name: tensor.detach().cpu() for name, tensor in before.items()}
    return {} if all(torch.equal(found[name], operands[name]) for name in operands) else found


def _compared(got: Tensor | None, truth: Reference, made: Problem) -> tuple[dict[str, Tensor | None], list[str]]:
    """The result and the reference's parts, of so many elements as are kept; and what of that is to be said."""
    share = truth.expected.numel() // max(1, truth.largest.numel())
    largest = truth.largest.repeat_interleave(share) if share > 1 else truth.largest.clone()
    held = {"expected": truth.expected, "magnitude": truth.magnitude, "largest": largest}
    index, notes = truth.index, []
    if index is not None:
        notes.append(f"the reference knows {index.numel()} of {truth.elements} elements: reference.max_flops bounds it")
    right = isinstance(got, Tensor) and tuple(got.shape) == made.shape
    flat = got.detach().reshape(-1).to(truth.expected.device) if right and isinstance(got, Tensor) else None
    values = None if flat is None else (flat if index is None else flat[index])
    if truth.expected.numel() > MOST_ELEMENTS:
        error = (truth.expected if values is None else values.double() - truth.expected).abs()
        some = error.nan_to_num(nan=torch.inf).topk(MOST_ELEMENTS).indices.sort().values
        notes.append(f"of {truth.expected.numel()} elements compared, the {MOST_ELEMENTS} with the largest errors")
        held = {name: tensor[some] for name, tensor in held.items()}
        index = some if index is None else index[some]
        values = None if values is None else values[some]
    kept: dict[str, Tensor | None] = {name: tensor.cpu().clone() for name, tensor in held.items()}
    kept["index"] = None if index is None else index.cpu().clone()
    kept["got"] = None if values is None else values.cpu().clone()
    return kept, notes
