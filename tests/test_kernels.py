"""Names of what a call runs underneath: told in one short text, seen on a real CPU, and named where a time changed."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from convbench.comparison.output_options import of_pairs
from convbench.comparison.regressions import judge
from convbench.comparison.result import CellKey, Policy
from convbench.comparison.underneath import name_kernels
from convbench.devices import device_of
from convbench.devices.kernels import covered, operations, primitive_of
from convbench.facts.kernels import LONGEST, MOST, changed, plain, told
from convbench.facts.spec import Switches
from convbench.measurement.switches import switched
from tests import made_up

CUTLASS = (
    "void cutlass__5x_cudnn::Kernel<cutlass_tensorop_s1688dgrad_optimized_tf32_128x128_16x4_nhwc_align4>"
    "(cutlass_tensorop_s1688dgrad_optimized_tf32_128x128_16x4_nhwc_align4::Params)"
)
FILL = (
    "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>, std::array<char*, 1ul> >"
    "(int, at::native::FillFunctor<float>, std::array<char*, 1ul>)"
)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Memset (Device)", "Memset"),
        ("sm80_xmma_dgrad_f32f32", "sm80_xmma_dgrad_f32f32"),
        (CUTLASS, CUTLASS[5 : CUTLASS.index("(cut")]),
        ("void f<(anonymous namespace)::K>(int)", "f<K>"),
        ("(anonymous namespace)::copy(float*)", "copy"),
        ("a; b", "a, b"),
    ],
)
def test_name_is_without_what_it_takes(name: str, short: str) -> None:
    assert plain(name) == short


def test_long_names_stay_apart() -> None:
    """They differ in the middle, which is cut."""
    one, other = (plain(f"k<{'a' * 90}{x}{'b' * 90}>(int)") for x in "xy")
    assert one != other
    assert len(one) <= LONGEST
    assert one.partition("…")[0] == other.partition("…")[0]
    assert plain(FILL).startswith("at::native::vectorized_elementwise_kernel<4,")


def test_text_is_short_whatever_ran() -> None:
    assert told(["reorder", "conv", "reorder"]) == "2× reorder; conv"
    assert told([]) is None
    many = [f"{'kernel' * 40}{n}" for n in range(1000)]
    assert len(str(told(many))) <= MOST * (LONGEST + 2)
    assert told(many) != told([*many[:-1], "other"])


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("a; b", "a; c", "kernel b → c"),
        ("a; b", "a; 3× b", "kernel b → 3× b"),
        ("a", "a; b; c", "kernels none → b + c"),
        ("a; b", "b; a", "the same kernels in another order"),
        ("a", "a", None),
        (None, "a", None),
        ("a", None, None),
    ],
)
def test_change_names_what_only_one_has(old: str | None, new: str | None, text: str | None) -> None:
    assert changed(old, new) == text


def test_line_of_onednns_log() -> None:
    line = "onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx512_core,backward_data,src:f32:a,…,3.5\n"
    assert primitive_of(line) == "onednn convolution backward_data jit:avx512_core"
    assert primitive_of("onednn_verbose,v1,primitive,exec,cpu,reorder,jit:uni,undef,src,…") == "onednn reorder jit:uni"
    assert primitive_of("onednn_verbose,v1,info,oneDNN v3.7.1 (commit 8d26)") is None
    assert primitive_of("exec,cpu,convolution") is None


def test_operations_that_are_made_of_others_are_told_by_those() -> None:
    x = torch.ones(2, 3)
    # matmul is mm alone, and t() a view; addmm copies its first operand and multiplies as well.
    assert operations(lambda: x.t() @ x) == ["mm"]
    assert operations(lambda: torch.addmm(torch.ones(3), x, torch.ones(3, 3))) == ["fill_", "fill_", "addmm", "copy_"]
    assert operations(lambda: x.view(6).expand(2, 6)) == []


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_primitives_of_onednn_are_named_where_it_runs_alone(capfd: pytest.CaptureFixture[str]) -> None:
    x, w = torch.randn(2, 16, 14, 14), torch.randn(16, 16, 3, 3)

    def call() -> Any:
        os.write(1, b"said meanwhile\n")
        return conv2d(x, w)

    found = operations(call)
    assert found
    (convolution,) = [name for name in found if name.startswith("onednn convolution forward")]
    assert len(convolution.split()) == 4
    with switched(Switches(onednn=False), "cpu"):
        without = operations(lambda: conv2d(x, w))
    assert without
    assert not [name for name in without if "onednn" in name]
    conv2d(x, w)
    assert capfd.readouterr().out == "said meanwhile\n", "others' words stay, oneDNN's come no more"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12))
def test_time_at_work_counts_what_overlaps_once(spans: list[tuple[int, int]]) -> None:
    ends = [(start, start + length) for start, length in spans]
    assert covered(ends) == len({at for start, end in ends for at in range(start, end)})


@pytest.mark.gpu
def test_kernels_of_a_gpu() -> None:
    x = torch.randn(64, 64, device="cuda")
    underneath = device_of("cuda").kernels(lambda: torch.mm(x, x).fill_(1.0))
    assert underneath is not None
    found, busy_s = underneath
    assert busy_s is not None
    assert 1e-6 < busy_s < 1
    assert found
    assert "FillFunctor" in found[-1]
    assert len(found) >= 2


def test_regression_names_the_kernel_that_changed() -> None:
    arms = {"autograd": 1e-3, "explicit": 1e-3, "unfold": 1e-3}
    spec = made_up.spec(tuple(arms))
    old = [row | {"kernels": "a; b"} for row in made_up.timed(spec, arms)]
    new = [row | {"kernels": "a; c"} for row in made_up.timed(spec, {**arms, "explicit": 2e-3})]
    before = {CellKey.of(row): row for row in old}
    judged = name_kernels(judge(old, new, Policy()), before)
    (failure,) = judged.failures
    assert failure.key.method == "explicit"
    assert failure.text.endswith("; kernel b → c")
    unknown = name_kernels(judge(old, new, Policy()), {})
    assert "kernel" not in unknown.failures[0].text


def test_side_of_a_pair_names_the_kernel_that_changed() -> None:
    rows = made_up.timed(made_up.spec(("autograd", "explicit")), {"autograd": 1e-3, "explicit": 2e-3})
    names = {"autograd": ("explicit@a", "x"), "explicit": ("explicit@b", "y")}
    sides = [
        row | {"method": names[row["method"]][0], "baseline": "explicit@a", "kernels": names[row["method"]][1]}
        for row in rows
    ]
    (failure,) = of_pairs(sides, ("a", "b"), Policy()).judgement.failures
    assert failure.text.endswith("; kernel x → y")
