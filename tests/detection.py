"""How often one wrong element of a sampled result passes, as docs/accuracy.md has it: `python -m tests.detection`."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

from convbench.facts.spec import ReferenceLimits
from convbench.measurement import accuracy, contraction, problem, reference
from convbench.methods.own import load

from .settings import make_spec

LARGE = {"op": "conv2d", "batch": 4, "in_channels": 512, "out_channels": 64, "size": 8, "kernel": 3, "padding": 1}
PRECISIONS = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
TIMES_THE_BUDGET = (1.1, 10, 100)
SPOILT = {"its neighbour's": None, "zero": 0.0, "1.1 times its own": 1.1}
TRIALS = 300


def overlooked(dtype: str, channels: int) -> tuple[float, float]:
    """The stated probabilities that one wrong element passes as `ok`, and as `ok` or `reduced`: erf(4·ℓ·√c), where c
    channels are summed; for `reduced` ℓ is that of its bound times ‖S‖/‖reference‖."""
    u_out = PRECISIONS[dtype]
    ok, reduced = (0.0, 2 * 2.0**-10) if dtype == "float32" else (u_out / 2, 4 * u_out)
    # Of products of normal numbers B is 2/π times K and the gradient √K: ‖S‖² is 1 + (2/π)² times ‖reference‖².
    size = math.hypot(1, 2 / math.pi)
    return math.erf(4 * ok * math.sqrt(channels)), math.erf(4 * size * reduced * math.sqrt(channels))


def passed(right: Tensor, factor: float | None, made: problem.Problem, truth: reference.Reference) -> tuple[int, int]:
    """How many of TRIALS single wrong elements outside the sample pass as `ok`, and as `ok` or `reduced`."""
    assert truth.index is not None
    sampled = set(truth.index.tolist())
    generator = torch.Generator().manual_seed(0)
    found: Counter[str] = Counter()
    while found.total() < TRIALS:
        at = int(torch.randint(1, right.numel(), (1,), generator=generator))
        wrong = right.clone().view(-1)
        wrong[at] = wrong[at - 1] if factor is None else wrong[at] * factor
        if at not in sampled and wrong[at] != right.view(-1)[at]:
            found[accuracy.judge(wrong.view(right.shape), made, truth).verdict] += 1
    return found["ok"], found["ok"] + found["reduced"]


def detection() -> None:
    """One wrong element among those of 512 channels, where the reference is beyond the budget by some factor."""
    print("| dtype | work over `max_flops` | channels summed | stated | " + " | ".join(SPOILT) + " |")
    print("|---|---|---|---|" + "---|" * len(SPOILT))
    for dtype in PRECISIONS:
        made = problem.make(make_spec(**LARGE, dtype=dtype))
        with torch.inference_mode():
            right = load("explicit" if dtype == "float32" else "upcast")(made)().contiguous()
        for times in TIMES_THE_BUDGET:
            truth = reference.compute(made, ReferenceLimits(max_flops=contraction.flops(made.case) / times))
            assert truth.identity is not None
            summed = int(truth.identity.mixing.abs().sum(0).max())
            cells = [passed(right, factor, made, truth) for factor in SPOILT.values()]
            said = [tuple(f"{100 * n / TRIALS:.1f}%" for n in pair) for pair in cells]
            stated = ", ".join(f"{100 * p:.1f}%" for p in overlooked(dtype, summed))
            print(
                f"| {dtype} | {times:g} | {summed} | {stated} | " + " | ".join(", ".join(pair) for pair in said) + " |"
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    detection()
