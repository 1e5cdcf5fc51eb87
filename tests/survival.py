"""Configurations whose convolution ends the process inside torch: told apart, so that the rest can be judged in one.

oneDNN 3.12 as it is in torch 2.13.0, on CPUs with AVX-512 in float16 or bfloat16: its brgemm kernel reads out of
bounds where, along some axis, no tap of any position touches anything but padding. In plain torch:

    torch.nn.functional.conv1d(torch.ones(1, 1, 1).half(), torch.ones(1, 1, 1).half(), stride=2, padding=1, dilation=2)

`python -m tests.survival` runs the convolutions of drawn 16-bit configurations that are not of this kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from hypothesis import given, settings

from convbench.facts.case import ConvCase
from convbench.facts.spec import Spec

from .settings import specs

SIXTEEN_BITS = ("float16", "bfloat16")


def touches_only_padding(case: ConvCase) -> bool:
    """Whether along some axis no tap of any position of the small side meets an element of the large side."""
    axes = zip(case.small_size, case.large_size, case.kernel, case.stride, case.padding, case.dilation, strict=True)
    return any(
        not any(0 <= o * s + t * d - p < large for o in range(small) for t in range(k))
        for small, large, k, s, p, d in axes
    )


def may_kill(spec: Spec) -> bool:
    """Whether oneDNN's convolution may end the process."""
    return spec.dtype in SIXTEEN_BITS and spec.switches.onednn and touches_only_padding(spec.case)


@contextmanager
def survived(spec: Spec) -> Iterator[None]:
    """The configuration's own switches, but oneDNN off where it may end the process."""
    from convbench.measurement.switches import switched

    with switched(replace(spec.switches, onednn=spec.switches.onednn and not may_kill(spec))):
        yield


def main() -> None:
    """Every convolution of 16-bit configurations that should survive; says how many there were."""
    from convbench.measurement import problem
    from convbench.methods.own import context_of, load

    ran = 0

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(specs())
    def run(spec: Spec) -> None:
        nonlocal ran
        for dtype in SIXTEEN_BITS:
            one = replace(spec, dtype=dtype)
            if may_kill(one):
                continue
            made = problem.make(one)
            for name in ("autograd", "explicit"):
                prepare = load(name)
                with context_of(prepare)():
                    prepare(made)()
            ran += 1

    run()
    print(ran)


if __name__ == "__main__":
    main()
