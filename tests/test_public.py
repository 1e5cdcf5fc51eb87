"""What the author of a method may rely on: the names of `convbench` itself, with types that mypy --strict accepts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import convbench
from convbench.facts.record import Column
from convbench.measurement import problem

pytestmark = pytest.mark.repo

METHOD = """
from collections.abc import Callable
from typing import Any

import torch

import convbench
from convbench import testing


def prepare(problem: convbench.Problem) -> Callable[[], torch.Tensor]:
    case: convbench.Case = problem.case
    if case.groups != 1:
        raise convbench.Unsupported("groups=1 only")
    weight: torch.Tensor = problem.weight
    return lambda: torch.nn.functional.conv2d(problem.grad_output, weight, None, case.stride, case.padding)


@convbench.plain(wrt="input")
def grad_input(
    grad_output: torch.Tensor, input: torch.Tensor, weight: torch.Tensor, case: convbench.Case
) -> torch.Tensor:
    return torch.nn.functional.conv2d(grad_output, weight, None, case.stride, case.padding, case.dilation, case.groups)


backward = convbench.backward_of(grad_input, op="conv2d")


def sweep() -> bool:
    table = convbench.run("kernel=3,5", methods=["autograd", prepare], dtype="float32")
    verdict: convbench.Verdict = convbench.check(grad_input, kernel=[3, 5])
    return bool(verdict) and len(table) > 0 and [one.reason for one in verdict.judged] != []


@testing.cases("resnet50", dtype=["float32"])
def test_gradient(case: Any) -> None:
    testing.assert_gradient(prepare, case)


def columns(folder: str) -> list[str]:
    assert convbench.COLUMNS["speedup"].unit in ("", "x")
    table = convbench.load(folder)
    return [str(name) for name in table.columns if name in convbench.COLUMNS]
"""


def test_a_method_and_a_reader_pass_mypy_strict(tmp_path: Path) -> None:
    (tmp_path / "my_kernels.py").write_text(METHOD, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*command, str(tmp_path / "my_kernels.py")],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_is_there() -> None:
    assert {name for name in convbench.__all__ if not hasattr(convbench, name)} == set()
    assert convbench.Problem is problem.Problem
    assert convbench.testing.__all__ == ["assert_gradient", "cases"]
    page = (Path(__file__).parent.parent / "docs" / "python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)[`(]", page[page.index("## Names") :]))
    assert set(convbench.__all__) - {"__version__"} <= named
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(convbench, "nothing")  # noqa: B009


def test_importing_it_costs_neither_torch_nor_pandas() -> None:
    code = "import convbench, sys; sys.exit(bool({'torch', 'pandas', 'pytest', 'hydra'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_columns_are_described() -> None:
    assert all(isinstance(column, Column) and column.name == name for name, column in convbench.COLUMNS.items())
