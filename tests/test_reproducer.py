"""The script of plain torch that shows a failure: it finds wrong what the judge finds wrong, without convbench."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from convbench.facts.fills import FILLS
from convbench.facts.values import InvalidValue
from convbench.failures.reproducer import Reproducer, can_draw, script
from convbench.failures.sources import copied
from convbench.measurement import problem, reference
from convbench.measurement.accuracy import judge
from convbench.measurement.operands import operands_of
from convbench.methods import METHODS, Unsupported
from convbench.methods.own import load

from .bare import bare_environment
from .settings import make_spec

SHAPE: dict[str, Any] = {
    "op": "conv2d",
    "batch": 2,
    "in_channels": 4,
    "out_channels": 6,
    "size": [7, 6],
    "kernel": [3, 2],
    "stride": [2, 1],
    "padding": 1,
    "dilation": [1, 2],
    "groups": 2,
    "bias": True,
}


def run(asked: Reproducer, file: Path = Path("reproduce.py")) -> tuple[dict[str, Any], int]:
    """What the script's names mean after it ran in this process, and its exit code."""
    text = script(asked)
    assert "import convbench" not in text
    module = sys.modules["reproduce"] = ModuleType("reproduce")  # dataclasses look their module up
    module.__file__ = str(file)
    names: dict[str, Any] = vars(module)
    exec(compile(text, str(file), "exec"), names)
    with pytest.raises(SystemExit) as ended:
        names["main"]()
    return names, int(str(ended.value.code))


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    sys.modules.pop("reproduce", None)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"wrt": "weight"},
        {"wrt": "bias"},
        {"op": "conv_transpose2d", "output_padding": [1, 0]},
        {"op": "conv_transpose2d", "wrt": "weight", "dtype": "bfloat16", "memory_format": "channels_last"},
        {"op": "conv3d", "size": 4, "kernel": [1, 2, 3], "stride": 1, "padding": [0, 1, 1], "dilation": 1},
        {"op": "conv1d", "size": 9, "kernel": 3, "stride": 2, "padding": 1, "dilation": 2, "dtype": "float64"},
        {"wrt": "output"},
        {"wrt": "output", "op": "conv_transpose2d", "output_padding": [1, 0], "bias": False},
        {"order": 2, "wrt": "grad_output"},
        {"order": 2, "wrt": "weight", "op": "conv_transpose2d"},
    ],
)
def test_shipped_methods_are_right_in_their_scripts(settings: dict[str, Any]) -> None:
    """With the result that each has in convbench to the last bit, and an expectation that is the reference's."""
    spec = make_spec(**{**SHAPE, **settings})
    made = problem.make(spec)
    truth = reference.compute(made, spec.reference_limits)
    covered = 0
    for method in sorted(METHODS.keys() - {"compile"}):
        try:
            prepared = load(method)(made)
        except Unsupported:
            continue
        names, code = run(Reproducer(spec, method, "Nothing is wrong."))
        assert code == 0, method
        call, context = names[method](names["problem"])
        with context():
            assert torch.equal(call(), prepared()), method
        expected = names["expected_gradient"](torch.Tensor.double).reshape(-1)
        torch.testing.assert_close(expected, truth.expected, rtol=1e-12, atol=1e-12 * float(truth.magnitude.max()))
        covered += 1
    assert covered >= 4


@pytest.mark.parametrize("fill", sorted(FILLS.keys() - {"notebook"}))
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_operands_are_drawn_as_convbench_draws_them(fill: str, dtype: str) -> None:
    spec = make_spec(**{**SHAPE, "fill": fill, "dtype": dtype, "seed": 3, "order": 2, "memory_format": "channels_last"})
    names, code = run(Reproducer(spec, "explicit", ""))
    assert code == 0
    drawn = operands_of(problem.make(spec))
    assert names["operands"].keys() == drawn.keys()
    for name, tensor in drawn.items():
        assert torch.equal(names["operands"][name], tensor)
        assert names["operands"][name].stride() == tensor.stride()


@pytest.mark.parametrize("wrt", ["input", "weight", "bias"])
@pytest.mark.parametrize("factor", [1.0, 1 + 1e-5, 1.002, 1.1, torch.nan, 0.0])
def test_wrong_is_what_the_judge_calls_wrong(wrt: str, factor: float) -> None:
    """Of results that are off by a factor, between one rounding and far off: within a class of bounds or beyond all."""
    spec = make_spec(**{**SHAPE, "wrt": wrt})
    made = problem.make(spec)
    got = load("explicit")(made)() * factor
    names, _ = run(Reproducer(spec, "explicit", ""))
    verdict = judge(got, made, reference.compute(made, spec.reference_limits)).verdict
    assert names["compare"](got) == (verdict == "fail")


def test_what_cannot_be_drawn_needs_a_file() -> None:
    spec = make_spec(fill="notebook")
    assert not can_draw(spec)
    with pytest.raises(InvalidValue, match="fill=notebook cannot be drawn"):
        script(Reproducer(spec, "explicit", ""))


def test_a_result_that_is_no_gradient_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    names, _ = run(Reproducer(make_spec(**SHAPE), "explicit", ""))
    assert names["compare"](torch.zeros(3))
    assert "not what is wanted: Tensor [3], not [2, 4, 7, 6]" in capsys.readouterr().out


def test_a_rival_is_timed_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    _, code = run(Reproducer(make_spec(**SHAPE), "autograd", "", rival="explicit", slower=1e-9))
    assert code == 1
    out = capsys.readouterr().out
    assert out.count("right: 0 of 336") == 2
    assert "times as long" in out


EACH = """
import runpy, sys
for file in sys.argv[1:]:
    try:
        runpy.run_path(file, run_name="__main__")
    except SystemExit as ended:
        print("exit code", ended.code)
"""

OWN = """
import convbench, torch.nn.functional as F
@convbench.plain(op="conv2d", wrt="input")
def unflipped(grad_output, input, weight, case):
    return F.conv2d(grad_output, weight.transpose(0, 1), None, 1, 1)
"""


@pytest.mark.slow
def test_scripts_run_where_torch_alone_is_installed(tmp_path: Path) -> None:
    """A real interpreter of an environment without convbench: a shipped method, and an own one whose file is gone."""
    python = bare_environment(tmp_path / "bare") / "bin" / "python"
    shipped, own = tmp_path / "shown.py", tmp_path / "own.py"
    environment = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    asked = Reproducer(
        make_spec(**SHAPE, onednn=False), "unfold", 'It says """so".', environment=environment, name="shown.py"
    )
    shipped.write_text(script(asked), encoding="utf-8")
    assert "ONEDNN_MAX_CPU_ISA=AVX2 python shown.py" in shipped.read_text("utf-8")
    (tmp_path / "copy.py").write_text(OWN)
    own.write_text(script(of_own(tmp_path / "gone" / "mistaken_kernels.py")), encoding="utf-8")
    command = [python, "-I", "-c", EACH, shipped, own]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith("right: 0 of 336 elements"), done.stdout
    assert lines[4].startswith("WRONG: "), done.stdout
    assert [line for line in lines if line.startswith("exit")] == ["exit code 0", "exit code 1"]


def of_own(file: Path) -> Reproducer:
    spec = make_spec(op="conv2d", batch=2, in_channels=3, out_channels=3, size=5, kernel=3, padding=1)
    return Reproducer(spec, "mistaken_kernels:unflipped", "", own_file=file, own_copy="copy.py")


def test_own_method_is_taken_from_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a script shows whether it has been mended; without a copy its absence is what is told."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mistaken_kernels", raising=False)
    with pytest.raises(ModuleNotFoundError, match="mistaken_kernels"):
        run(of_own(tmp_path / "mistaken_kernels.py"), tmp_path / "reproduce.py")
    (tmp_path / "mistaken_kernels.py").write_text(
        OWN.replace("weight.transpose(0, 1)", "weight.flip(2, 3).transpose(0, 1)")
    )
    importlib.invalidate_caches()
    _, code = run(of_own(tmp_path / "mistaken_kernels.py"), tmp_path / "reproduce.py")
    assert code == 0


SEVERAL = """
import convbench, torch
from types import SimpleNamespace
def both(problem, factor=2):
    case = problem.case
    geometry = case.stride, case.padding, case.dilation, False, (0, 0), case.groups
    found = torch.ops.aten.convolution_backward(
        problem.grad_output, problem.input, problem.weight, None, *geometry, [True, True, False]
    )
    return found[0], found[1] * factor
@convbench.together
def at_once(problem):
    assert problem.wrt == "input+weight" and problem.wrts == ("input", "weight")
    return lambda: both(problem)
def in_turn(problem):
    assert tuple(problem.shape) == tuple(getattr(problem, problem.wrt).shape)
    return lambda: both(problem)[problem.wrt == "weight"]
@convbench.plain(wrt="input+weight")
def plainly(grad_output, input, weight, case):
    return both(SimpleNamespace(grad_output=grad_output, input=input, weight=weight, case=case))
"""


@pytest.mark.parametrize("function", ["at_once", "in_turn", "plainly"])
def test_own_method_is_asked_for_several_gradients_as_the_run_asked(tmp_path: Path, function: str) -> None:
    """However it computes them; the script looks at the one that was wrong."""
    module = f"several_{function}"
    (tmp_path / f"{module}.py").write_text(SEVERAL)
    for wrt, code in (("input", 0), ("weight", 1)):
        spec = make_spec(op="conv2d", batch=2, in_channels=3, out_channels=2, size=5, kernel=3, wrt=wrt)
        file = tmp_path / f"{module}.py"
        asked = Reproducer(spec, f"{module}:{function}", "", own_file=file, together="input+weight")
        assert run(asked)[1] == code


def test_sources_are_copied_with_what_they_need() -> None:
    found = copied("methods/zero_insert.py", "prepare")
    names: dict[str, Any] = {}
    text = "\n\n".join(["from __future__ import annotations", *found.imports, *found.definitions])
    exec(text, names)
    assert names["insert_zeros"](torch.ones(1, 1, 2), (3,)).tolist() == [[[1, 0, 0, 1]]]
    with pytest.raises(KeyError):
        copied("methods/zero_insert.py", "no_such_name")


def test_two_things_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.py").write_text("from .two import other\ndef f(): return g() + other()\ndef g(): return 1\n")
    (tmp_path / "two.py").write_text("def other(): return g()\ndef g(): return 2\n")
    monkeypatch.setattr(sys.modules["convbench.failures.sources"], "PACKAGE", tmp_path)
    with pytest.raises(ValueError, match="cannot stand in one script"):
        copied("one.py", "f")


def test_case_of_a_script_is_the_case() -> None:
    spec = make_spec(**SHAPE)
    names, _ = run(Reproducer(spec, "explicit", ""))
    case: SimpleNamespace = names["case"]
    assert {name: getattr(case, name) for name in vars(case)} == {name: getattr(spec.case, name) for name in vars(case)}
