"""The examples are right, their mistake is found, and the commands in their README work."""

from __future__ import annotations

import csv
import importlib.util
import os
import random
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from torch import Tensor

from convbench import cli
from convbench.facts.case import COLUMN_PREFIX
from convbench.facts.spec import Spec
from convbench.facts.values import IllegalCase
from convbench.measurement import accuracy, problem, reference
from convbench.measurement.problem import Problem
from convbench.methods import Unsupported
from convbench.methods.own import load
from examples import plain_dgrad

from .settings import examples, make_spec, specs

ROOT = Path(__file__).parent.parent
TRITON = importlib.util.find_spec("triton") is not None


def verdict_of(result: Tensor, made: Problem) -> str:
    return accuracy.judge(result, made, reference.compute(made, made.spec.reference_limits)).verdict


@examples(50)
@given(specs(wrt="input", order=1))
def test_both_contracts_are_right_for_every_convolution(spec: Spec) -> None:
    made = problem.make(spec)
    for name in ("grad_input", "prepared"):
        allowed = ("exact",) if spec.fill == "integer" else ("ok",)
        assert verdict_of(load(f"examples.plain_dgrad:{name}")(made)(), made) in allowed


@examples(20)
@given(specs(wrt="input", order=1, fill="integer"))
def test_the_wrong_one_fails_wherever_flipping_changes_anything(spec: Spec) -> None:
    made = problem.make(spec)
    flipped = made.weight.flip(list(range(2, made.weight.dim())))
    wrong = load("examples.plain_dgrad:wrong")(made)()
    right = load("explicit")(made)()
    if torch.equal(flipped, made.weight):
        assert torch.equal(wrong, right)
    if not torch.equal(wrong, right):
        assert verdict_of(wrong, made) == "fail"


def test_the_wrong_one_is_wrong() -> None:
    made = problem.make(make_spec(op="conv2d", size=8, kernel=3))
    assert verdict_of(load("examples.plain_dgrad:wrong")(made)(), made) == "fail"


@pytest.mark.parametrize("settings", [{"wrt": "weight"}, {"order": 2}, {"wrt": "bias", "bias": True}])
def test_what_they_do_not_cover_is_unsupported(settings: dict[str, object]) -> None:
    made = problem.make(make_spec(**settings))
    for name in ("grad_input", "prepared"):
        with pytest.raises(Unsupported, match=r"covers|marked for"):
            load(f"examples.plain_dgrad:{name}")(made)


def test_overlaps_are_those_of_the_definition() -> None:
    """1-D by hand: conv, size 5, kernel 2, stride 2, padding 1, dilation 3: output 2, positions −1+3t and 1+3t."""
    case = make_spec(op="conv1d", size=5, kernel=2, stride=2, padding=1, dilation=3).case
    assert case.output_size == (2,)
    assert list(plain_dgrad.overlaps(case)) == [
        ((0,), (slice(1, 2),), (slice(1, 2, 2),)),
        ((1,), (slice(0, 2),), (slice(2, 5, 2),)),
    ]


def commands() -> list[list[str]]:
    """The README's console commands as argument lists, without the leading `$ python -m convbench`."""
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^\$ (?:python -m convbench )(.+)$", text, flags=re.MULTILINE)]


@pytest.mark.parametrize("arguments", [a for a in commands() if "device=cuda" not in a], ids=lambda a: a[0])
def test_commands_of_the_readme_work(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the timing, which has its own tests, and in this process, which has imported torch already."""
    monkeypatch.chdir(ROOT)
    wrong = any("wrong" in a for a in arguments)
    arguments = [a for a in arguments if not a.startswith("measure=")]
    code = cli.main([*arguments, "measure=none", f"out={tmp_path / 'out'}", "isolation=none"])
    assert code == (1 if wrong else 0)
    printed = capsys.readouterr().out
    assert ("fail" in printed) is wrong
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as file:
        statuses = Counter(row["status"] for row in csv.DictReader(file))
    engines = any("jax" in a for a in arguments)  # which are not installed here
    assert set(statuses) == ({"ok", "unsupported"} if engines else {"ok"})


def planar_cases(count: int) -> list[dict[str, object]]:
    """Settings of legal conv2d and conv_transpose2d problems, more channels than a tile among them."""
    rng = random.Random(0)
    found: list[dict[str, object]] = []

    def axes(low: int, high: int) -> list[int]:
        return [rng.randint(low, high) for _ in range(2)]

    while len(found) < count:
        groups, transposed = rng.choice([1, 1, 2]), rng.random() < 0.5
        values: dict[str, object] = {
            "op": "conv_transpose2d" if transposed else "conv2d",
            "batch": rng.randint(1, 3),
            "in_channels": groups * rng.choice([1, 3, 20, 70]),
            "out_channels": groups * rng.choice([1, 3, 20]),
            "groups": groups,
            "size": axes(1, 9),
            "kernel": axes(1, 4),
            "stride": axes(1, 3),
            "padding": axes(0, 4),
            "dilation": axes(1, 3),
            "output_padding": axes(0, 2) if transposed else [0, 0],
        }
        try:
            make_spec(**values)
        except IllegalCase:
            continue
        found.append(values)
    return found


@pytest.mark.skipif(TRITON, reason="triton is installed")
def test_without_triton_the_example_says_so() -> None:
    with pytest.raises(Unsupported, match="triton is not installed"):
        load("examples.triton_dgrad:grad_input")


@pytest.mark.skipif(not TRITON, reason="needs triton")
def test_triton_on_the_cpu_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="covers device=cuda; not cpu"):
        load("examples.triton_dgrad:grad_input")(problem.make(make_spec()))


@pytest.mark.slow
@pytest.mark.skipif(not TRITON, reason="needs triton")
def test_triton_kernel_is_right_in_the_interpreter(tmp_path: Path) -> None:
    """15 geometries × 2 dtypes × 2 layouts through the command line; integer data: right means to the last bit."""
    rows = [
        {
            f"{COLUMN_PREFIX[key]}_{axis}" if isinstance(value, list) else key: v
            for key, value in case.items()
            for axis, v in (zip("hw", value, strict=True) if isinstance(value, list) else [("", value)])
        }
        for case in planar_cases(15)
    ]
    with (tmp_path / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    arguments = [
        *("-m", "dtype=float32,float16", "memory_format=contiguous,channels_last", "fill=integer", "measure=none"),
        *("methods=[explicit,examples.triton_dgrad:grad_input]", "baseline=explicit", "strict=true"),
        *(f"cases={tmp_path / 'cases.csv'}", f"out={tmp_path / 'out'}"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "convbench", *arguments],
        cwd=ROOT, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as file:
        verdicts = Counter((row["method"], row["status"], row["accuracy"]) for row in csv.DictReader(file))
    assert verdicts == {
        ("explicit", "ok", "exact"): 60,
        ("examples.triton_dgrad:grad_input", "ok", "exact"): 60,
    }


COMPILE = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from examples.triton_dgrad import kernel

dtype, precision, transposed = sys.argv[1], sys.argv[2], sys.argv[3] == "1"
pairs = dict.fromkeys(("size", "stride", "padding", "dilation"), ("i32",) * 2)
fours = dict.fromkeys(("gy_strides", "gx_strides", "gx_shape", "gy_shape"), ("i32",) * 4)
known = {"transposed": transposed, "precision": precision, "rows": 64, "columns": 16, "depth": 32}
types = {**dict.fromkeys(("gy", "w", "gx"), "*" + dtype), "w_strides": ("i32",) * 5, **pairs, **fours}
source = ASTSource(kernel, {n: types.get(n, "constexpr") for n in kernel.arg_names}, constexprs=known)
print(len(compile(source, target=GPUTarget("cuda", 80, 32)).asm["cubin"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not TRITON, reason="needs triton")
@pytest.mark.parametrize("transposed", ["0", "1"])
@pytest.mark.parametrize(
    ("dtype", "precision"), [("fp32", "ieee"), ("fp32", "tf32"), ("fp16", "ieee"), ("bf16", "ieee")]
)
def test_triton_kernel_compiles_for_a_gpu(dtype: str, precision: str, transposed: str) -> None:
    """Machine code for compute capability 8.0; triton brings the assembler, so that no GPU is needed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE, dtype, precision, transposed],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 1000


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_triton_kernel_is_right_on_a_gpu(dtype: str, memory_format: str) -> None:
    prepare: Callable[[Problem], Callable[[], Tensor]] = load("examples.triton_dgrad:grad_input")
    for values in planar_cases(30):
        for fill, verdict in (("integer", "exact"), ("normal", "ok")):
            spec = make_spec(**values, device="cuda", dtype=dtype, memory_format=memory_format, fill=fill)
            made = problem.make(spec)
            assert verdict_of(prepare(made)(), made) == verdict, (values, fill)
