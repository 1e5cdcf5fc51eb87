"""The registry, what each method says that it covers, and methods of one's own, which may do anything."""

from __future__ import annotations

import csv
import importlib
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given

import convbench
from convbench import cli, methods, runner
from convbench.commands import methods as methods_list
from convbench.facts.record import Record
from convbench.facts.spec import Spec
from convbench.measurement import accuracy, problem, reference
from convbench.methods import METHODS, Unsupported, fft
from convbench.methods.own import CannotLoad, load, uses_autograd

from .settings import examples, make_spec, specs
from .survival import survived

ROOT = Path(__file__).parent.parent

COVERS: dict[str, Callable[[Spec], bool]] = {
    "autograd": lambda s: True,
    "explicit": lambda s: True,
    "compile": lambda s: True,
    "aten": lambda s: not (s.order == 2 and s.case.batch == 0),
    "unfold": lambda s: s.case.batch > 0,
    "zero_insert": lambda s: not s.case.transposed and s.wrt == "input" and s.order == 1,
    "upcast": lambda s: s.dtype in ("float16", "bfloat16"),
    "fft": lambda s: s.dtype != "float64" and s.case.batch > 0,
}
"""What the docstrings say, once more as conditions."""

Own = Callable[[str], str]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Own:
    """Writes a module that imports torch and convbench first; returns the name of its method `gradient`."""
    monkeypatch.syspath_prepend(tmp_path)
    numbers = itertools.count()

    def write(body: str) -> str:
        name = f"own_{tmp_path.name}_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(f"import torch\nimport convbench\n\n{body}\n")
        return f"{name}:gradient"

    return write


def rows_of(*names: str, **settings: Any) -> dict[str, Record]:
    """Rows of a small configuration by method; without measuring."""
    spec = make_spec(**{"op": "conv2d", "size": 6, "kernel": 3, "methods": list(names), **settings})
    result = runner.run(spec, spec.arms, lambda method, phase: None)
    return {row["method"]: row for row in result.records}


# The registry.


def test_every_name_has_a_module_and_every_module_a_name() -> None:
    files = {path.stem for path in Path(methods.__file__).parent.glob("*.py")}
    assert files - {"__init__", "backward", "formulas", "in_training", "own"} == set(METHODS) == set(COVERS)
    for name in METHODS:
        assert callable(importlib.import_module(f"convbench.methods.{name}").prepare)


def test_the_list_says_what_each_is_and_covers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods"]) == 0
    printed = capsys.readouterr().out
    words = " ".join(printed.split())
    for name in METHODS:
        assert f"\n{name} " in printed
        assert methods_list.coverage(name).split(",")[0].split()[0] in words
    assert "methods=[autograd,explicit,my_kernels:grad_input]" in printed
    assert "{" not in printed


def test_coverage_is_the_sentence_up_to_its_full_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods_list, "FOLDER", tmp_path)
    (tmp_path / "good.py").write_text(
        '"""Is good.\n\nCovers conv2d, k ≤ 3.5 and\norder 1. More.\n"""\nraise SystemExit\n'
    )
    assert methods_list.coverage("good") == "conv2d, k ≤ 3.5 and order 1"
    (tmp_path / "silent.py").write_text('"""Does not say."""\n')
    with pytest.raises(ValueError, match="silent has no sentence"):
        methods_list.coverage("silent")


@examples(30)
@given(specs())
def test_methods_cover_what_they_say(spec: Spec) -> None:
    made = problem.make(spec)
    for name, covers in COVERS.items():
        if name == "compile":
            continue
        if covers(spec):
            with survived(spec):
                assert callable(load(name)(made))
        else:
            with pytest.raises(Unsupported, match=f"{name} covers"):
                load(name)(made)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it imports its compiler
def test_compile_is_right_and_compiled_for_one_shape_after_another() -> None:
    """torch falls back to running uncompiled after some shapes; here that is after one, and an error."""
    limits = torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True)
    for size, wrt in itertools.product((5, 6, 7), ("input", "weight")):
        made = problem.make(make_spec(op="conv2d", size=size, kernel=3, stride=2, wrt=wrt, fill="integer"))
        with limits:
            call = load("compile")(made)
            with torch.inference_mode():
                judged = accuracy.judge(call(), made, reference.compute(made, made.spec.reference_limits))
        assert judged.verdict == "exact"


@pytest.mark.parametrize("wrt", ["input", "weight"])
@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_fft_copies_nothing_to_the_device_while_it_is_timed(op: str, wrt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that copies waits for its device; what is reached by any product is known when it is prepared."""
    made = problem.make(make_spec(op=op, size=6, kernel=3, stride=2, wrt=wrt))
    call = fft.prepare(made)
    monkeypatch.setattr(fft, "reached", None)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, dtype: tensor.type(dtype))
    assert call().shape == getattr(made, wrt).shape


# Methods of one's own.

GOOD = """
def gradient(problem):
    gy, w = problem.grad_output, problem.weight
    return lambda: torch.nn.functional.conv_transpose2d(gy, w)
"""


def test_an_own_method_is_judged_like_any_other(own: Own) -> None:
    name = own(GOOD)
    rows = rows_of("autograd", "explicit", name, fill="integer")
    assert rows[name]["status"] == "ok"
    assert rows[name]["accuracy"] == "exact"
    assert rows[name]["equals_baseline"] is True
    assert rows[name]["prepare_s"] >= 0


def test_an_own_method_can_be_the_baseline(own: Own) -> None:
    name = own(GOOD)
    rows = rows_of("explicit", baseline=name)
    assert list(rows) == [name, "explicit"]
    assert rows["explicit"]["baseline"] == name
    assert {row["accuracy"] for row in rows.values()} == {"ok"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("gradient = 3", "error", "has no function named gradient"),
        ("other = 3", "error", "has no function named gradient"),
        ("raise RuntimeError('no compiler')", "error", "cannot import own_.*: RuntimeError: no compiler"),
        ("import nowhere_to_be_found", "error", "cannot import own_.*: ModuleNotFoundError: No module named 'nowhere"),
        ("this is no Python", "error", "cannot import own_.*: SyntaxError"),
        ("raise SystemExit('usage: …')", "error", "cannot import own_.*: SystemExit: usage"),
        ("raise convbench.Unsupported('needs CUDA 13')", "unsupported", "^needs CUDA 13$"),
        (
            "def gradient(gy, x, w, case): return gy",
            "error",
            "is not a function of one problem .*'x'.*mark .* with @convbench.plain",
        ),
        ("def gradient(): return 1", "error", "is not a function of one problem .*too many positional"),
        ("def gradient(problem): return problem.input", "error", "returned Tensor, which cannot be called"),
        ("def gradient(problem): pass", "error", "returned NoneType, which cannot be called"),
        ("gradient = max", "error", "TypeError: 'Problem' object is not iterable"),
        ("def gradient(problem): return problem.nonsense", "error", "AttributeError: .*nonsense"),
        ("def gradient(problem): raise convbench.Unsupported('only on Sundays')", "unsupported", "^only on Sundays$"),
        ("def gradient(problem): return lambda: 1 / 0", "error", "^ZeroDivisionError: division by zero .own_.*line 4"),
        ("def gradient(problem): return lambda: torch.ones(2) @ torch.ones(3)", "error", "RuntimeError: .*inconsist"),
        ("def gradient(problem): raise MemoryError", "oom", "MemoryError"),
        ("@convbench.plain(wrt='inputs')\ndef gradient(*tensors): pass", "error", "wrt='inputs' is not a gradient"),
        ("@convbench.plain(wrt='weight')\ndef gradient(*tensors): pass", "unsupported", "wrt=weight; not wrt=input"),
        ("@convbench.plain\ndef gradient(gy): pass", "error", "TypeError: gradient.. takes 1 positional"),
    ],
)  # fmt: skip
def test_whatever_a_method_does_is_its_row_alone(own: Own, body: str, status: str, words: str) -> None:
    name = own(body)
    rows = rows_of("autograd", name, "explicit")
    assert rows[name]["status"] == status
    assert "accuracy" not in rows[name]
    assert re.search(words, rows[name]["reason"])
    for other in ("autograd", "explicit"):
        assert (rows[other]["status"], rows[other]["accuracy"]) == ("ok", "ok")


def test_a_module_that_does_not_exist_is_a_row() -> None:
    row = rows_of("explicit", "no.such.package:grad_input")["no.such.package:grad_input"]
    assert row["status"] == "error"
    assert row["reason"] == "cannot import no.such.package: ModuleNotFoundError: No module named 'no'"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return lambda: problem.input", r"largest error .* times its bound; relative L2 error .* times its bound"),
        ("return lambda: torch.zeros_like(problem.input)", "all zeros"),
        ("return lambda: torch.full_like(problem.input, float('nan'))", "NaN or infinity"),
        ("return lambda: problem.weight", "shape"),
        ("return lambda: problem.input.double()", "float64"),
        ("return lambda: None", "NoneType, not a tensor"),
    ],
)
def test_wrong_answers_fail_and_say_why(own: Own, body: str, words: str) -> None:
    name = own(f"def gradient(problem): {body}")
    rows = rows_of("explicit", name)
    assert (rows[name]["status"], rows[name]["accuracy"]) == ("ok", "fail")
    assert re.search(words, rows[name]["reason"])
    assert rows["explicit"]["accuracy"] == "ok"


PLAIN = """
@convbench.plain{mark}
def gradient(grad_output, input, weight, case):
    assert input.shape == case.input_shape
    return torch.nn.functional.conv_transpose2d(grad_output, weight, stride=case.stride, padding=case.padding)
"""


def test_a_plain_function_needs_no_preparation(own: Own) -> None:
    name = own(PLAIN.format(mark=""))
    assert rows_of(name, stride=1, padding=1)[name]["accuracy"] == "ok"
    assert rows_of(name, wrt="weight")[name]["accuracy"] == "fail"
    assert rows_of(name, order=2)[name]["status"] == "unsupported"


def test_a_plain_function_may_say_which_gradient_it_computes(own: Own) -> None:
    name = own(PLAIN.format(mark="(wrt='input')"))
    assert rows_of(name)[name]["accuracy"] == "ok"
    row = rows_of(name, wrt="weight")[name]
    assert (row["status"], row["reason"]) == ("unsupported", "gradient is marked for wrt=input; not wrt=weight")


def test_a_plain_function_computes_the_output_where_it_says_so(own: Own) -> None:
    """It is given no bias; what says nothing of wrt is asked for gradients alone."""
    forward = "return torch.nn.functional.conv2d(input, weight, None, case.stride, case.padding)"
    text = "@convbench.plain{mark}\ndef gradient(grad_output, input, weight, case):\n    " + forward
    name = own(text.format(mark="(wrt='output')"))
    assert rows_of(name, wrt="output", padding=1)[name]["accuracy"] == "ok"
    assert rows_of(name, wrt="input")[name]["status"] == "unsupported"
    assert "is given no bias" in rows_of(name, wrt="output", bias=True)[name]["reason"]
    silent = own(text.format(mark=""))
    assert "not wrt=output" in rows_of(silent, wrt="output")[silent]["reason"]


THROUGH_AUTOGRAD = """
{mark}
def gradient(problem):
    x = problem.input.detach().clone().requires_grad_()
    gy, w = problem.grad_output, problem.weight
    return lambda: torch.autograd.grad(torch.nn.functional.conv2d(x, w), x, gy)[0]
"""


def test_a_method_through_autograd_says_so(own: Own) -> None:
    marked = own(THROUGH_AUTOGRAD.format(mark="@convbench.with_autograd"))
    unmarked = own(THROUGH_AUTOGRAD.format(mark=""))
    rows = rows_of(marked, unmarked)
    assert rows[marked]["accuracy"] == "ok"
    assert rows[unmarked]["status"] == "error"
    assert uses_autograd(load(marked))
    assert not uses_autograd(load(unmarked))
    assert [name for name in METHODS if uses_autograd(load(name))] == ["autograd"]


TF32 = """
{mark}
@convbench.plain
def gradient(grad_output, input, weight, case):
    def cut(t):
        return (t.contiguous().view(torch.int32) & -(1 << 13)).view(torch.float32)
    return torch.nn.functional.conv_transpose2d(cut(grad_output), cut(weight))
"""


def test_a_method_may_say_how_accurate_it_is(own: Own) -> None:
    silent, honest = own(TF32.format(mark="")), own(TF32.format(mark="@convbench.accuracy('tf32')"))
    wrong = own(
        "def gradient(problem): return lambda: problem.input * 1.001".replace("def", "@convbench.accuracy('tf32')\ndef")
    )
    rows = rows_of("autograd", silent, honest, wrong)
    assert (rows[silent]["accuracy"], rows[silent]["explained_by"]) == ("reduced", "tf32")
    assert (rows[honest]["accuracy"], rows[honest]["explained_by"]) == ("ok", "tf32")
    assert rows[wrong]["accuracy"] == "fail"
    assert "explained_by" not in rows["autograd"]
    with pytest.raises(ValueError, match="accuracy='half' is not a class of bounds; allowed: transformed"):
        convbench.accuracy("half")


@pytest.mark.parametrize("size", [1, 3, 8, 24])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_method_that_writes_nothing_is_no_gradient(own: Own, size: int, dtype: str) -> None:
    """torch.empty returned the block of an earlier right result, or of the judge's own rounded reference."""
    lazy = own("def gradient(problem): return lambda: torch.empty(problem.shape, dtype=problem.dtype)")
    for fill in ("integer", "normal"):
        rows = rows_of("autograd", "explicit", lazy, size=size, kernel=1, dtype=dtype, fill=fill)
        assert rows[lazy]["accuracy"] == "fail"
        assert rows["explicit"]["accuracy"] in ("exact", "ok")


WRONG_ON_ZEROS = """
def gradient(problem):
    gy, w = problem.grad_output, problem.weight
    right = lambda: torch.nn.functional.conv_transpose2d(gy, w)
    return (lambda: right() * 2) if (gy < 0).any() else right
"""


def test_the_verdict_says_on_which_data_a_method_is_wrong(own: Own) -> None:
    name = own(WRONG_ON_ZEROS)
    assert rows_of(name, fill="positive")[name]["accuracy"] == "ok"
    rows = rows_of("autograd", name, fill="positive+integer+normal")
    assert rows[name]["accuracy"] == "fail"
    assert rows[name]["judged_on"] in ("integer", "normal")
    assert rows[name]["reason"].startswith(f"on fill={rows[name]['judged_on']} data: largest error")
    assert rows["autograd"]["accuracy"] == "ok"
    assert rows["autograd"]["fill"] == "positive+integer+normal"
    assert rows["autograd"]["judged_on"] in ("positive", "normal")
    assert "judged_on" not in rows_of("autograd")["autograd"]


def test_the_working_directory_is_searched_however_python_was_started(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installed command has its own folder on sys.path instead."""
    name = own(GOOD)
    folder = sys.path[0]
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", folder, os.getcwd())])
    with pytest.raises(CannotLoad, match="No module named"):
        load(name)
    monkeypatch.chdir(folder)
    importlib.invalidate_caches()
    assert callable(load(name))


@pytest.mark.slow
def test_own_methods_run_from_any_folder_in_the_child(tmp_path: Path) -> None:
    """The real program: a good method, one that ends its process and one that does not exist, which only the child can
    tell of a module that may name things as it runs; every row is there."""
    (tmp_path / "mine.py").write_text(f"import os, torch\n{GOOD}\nglobals()\ndef dies(problem):\n    os._exit(7)\n")
    done = subprocess.run(
        [sys.executable, "-m", "convbench", "op=conv2d", "size=6", "kernel=3", "measure=none", "out=out",
         "methods=[autograd,mine:dies,mine:gradient,mine:absent]"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as file:
        found = {row["method"]: (row["status"], row["accuracy"]) for row in csv.DictReader(file)}
    assert found == {
        "autograd": ("ok", "ok"),
        "mine:dies": ("crash", ""),
        "mine:gradient": ("ok", "ok"),
        "mine:absent": ("error", ""),
    }


# The documentation.

PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ python -m convbench (.+)$", PAGE, flags=re.MULTILINE)


def test_the_page_lists_every_method_with_what_it_covers() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", PAGE.split("## Your own")[0], flags=re.MULTILINE))
    assert list(rows) == list(METHODS)
    for name, covers in rows.items():
        said = methods_list.coverage(name)
        assert covers.startswith("every case") == said.startswith("every case")
        for word in re.findall(r"batch ≥ 1|float16|1-D|conv\\b|order 1$", covers):
            assert word in said


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_page_run_with_its_module(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "\n\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))
    (tmp_path / "my_kernels.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_kernels", raising=False)
    arguments = [a for a in command.split() if not a.startswith("measure=")]
    assert cli.main([*arguments, "measure=none", "isolation=none", "out=out"]) == 0
    capsys.readouterr()
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["method"].startswith("my_kernels:")]
    assert {row["accuracy"] for row in rows if row["status"] == "ok"} <= {"ok", "exact"}
    covered = [row["status"] for row in rows]
    assert covered.count("ok") >= len(rows) / 2
    assert set(covered) <= {"ok", "unsupported"}
