"""The least time of a case, against counting by hand and in loops."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given

from convbench.facts.limits import CACHE_RATE, SLACK, fewest_products, least_time, used_shares
from convbench.facts.spec import Spec

from .settings import make_spec, specs

CEILINGS = {"ceiling_tflops": 0.1, "ceiling_gbps": 10.0}


def least(spec: Spec, cache_bytes: float = 0.0, exact: bool = True, **more: float) -> float:
    found = least_time(spec.case, spec.wrt, spec.dtype, {**CEILINGS, **more}, cache_bytes, exact)
    assert found is not None
    return found


def test_the_notebook_needs_as_many_products_as_its_output_has_positions() -> None:
    """17 inputs and 9 taps meet 25 outputs on each axis: 25² of the direct algorithm's 153² products."""
    assert fewest_products(make_spec().case, "input") == 4 * 25**2


def test_a_kernel_of_one_has_no_faster_algorithm() -> None:
    spec = make_spec(op="conv2d", kernel=1, size=8, batch=3)
    assert 2 * fewest_products(spec.case, "input") == spec.case.flops("input")


@given(specs())
def test_used_positions_are_those_that_a_loop_finds(spec: Spec) -> None:
    case, seen = spec.case, []
    for axis in range(case.dims):
        pairs = [
            (o, t, i)
            for o, t in product(range(case.small_size[axis]), range(case.kernel[axis]))
            if 0 <= (i := o * case.stride[axis] + t * case.dilation[axis] - case.padding[axis]) < case.large_size[axis]
        ]
        seen.append([len({pair[k] for pair in pairs}) for k in range(3)])
    shares = [1.0, 1.0]
    for (outputs, _, inputs), small, large in zip(seen, case.small_size, case.large_size, strict=True):
        shares = [shares[0] * outputs / max(1, small), shares[1] * inputs / max(1, large)]
    assert used_shares(case) == pytest.approx(shares)
    assert 2 * fewest_products(case, spec.wrt) <= case.flops("input")


def test_arithmetic_binds_where_there_is_much_of_it() -> None:
    spec = make_spec(op="conv2d", batch=8, in_channels=64, out_channels=64, size=56, kernel=3, padding=1)
    assert least(spec, 1e9) == pytest.approx(2 * 8 * 64 * 64 * 56**2 / (SLACK * 0.1e12))
    assert least(spec, 1e9, exact=False) < least(spec, 1e9)


def test_the_fastest_product_of_any_type_counts() -> None:
    spec = make_spec(op="conv2d", batch=8, in_channels=64, out_channels=64, size=56, kernel=3, padding=1)
    assert least(spec, 1e9, ceiling_float32_tflops=0.4) == pytest.approx(least(spec, 1e9) / 4)


def test_memory_binds_where_there_is_little_arithmetic() -> None:
    spec = make_spec(op="conv2d", batch=8, in_channels=1, out_channels=1, size=64, kernel=1, wrt="bias", bias=True)
    moved = 4 * (8 * 64**2 + 1)
    assert least(spec) == pytest.approx(moved / (SLACK * 10e9))
    assert least(spec, 1e9) == pytest.approx(moved / (CACHE_RATE * 10e9))
    assert least(spec, moved / 2) == pytest.approx((moved / 2 / SLACK + moved / 2 / CACHE_RATE) / 10e9)


def test_what_a_long_stride_never_reads_need_not_be_moved() -> None:
    spec = make_spec(op="conv2d", kernel=1, stride=2, size=8)
    assert used_shares(spec.case) == (1.0, 0.25)


def test_without_a_ceiling_nothing_is_said() -> None:
    spec = make_spec()
    assert least_time(spec.case, "input", "float32", {"ceiling_gbps": 10.0}, 0.0) is None
    assert least_time(spec.case, "input", "float32", {"ceiling_tflops": 10.0}, 0.0) is None
