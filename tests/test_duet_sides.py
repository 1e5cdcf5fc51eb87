"""What the two sides of a duet are: their variables, their builds, and a torch that lacks what came after 2.0."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convbench.duet.sides import assigned, different_builds, place, said
from convbench.execution.child import Child
from convbench.execution.process import Place
from convbench.facts.values import InvalidValue
from tests.test_duet import STUB, python, run

OLD = """
import torch, torch.autograd.grad_mode, torch.utils._pytree, torch.compiler
for module, names in (
    (torch.utils, ("deterministic",)),
    (torch, ("OutOfMemoryError", "accelerator", "compiler", "get_default_device", "xpu", "get_autocast_dtype",
             "set_autocast_dtype", "float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64")),
    (torch.autograd.grad_mode, ("_unsafe_preserve_version_counter",)),
    (torch.utils._pytree, ("tree_leaves", "tree_map_", "tree_iter")),
    (torch._C, ("_get_fp32_precision_getter", "_set_fp32_precision_setter")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
from convbench.facts.spec import Spec
from convbench.execution.child_main import main
from convbench.execution.method_server import MethodServer
from convbench import runner
import json, sys
spec = Spec.from_dict(json.loads(sys.argv[1]))
print([(r["method"], r["status"], r["accuracy"]) for r in runner.run(spec, spec.arms, lambda *_: None).records])
server = MethodServer(None)
server.configure(spec.to_dict())
server.prepare("explicit")
server.ready(cuda_graph=False)
print(server.hello()["built_for"], server.sample(calls=2)["reading"]["seconds"] > 0)
"""
"""A torch without what later versions brought, as far as convbench has ever used it; then what a side does with it."""


@pytest.mark.slow
def test_torch_2_0_is_measured() -> None:
    import json

    from tests.settings import make_spec

    spec = make_spec(methods=["explicit", "unfold"], size=5, kernel=3, measure__enabled=True, measure__looks=[6])
    words = [sys.executable, "-W", "ignore", "-c", OLD, json.dumps(spec.to_dict())]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    rows, reading = done.stdout.splitlines()
    assert rows.count("'ok', 'ok'") + rows.count("'ok', 'exact'") == 3
    assert reading.endswith("True")


def test_variables_reach_their_own_side_alone(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nenv > "{tmp_path}/$$"\nexec {sys.executable} -S {STUB} "{{}}" "$@"\n')
    script.chmod(0o755)
    for name, words in (("a", ["ONEDNN_MAX_CPU_ISA=AVX2", "EMPTY="]), ("b", [])):
        child = Child(None, place=place(name, str(script), words))
        child.ready()
        child.close()
    seen = sorted("ONEDNN_MAX_CPU_ISA=AVX2\n" in path.read_text() for path in tmp_path.iterdir() if path != script)
    assert seen == [False, True]


def test_without_variables_a_side_has_those_of_this_process() -> None:
    assert place("a", sys.executable, []) == Place(sys.executable)
    assert assigned("--a-env", ["A=1=2", "B="]) == {"A": "1=2", "B": ""}


@pytest.mark.parametrize("word", ["OMP_NUM_THREADS", "=1", "2X=1", "A B=1"])
def test_what_sets_no_variable_is_named(word: str) -> None:
    with pytest.raises(InvalidValue, match="sets no environment variable; give NAME=VALUE") as raised:
        assigned("--b-env", [word])
    assert raised.value.key == "--b-env"


def test_builds_of_two_kinds_are_told() -> None:
    greetings = {"a": {"built_for": "CPU"}, "b": {"built_for": "CUDA 12.6"}}
    told = different_builds(greetings)
    assert told is not None
    assert told.startswith("the two builds of torch differ in kind (a for CPU and b for CUDA 12.6)")
    assert different_builds({"a": {"built_for": "CUDA 11.8"}, "b": {"built_for": "CUDA 12.6"}}) is None
    assert different_builds({"a": {"built_for": "CPU"}, "b": {}}) is None
    assert said("a", {"torch": "2.0", "python": "3.10", "built_for": "CPU"}, ["X=1"]) == (
        "a: torch 2.0 (built for CPU) · Python 3.10 · X=1"
    )


def test_the_output_names_variables_and_builds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = python(tmp_path, "old", built_for="CPU")
    b = python(tmp_path, "new", built_for="CUDA 12.6")
    assert run(tmp_path, a, b, "--b-env", "ONEDNN_MAX_CPU_ISA=AVX2", "limit=1")[0] == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in out
    assert "warning: the two builds of torch differ in kind" in out
