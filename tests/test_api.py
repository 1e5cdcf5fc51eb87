"""convbench from Python: the command line's table, functions of any origin, errors, tools for a test suite."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F

import convbench
from convbench import cli
from convbench.api.functions import Functions, importable
from convbench.api.words import words_of

SMALL = {"op": "conv2d", "in_channels": 3, "out_channels": 2, "size": 6}


def upper(problem: Any) -> Any:
    """A function of a module that can be imported; right for stride 1."""
    return lambda: F.conv_transpose2d(problem.grad_output, problem.weight, None, 1, problem.case.padding)


def defined_inside(factor: float = 1.0) -> Any:
    """A function that no other process can import."""

    @convbench.plain(op="conv2d", wrt="input")
    def mine(grad_output: Any, input: Any, weight: Any, case: Any) -> Any:
        return F.conv_transpose2d(grad_output, weight, None, case.stride) * factor

    return mine


def caching(problem: Any) -> Any:
    kept = upper(problem)()
    return lambda: kept.clone()


def raising(problem: Any) -> Any:
    def call() -> Any:
        raise ArithmeticError("no such tile")

    return call


def test_settings_are_the_command_line_s_words() -> None:
    given = {"kernel": [3, 5], "stride": (2, 1), "bias": True, "limit": None, "measure__looks": (20,), "fill": "a b.pt"}
    expected = ["kernel=3,5", "stride=[2,1]", "bias=true", "limit=null", "measure.looks=[20]", "fill='a b.pt'"]
    assert words_of(given) == expected
    assert words_of({"padding": [(0, 1), (2, 2)]}) == ["padding=[0,1],[2,2]"]


def test_table_is_that_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Column by column, as far as a column does not say when and where it was measured; nothing is printed."""
    table = convbench.run("dtype=float32,float64", kernel=[1, 3], measure="none", isolation="none", **SMALL)
    assert capsys.readouterr() == ("", "")
    words = [f"{key}={value}" for key, value in SMALL.items()]
    asked = ["-m", "dtype=float32,float64", "kernel=1,3", "measure=none", "isolation=none", *words, f"out={tmp_path}"]
    assert cli.main(asked) == 0
    expected = convbench.load(tmp_path)
    differ = {name for name in expected if not table[name].equals(expected[name])}
    assert differ <= {"started_at", "elapsed_s", "prepare_s", "first_call_s", "commit", "dirty"}
    assert (len(table), set(table["accuracy"])) == (16, {"ok"})


@pytest.mark.slow
def test_functions_of_any_origin_are_methods(tmp_path: Path) -> None:
    """In a folder that is named, the same call measures nothing again."""
    given = ["autograd", upper, defined_inside()]
    table = convbench.run(methods=given, measure="none", isolation="none", kernel=3, out=str(tmp_path / "r"), **SMALL)
    assert dict(zip(table["method"], table["accuracy"], strict=True)) == {
        "autograd": "ok", f"{__name__}:upper": "ok", "inline:mine": "ok"
    }  # fmt: skip
    again = convbench.run(methods=given, measure="none", isolation="none", kernel=3, out=str(tmp_path / "r"), **SMALL)
    assert again["started_at"].equals(table["started_at"])
    assert "inline" not in sys.modules


def test_inline_functions_reach_another_process() -> None:
    """A real interpreter imports the module that is written for them, by this process's path alone."""
    offset = 40

    def mine(number: int) -> int:
        return number + offset

    functions = Functions([mine])
    assert functions.names == ["inline:mine"]
    with importable(functions, "process"):
        code = f"import sys; sys.path[:] = {sys.path!r}; import inline; print(inline.mine(2))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "42\n", done.stderr
    assert not any(path.startswith("/tmp/convbench-") for path in sys.path)


@pytest.mark.slow
def test_inline_functions_are_judged_and_timed_in_processes_of_their_own() -> None:
    quick = {"measure__looks": (20,), "measure__min_time_s": 0.05, "measure__memory": False}
    table = convbench.run(methods=["autograd", defined_inside(), caching], kernel=3, **quick, **SMALL)
    rows = table.set_index("method")
    assert rows.loc["inline:mine", "accuracy"] == "ok", rows["reason"].to_dict()
    assert (rows.loc["inline:mine", "samples"], rows.loc["inline:mine", "processes"]) == (4 * 20, 4)
    assert "right only for the values that it was prepared on" in str(rows.loc[f"{__name__}:caching", "reason"])


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (["kernell=3"], {}, "kernell.*did you mean.*kernel"),
        ([], {"kernel": 0}, "kernel=0 is out of range"),
        ([], {"kernel": []}, r"kernel=\[\] holds no value"),
        ([], {"kernel": {3}}, "kernel=.3. is a set; give a number"),
        (["-m"], {}, "'-m' is no setting"),
        (["methods=[autograd]"], {"methods": ["autograd"]}, "methods is given twice"),
        ([], {"methods": [3]}, "methods: 3 is neither a name nor a function"),
        ([], {"methods": [lambda p: None, lambda p: None]}, "two functions are called function"),
        ([], {"methods": ["no_such_module_at_all:f"]}, "no module no_such_module_at_all"),
        (["hydra/launcher=joblib"], {}, "a launcher starts programs"),
    ],
)
def test_what_cannot_be_run_is_a_value_error_with_a_sentence(
    words: list[str], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(convbench.InvalidValue, match=message) as caught:
        convbench.run(*words, **settings)
    assert isinstance(caught.value, ValueError)


def test_function_that_cannot_be_sent_says_so() -> None:
    lock = threading.Lock()

    def locked(problem: Any) -> Any:
        with lock:
            return upper(problem)

    with pytest.raises(convbench.InvalidValue, match=r"locked cannot be sent .*TypeError.* or say isolation=none"):
        convbench.run(methods=[locked], measure="none", kernel=3, **SMALL)
    table = convbench.run(methods=[locked], measure="none", kernel=3, isolation="none", **SMALL)
    assert list(table["accuracy"]) == ["ok", "ok"]


# check


def test_check_judges_every_configuration() -> None:
    found = convbench.check(defined_inside(), kernel=[1, 3], wrt=["input", "weight"], **SMALL)
    assert found
    assert found.accuracy == "ok"
    assert [one.status for one in found.judged] == ["ok", "unsupported", "ok", "unsupported"]
    assert all(0 < one.row["bound_ratio"] <= 1 for one in found.judged if one.right)
    wrong = convbench.check(defined_inside(2.0), "stride=1,2", kernel=3, **SMALL)
    assert not wrong
    assert (wrong.accuracy, len(wrong.wrong)) == ("fail", 2)
    assert "inline:mine is right on 0 of 2 configurations\nfail: conv2d" in str(wrong)


def test_check_knows_the_output_as_well() -> None:
    def forward(problem: Any) -> Any:
        case, x, w, b = problem.case, problem.input, problem.weight, problem.bias
        return lambda: F.conv2d(x, w, b * scale, case.stride)

    scale = 1.0
    assert convbench.check(forward, kernel=3, wrt="output", bias=True, **SMALL)
    scale = 0.0
    (one,) = convbench.check(forward, kernel=3, wrt="output", bias=True, **SMALL).wrong
    assert str(one.reason).endswith("it is what comes out where the bias is not added")


def test_check_changes_operands_and_keeps_what_was_raised() -> None:
    """As in a sweep: a result that was computed in the preparation is none."""
    cached = convbench.check(caching, kernel=3, **SMALL)
    assert "right only for the values that it was prepared on" in (cached.judged[0].reason or "")
    raised = convbench.check(raising, kernel=3, **SMALL)
    (one,) = raised.wrong
    assert (one.status, one.accuracy, raised.accuracy) == ("error", None, None)
    assert isinstance(one.error, ArithmeticError)
    assert convbench.check("explicit", kernel=3, **SMALL)
    assert not convbench.check(defined_inside(), op="conv1d"), "unsupported everywhere is not right"


SUITE = """
import convbench, torch.nn.functional as F

@convbench.plain(op="conv2d", wrt="input")
def gradient(gy, x, w, case):
    return F.conv_transpose2d(gy, w, None, case.stride, case.padding, 0, case.groups)

@convbench.testing.cases("fsrcnn", wrt="input", batch=1, limit=2)
def test_suite(case):
    assert case.case.batch == 1
    convbench.testing.assert_gradient(gradient, case)

@convbench.testing.cases(op=["conv2d", "conv1d"], in_channels=2, out_channels=2, size=6, kernel=3)
def test_grid(case):
    convbench.testing.assert_gradient(gradient, case)

@convbench.testing.cases(op="conv2d", size=6, kernel=3)
def test_wrong(case):
    convbench.testing.assert_gradient(lambda problem: lambda: 1 / 0, case)
"""


@pytest.mark.slow
def test_tools_for_a_suite_of_one_s_own(tmp_path: Path) -> None:
    """A real pytest, without the plugin of pytest-benchmark."""
    (tmp_path / "test_mine.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--tb=short", "test_mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith("PASSED test_mine.py::test_suite[")]) == 2
    assert any("[shrink - fsrcnn-x2-train - conv2d 1x56-12 " in line for line in lines)
    assert len([line for line in lines if line.startswith("PASSED test_mine.py::test_grid[conv2d")]) == 1
    assert any("gradient is marked for op=conv2d; not op=conv1d" in line for line in lines if "SKIPPED" in line)
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "AssertionError: error: conv2d" in done.stdout
