"""OUT/failures through the program: own methods in processes of their own, one for each way to fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from convbench.results.table import load

pytestmark = pytest.mark.slow

SHAPE: dict[str, Any] = {"op": "conv2d", "batch": 2, "in_channels": 3, "out_channels": 3, "size": 5, "kernel": 3}

METHODS = """
import ctypes, sys
import torch.nn.functional as F

def right(problem):
    return F.conv_transpose2d(problem.grad_output, problem.weight)

def unflipped(problem):
    print("its preparation speaks")
    return lambda: right(problem).roll(1, 2)

def stale(problem):
    held = []
    def call():
        held.append(right(problem))
        return held[max(0, len(held) - 2)].clone()
    return call

def raising(problem):
    def deeper():
        raise ArithmeticError("no such tile: " + "x" * 5000 + " the end")
    return deeper

def crashing(problem):
    print("going down", flush=True)
    return lambda: ctypes.string_at(0)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a method for each way to fail."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "failing_kernels.py").write_text(METHODS)
    names = ",".join(f"failing_kernels:{name}" for name in ("unflipped", "stale", "raising", "crashing"))
    words = [f"{key}={value}" for key, value in SHAPE.items()]
    words += ["measure=none", f"methods=[explicit,{names}]", "out=out"]
    command = [sys.executable, "-m", "convbench", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    assert "keeps what it left" in done.stdout
    return folder / "out"


@pytest.fixture(scope="module")
def rows(run: Path) -> dict[str, dict[str, Any]]:
    table = load(run)
    found = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    return {row["method"].rpartition(":")[2]: row for row in found}


FILES = {"failure.txt", "reproduce.py", "tensors.pt", "failing_kernels.py"}


def test_rows_name_their_folders(run: Path, rows: dict[str, dict[str, Any]]) -> None:
    for name in ("unflipped", "stale", "raising", "crashing"):
        place = rows[name]["failure"]
        assert place == f"failures/{rows[name]['config_id']}/failing_kernels.{name}"
        found = {path.name for path in (run / place).iterdir()}
        assert found - {"traceback.txt", "output.txt"} == FILES
        assert rows[name]["reason"] in (run / place / "failure.txt").read_text()
    assert not isinstance(rows["explicit"]["failure"], str)
    assert {path.parent.name for path in run.glob("failures/*/*")} == {rows["stale"]["config_id"]}


def test_traceback_and_output_are_whole(run: Path, rows: dict[str, dict[str, Any]]) -> None:
    """The row's reason is cut; the folder has the end of the message, the line, and what was printed."""
    assert "the end" not in rows["raising"]["reason"]
    told = (run / rows["raising"]["failure"] / "traceback.txt").read_text()
    assert "the end" in told
    assert 'failing_kernels.py", line ' in told
    assert ", in deeper" in told
    assert "its preparation speaks" in (run / rows["unflipped"]["failure"] / "output.txt").read_text()
    said = (run / rows["crashing"]["failure"] / "output.txt").read_text()
    assert "going down" in said
    assert "Segmentation fault" in said


def test_the_previous_call_s_result_is_named(rows: dict[str, dict[str, Any]]) -> None:
    assert "the previous call's result is returned again" in rows["stale"]["reason"]
    assert "everything is one" not in rows["stale"]["reason"]


def test_scripts_reproduce_it(run: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Without convbench on the path: the worst element is that of the row, and the crash is one."""
    code = (
        "import runpy, sys\n"
        "for file in sys.argv[1:]:\n"
        "    try:\n"
        "        runpy.run_path(file, run_name='__main__')\n"
        "    except SystemExit as ended:\n"
        "        print('exit code', ended.code)\n"
        "    except ArithmeticError as error:\n"
        "        print(type(error).__name__)\n"
    )
    files = [run / rows[name]["failure"] / "reproduce.py" for name in ("unflipped", "stale", "raising", "crashing")]
    done = subprocess.run([sys.executable, "-I", "-c", code, *files], capture_output=True, text=True, check=False)
    assert done.returncode == -11, done.stderr
    said = done.stdout.splitlines()
    assert [line for line in said if not line.startswith(("worst", "WRONG", "its", "going"))] == [
        "exit code 1",
        "exit code 1",
        "ArithmeticError",
    ]
    for name, line in zip(("unflipped", "stale"), [line for line in said if line.startswith("worst")], strict=True):
        place = line.partition(":")[0]
        assert place in rows[name]["reason"]
