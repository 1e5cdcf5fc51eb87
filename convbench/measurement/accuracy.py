"""How far a result is from the reference, and what that means: exact, ok, reduced or fail.

    exact    integer data, every element compared (or covered by an identity that decides), and equal to the reference
             rounded to the dtype, to the last bit
    ok       within the bounds of one rounding of an accurate sum, or of the class that the method declares
    reduced  within those of another way in which right results are computed; the row names it
    fail     anything else

The bounds and their derivations are in bounds.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..facts.dtypes import DTYPES
from ..facts.fills import WHOLE_NUMBERS
from ..facts.record import VERDICTS
from . import signed_sums
from .bounds import Bounds, bounds, declared_only
from .errors import Evidence, compare
from .joint import Truth, parts, tensors
from .problem import Problem
from .reference import Reference


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its evidence; names and units as in the table's columns. None is unknown.

    `explained_by` names the class of bounds.py that the errors are within, where it is not the one of `ok`;
    `judged_wrt` the gradient that this is said of, where several were computed at once: the worst.
    """

    verdict: str
    reason: str | None = None
    max_abs_err: float | None = None
    rel_l2_err: float | None = None
    max_ulp_err: float | None = None
    bound_ratio: float | None = None
    explained_by: str | None = None
    judged_wrt: str | None = None


def judge(result: object, problem: Problem, truth: Truth, declared: str | None = None) -> Judgement:
    """The verdict on what a method returned. Never raises for a wrong result: that is a `fail` with its reason.

    `declared` is the class of bounds.py that the method says it belongs to. Several gradients at once are as good as
    the worst of them.
    """
    wrong = wrong_kind(result, problem)
    if wrong is not None:
        return Judgement("fail", wrong)
    found = {part.made.wrt: _judge(*part, declared) for part in parts(result, problem, truth)}
    return _worst(found) if problem.joint else found[problem.wrt]


def _worst(found: dict[str, Judgement]) -> Judgement:
    """That of the gradient with the worst verdict, of equal ones the nearest to its bound; a failure names them all."""

    def rank(wrt: str) -> tuple[int, float]:
        one = found[wrt]
        return VERDICTS.index(one.verdict), math.inf if one.bound_ratio is None else one.bound_ratio

    worst = max(found, key=rank)
    one, reason = found[worst], None
    failed = [wrt for wrt, other in found.items() if other.verdict == "fail"]
    if failed:
        right = [wrt for wrt in found if wrt not in failed]
        said = f" ({' and '.join(right)}: right)" if right else ""
        named = "" if len(failed) == 1 else f"{worst}: "
        reason = f"wrong with respect to {' and '.join(failed)}{said}: {named}{one.reason}"
    return replace(one, judged_wrt=worst, reason=reason)


def _judge(result: Tensor, problem: Problem, reference: Reference, declared: str | None) -> Judgement:
    result = result.detach().to(reference.expected.device)
    integers = problem.spec.fill in WHOLE_NUMBERS
    if result.numel() == 0:
        return Judgement("exact" if integers else "ok", bound_ratio=0.0)
    flat = result.reshape(-1)
    if reference.index is not None:
        flat = flat[reference.index]
    dtype, length = problem.spec.dtype, max(1, reference.reduction_length)
    classes = bounds(dtype, length, reference.terms, integers, problem.wrt != "bias")
    if problem.wrt != "bias":
        classes |= declared_only(declared, dtype, length, integers)
    evidence = compare(flat, reference, classes, DTYPES[dtype])
    if evidence.not_finite or (reference.index is not None and not bool(torch.isfinite(result).all())):
        return Judgement("fail", "the result holds NaN or infinity where the exact result is finite")
    sampled = {name: evidence.ratio(name, bound) for name, bound in classes.items()}
    summed: dict[str, float] = {}
    # Sums of results in 16 bits are rounded ones, so that they decide nothing about the last bit.
    whole = reference.index is None
    if reference.identity is not None:
        sums = signed_sums.check(result, reference.identity, classes, length)
        summed = sums.ratios
        covered = reference.identity.fraction == 1
        whole = sums.equal and covered and problem.dtype in (torch.float32, torch.float64)
    return _verdict(evidence, classes, sampled, summed, integers and whole and evidence.equal, declared)


def _verdict(
    evidence: Evidence,
    classes: dict[str, Bounds],
    sampled: dict[str, float],
    summed: dict[str, float],
    exact: bool,
    declared: str | None,
) -> Judgement:
    """From the ratios of the elements compared one by one, and of the signed sums, to what each class allows."""
    ratios = {name: max(ratio, summed.get(name, 0.0)) for name, ratio in sampled.items()}
    fitting = [name for name, ratio in ratios.items() if ratio <= 1]
    explained_by = reason = None
    own = declared if declared in classes else "ok"
    if "ok" in fitting:
        verdict = "exact" if exact else "ok"
    elif fitting:
        verdict = "ok" if own in fitting else "reduced"
        explained_by = own if own in fitting else fitting[0]
    else:
        verdict = "fail"
        off = min(summed.values(), default=0.0)
        if min(sampled.values()) > 1 or off <= 1:
            reason = evidence.explain("ok", classes["ok"])
        else:
            said = "elements outside the sample are wrong: signed sums over channels are off by"
            reason = f"{said} {summed['ok']:.3g} times their bound"
    ratio = max(evidence.largest[own], summed.get(own, 0.0))
    return Judgement(
        verdict,
        reason,
        max_abs_err=evidence.max_abs,
        rel_l2_err=evidence.rel_l2,
        max_ulp_err=evidence.max_ulp,
        bound_ratio=ratio if math.isfinite(ratio) else None,
        explained_by=explained_by,
    )


def wrong_kind(result: object, problem: Problem) -> str | None:
    """Why a result is not what is wanted, whatever it holds: no plain tensor, another shape, dtype, device, layout; or
    not one of each of several."""
    if not problem.joint:
        return _wrong_tensor(result, problem)
    if not isinstance(result, (tuple, list)) or len(result) != len(problem.wrts):
        kind = f"{len(result)} results" if isinstance(result, (tuple, list)) else type(result).__name__
        return f"the method returned {kind}; wrt={problem.wrt} wants a tuple of {len(problem.wrts)} tensors"
    for one, part in zip(tensors(result), problem.parts, strict=True):
        if (wrong := _wrong_tensor(one, part)) is not None:
            return f"{part.wrt}: {wrong}"
    return None


def _wrong_tensor(result: object, problem: Problem) -> str | None:
    if not isinstance(result, Tensor):
        return f"the method returned {type(result).__name__}, not a tensor"
    if type(result) is not Tensor:
        # Its numbers could be made when somebody looks at them, after the clock has stopped.
        return f"the method returned {type(result).__name__}, a subclass of torch.Tensor; return a plain tensor"
    if result.layout is not torch.strided:
        return f"the result has the layout {result.layout}; return a dense tensor"
    if tuple(result.shape) != problem.shape:
        return f"the result has shape {list(result.shape)}; expected {list(problem.shape)}"
    if result.dtype != problem.dtype:
        return f"the result is {result.dtype}; the problem is {problem.dtype}"
    if result.device != problem.device:
        return f"the result is on {result.device}; the problem is on {problem.device}"
    return None
