"""How far a result is from the reference, and what that means: exact, ok, reduced or fail.

With e = result − reference, B = the gradient of the absolute values, K = products summed for one element,
T = roundings between partial sums, u_out and u_acc the unit roundoffs of the dtype and of its accumulator:

    exact    integer data, and equal to the reference rounded to the dtype, to the last bit
    ok       |e| ≤ u_out|ref| + 4·u_acc·√K·B everywhere, and ‖e‖₂ ≤ (u_out + 2·u_acc·√K)·‖ref‖₂
    reduced  |e| ≤ u_out(1 + 2√T)·B + 4·u_acc·√K·B, and ‖e‖₂ ≤ (4·u_out + 2·u_acc·√K)·‖ref‖₂: sums rounded on
             the way; or, for float32, |e| ≤ 2·2⁻¹¹·B + 4·u_acc·√K·B, and ‖e‖₂ ≤ 2·2⁻¹¹·‖ref‖₂: TF32
    fail     anything else

On integer data a sum of B ≤ 2ᵖ (p bits of significand; 11 for TF32) is a whole number that needs no rounding,
however it is formed, so that the first term of `reduced` counts only where B > 2ᵖ.

√K is the growth of independent rounding errors (Higham and Mary, "A new approach to probabilistic rounding
error analysis", 2019); the factors leave three times the largest error that correct methods showed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..facts.dtypes import DTYPES, DType
from .problem import Problem
from .reference import Identity, Reference

TF32 = 2 * 2.0**-11
BLOCK = {"cpu": 2**16, "cuda": 2**22}
"""Elements compared at a time. On a CPU a dozen float64 temporaries of 512 KiB stay in the caches and within the
allocator's reach: blocks of 2²² took eight times as long, most of it for pages mapped anew."""
IDENTITY_SIGMAS = 4.0
"""The signed sum of c errors, each within its bound b, exceeds 4·√Σb² with probability ≤ 2·exp(−8) by Hoeffding's
inequality; correct errors are at most a third of their bounds, which makes it 2·exp(−72)."""
IDENTITY_SPREAD = 2.0
"""How much the root mean square of B over one position's channels may exceed its mean; drawn data stay below 1.2.
Also how much the errors of one position may exceed the whole result's in the mean, crowding aside."""
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its evidence; names and units as in the table's columns. None is unknown."""

    verdict: str
    reason: str | None = None
    max_abs_err: float | None = None
    rel_l2_err: float | None = None
    max_ulp_err: float | None = None
    bound_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """One class of accuracy: |e| ≤ of_ref·|ref| + sums·B + rounded·B, and ‖e‖₂ ≤ l2·‖ref‖₂.

    The last term counts where B > exact_below.
    """

    of_ref: float
    sums: float
    l2: float
    rounded: float = 0.0
    exact_below: float = 0.0


def bounds(dtype: str, reduction_length: int, terms: int, integers: bool = False) -> dict[str, list[Bounds]]:
    """The bounds of `ok` and the alternatives of `reduced`; `integers` tells the kind of data."""
    u_out, u_acc = DTYPES[dtype].u_out, DTYPES[dtype].u_acc
    root = math.sqrt(reduction_length)
    sums = 4 * u_acc * root
    exact_below = 1 / u_out if integers else 0.0
    reduced = [Bounds(0.0, sums, 4 * u_out + 2 * u_acc * root, u_out * (1 + 2 * math.sqrt(terms)), exact_below)]
    if dtype == "float32":
        reduced.append(Bounds(0.0, sums, TF32, TF32, 2 / TF32 if integers else 0.0))
    return {"ok": [Bounds(u_out, sums, u_out + 2 * u_acc * root)], "reduced": reduced}


def judge(result: object, problem: Problem, reference: Reference) -> Judgement:
    """The verdict on what a method returned. Never raises for a wrong result: that is a `fail` with its reason."""
    wrong = wrong_kind(result, problem)
    if wrong is not None:
        return Judgement("fail", wrong)
    assert isinstance(result, Tensor)
    result = result.detach()
    if result.numel() == 0:
        return Judgement("exact" if problem.spec.fill == "integer" else "ok", bound_ratio=0.0)
    flat = result.reshape(-1)
    if reference.index is not None:
        flat = flat[reference.index]
    integers = problem.spec.fill == "integer"
    classes = bounds(problem.spec.dtype, reference.reduction_length, reference.terms, integers)
    evidence = _compare(flat, reference, classes, DTYPES[problem.spec.dtype])
    if evidence.not_finite or (reference.index is not None and not bool(torch.isfinite(result).all())):
        return Judgement("fail", "the result holds NaN or infinity where the exact gradient is finite")
    checks = {name: [evidence.ratio(b) for b in alternatives] for name, alternatives in classes.items()}
    identity = None
    if reference.identity is not None:
        identity = _check_identity(result, reference.identity, classes)
        for name, ratios in identity.ratios.items():
            checks[name] = [max(a, b) for a, b in zip(checks[name], ratios, strict=True)]
    exact = integers and evidence.equal
    if identity is not None and problem.dtype in (torch.float32, torch.float64):
        exact = exact and identity.equal
    return _verdict(evidence, identity, checks, exact, classes)


def _verdict(
    evidence: _Evidence,
    identity: _IdentityEvidence | None,
    checks: dict[str, list[float]],
    exact: bool,
    classes: dict[str, list[Bounds]],
) -> Judgement:
    if exact and checks["ok"][0] <= 1:
        verdict = "exact"
    elif checks["ok"][0] <= 1:
        verdict = "ok"
    elif min(checks["reduced"]) <= 1:
        verdict = "reduced"
    else:
        verdict = "fail"
    off = 0.0 if identity is None else identity.ratios["ok"][0]
    reason = None
    if verdict == "fail" and min(evidence.ratio(b) for b in classes["reduced"]) > 1:
        reason = evidence.explain(classes["ok"][0])
    elif verdict == "fail":
        reason = (
            f"elements outside the sample are wrong: signed sums over channels are off by {off:.3g} times their bound"
        )
    ratio = max(evidence.pointwise(classes["ok"][0]), off)
    return Judgement(
        verdict,
        reason,
        max_abs_err=evidence.max_abs,
        rel_l2_err=evidence.rel_l2,
        max_ulp_err=evidence.max_ulp,
        bound_ratio=ratio if math.isfinite(ratio) else None,
    )


def wrong_kind(result: object, problem: Problem) -> str | None:
    """Why a result is no gradient whatever it holds: no plain tensor, another shape, dtype, device or layout."""
    if not isinstance(result, Tensor):
        return f"the method returned {type(result).__name__}, not a tensor"
    if type(result) is not Tensor:
        # Its numbers could be made when somebody looks at them, after the clock has stopped.
        return f"the method returned {type(result).__name__}, a subclass of torch.Tensor; return a plain tensor"
    if result.layout is not torch.strided:
        return f"the result has the layout {result.layout}; return a dense tensor"
    if tuple(result.shape) != problem.shape:
        return f"the result has shape {list(result.shape)}; the gradient has {list(problem.shape)}"
    if result.dtype != problem.dtype:
        return f"the result is {result.dtype}; the problem is {problem.dtype}"
    if result.device != problem.device:
        return f"the result is on {result.device}; the problem is on {problem.device}"
    return None


@dataclass(slots=True)
class _Evidence:
    """What one pass over the compared elements found. `largest` maps a bound to max |e| / bound."""

    max_abs: float
    max_ulp: float
    error_l2: float
    reference_l2: float
    result_is_zero: bool
    equal: bool
    not_finite: bool
    largest: dict[Bounds, float]

    @property
    def rel_l2(self) -> float | None:
        return self.error_l2 / self.reference_l2 if self.reference_l2 > 0 else None

    def pointwise(self, bound: Bounds) -> float:
        return self.largest[bound]

    def ratio(self, bound: Bounds) -> float:
        """Largest of the elementwise and the L2 error over what `bound` allows; inf where nothing is allowed."""
        allowed = bound.l2 * self.reference_l2
        l2 = self.error_l2 / allowed if allowed > 0 else (math.inf if self.error_l2 > 0 else 0.0)
        if self.result_is_zero and self.reference_l2 > 0:
            return math.inf
        return max(self.largest[bound], l2)

    def explain(self, bound: Bounds) -> str:
        """Both errors, each with its own bound; they may be wrong by different factors."""
        if self.result_is_zero and self.reference_l2 > 0:
            return "the result is all zeros; the exact gradient is not"
        if math.isinf(self.ratio(bound)):
            return "the result is not zero where the exact gradient is zero"
        said = f"largest error {self.max_abs:.3g}, {self.pointwise(bound):.3g} times its bound"
        if self.rel_l2 is None:
            return said
        return f"{said}; relative L2 error {self.rel_l2:.2g}, {self.rel_l2 / bound.l2:.3g} times its bound"


def _compare(flat: Tensor, reference: Reference, classes: dict[str, list[Bounds]], dtype: DType) -> _Evidence:
    every = [b for alternatives in classes.values() for b in alternatives]
    block = BLOCK[flat.device.type]
    parts = zip(flat.split(block), reference.expected.split(block), reference.magnitude.split(block), strict=True)
    rows = [_compare_block(*part, every, dtype) for part in parts]
    # One transfer from the device for everything.
    table = torch.stack(rows)
    top = table.amax(0).tolist()
    sums = table.sum(0).tolist()
    return _Evidence(
        max_abs=top[0],
        max_ulp=top[1],
        error_l2=math.sqrt(sums[2]),
        reference_l2=math.sqrt(sums[3]),
        result_is_zero=top[4] == 0,
        equal=top[5] == 0,
        not_finite=top[6] > 0,
        largest=dict(zip(every, top[7:], strict=True)),
    )


def _compare_block(got: Tensor, expected: Tensor, magnitude: Tensor, every: list[Bounds], dtype: DType) -> Tensor:
    """max |e|, max ulp, Σe², Σref², max |result|, any unequal, any not finite, then max |e| / bound of each."""
    values = got.double()
    finite = torch.isfinite(values)
    values = torch.where(finite, values, 0.0)
    rounded = expected.to(got.dtype)
    size = expected.abs()
    error = (values - expected).abs()
    exponent = (torch.frexp(size).exponent - 1).clamp_min(dtype.least_exponent)
    ulps = torch.ldexp(error, dtype.precision - 1 - exponent)
    row = [
        error.amax(),
        ulps.amax(),
        error.square().sum(),
        expected.square().sum(),
        values.abs().amax(),
        (got != rounded).any().double(),
        (~finite & torch.isfinite(rounded)).any().double(),
    ]
    for bound in every:
        allowed = magnitude * bound.sums
        if bound.of_ref:
            allowed += size * bound.of_ref
        if bound.rounded:
            allowed += magnitude * (magnitude > bound.exact_below) * bound.rounded
        row.append((error / allowed).nan_to_num(nan=0.0, posinf=math.inf).amax())
    return torch.stack(row)


@dataclass(frozen=True, slots=True)
class _IdentityEvidence:
    ratios: dict[str, list[float]]
    equal: bool


def _check_identity(result: Tensor, identity: Identity, classes: dict[str, list[Bounds]]) -> _IdentityEvidence:
    """Errors of the identity over what each class allows: signs make the errors of one position add in quadrature.

    A position is allowed what its elements' bounds allow together, and no more than twice what its share of the
    whole result's relative L2 error does: for long sums of partly rounded numbers that is far less.
    """
    grouped = result.reshape(identity.shape)[: identity.length]
    channels = identity.signs.numel()
    got, norm = _signed_sum(grouped, identity)
    residual = (got - identity.expected).abs()
    mean_to_rms = IDENTITY_SPREAD / math.sqrt(channels)
    error_l2 = _norm(residual)
    # Both norms estimate the exact gradient's; of a few signed sums all can be small by chance.
    whole_l2 = max(_norm(identity.expected), _norm(norm))
    typical = whole_l2 / math.sqrt(residual.numel())
    # Positions that sum more products than others (between strides, away from borders) err more.
    crowding = identity.magnitude * (math.sqrt(residual.numel()) / max(_norm(identity.magnitude), TINY))
    share = torch.maximum(norm, crowding.clamp_min(1) * typical)
    ratios: dict[str, list[float]] = {}
    for name, alternatives in classes.items():
        ratios[name] = []
        for bound in alternatives:
            allowed = norm * bound.of_ref + identity.magnitude * ((bound.sums + bound.rounded) * mean_to_rms)
            allowed = torch.minimum(allowed, share * (IDENTITY_SPREAD * bound.l2)) * IDENTITY_SIGMAS
            point = (residual / allowed).nan_to_num(nan=0.0, posinf=math.inf).amax().item()
            # The projected norms scatter about the true ones; twice the bound leaves room for few positions.
            whole = error_l2 / (2 * bound.l2 * whole_l2) if whole_l2 > 0 else 0.0
            ratios[name].append(max(point, whole))
    return _IdentityEvidence(ratios, bool((residual == 0).all()))


def _norm(tensor: Tensor) -> float:
    return tensor.square().sum().sqrt().item()


def _signed_sum(grouped: Tensor, identity: Identity) -> tuple[Tensor, Tensor]:
    """(Σ signs·result, ‖result‖₂) along the identity's axis, in float64, a slice of the first axis at a time."""
    sums, norms = [], []
    step = max(1, BLOCK[grouped.device.type] // max(1, grouped[0].numel()))
    for start in range(0, grouped.shape[0], step):
        values = grouped[start : start + step].double()
        moved = values.movedim(identity.axis, -1)
        sums.append((moved @ identity.signs).unsqueeze(identity.axis))
        norms.append(values.square().sum(identity.axis, keepdim=True).sqrt())
    return torch.cat(sums), torch.cat(norms)
