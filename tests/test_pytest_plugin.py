"""The pytest plugin, driven as a user drives it: real pytest processes, pytest-benchmark's own storage and tables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from convbench.devices.nvidia import Nvidia
from convbench.pytest_plugin import _synchronized, compose

ROOT = Path(__file__).parent.parent
SHORT = ["--benchmark-only", "--benchmark-min-rounds=3", "--benchmark-max-time=0.01", "--benchmark-warmup=off"]

OWN = """
from convbench.methods import plain
from convbench.methods.explicit import prepare

def doubled(problem):
    call = prepare(problem)
    return lambda: 2 * call()

def meddles(problem):
    return lambda: problem.grad_output.neg_()


def broken(problem):
    raise RuntimeError("no such kernel")
"""

SWEEP = """
# @package _global_
op: conv2d
in_channels: 2
out_channels: 2
size: 8
axes:
  kernel: 1,3
"""


def run(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """pytest with pytest-benchmark and this plugin, whether or not convbench is installed."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    # pytest-benchmark times nothing in a worker of pytest-xdist, which this test may be run by.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    env = {**own, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "pytest_benchmark.plugin",
        "-p",
        "convbench.pytest_plugin",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run(
        [*command, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False
    )


def saved_runs(cwd: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((cwd / ".benchmarks").glob("*/*.json"))]


@pytest.mark.slow
def test_saved_sweep_is_stored_and_compared(tmp_path: Path) -> None:
    """Any saved sweep by name, beside tests that are left alone; a second run is compared with the first."""
    (tmp_path / "test_other.py").write_text("def test_other():\n    raise AssertionError('not asked for')\n")
    words = ["--convbench-sweep=kernels", "--convbench-override=kernel=3,5 device=cpu", "--benchmark-autosave"]
    words += ["--convbench-override", "methods=[autograd,explicit]", *SHORT]
    first = run(tmp_path, *words, "--benchmark-histogram=picture")
    assert first.returncode == 0, first.stdout
    assert "4 passed" in first.stdout
    assert first.stdout.count("benchmark 'conv_transpose2d 1×4→1 17×17 k") == 2
    pictures = list(tmp_path.glob("picture*.svg"))
    assert len(pictures) == 2
    assert all("explicit" in picture.read_text() for picture in pictures)
    second = run(tmp_path, *words, "--benchmark-compare=0001", "--benchmark-compare-fail=min:10")
    assert second.returncode == 0, second.stdout
    assert second.stdout.count("(NOW)") == second.stdout.count("(0001_unversi)") == 4
    before, after = saved_runs(tmp_path)
    assert [b["fullname"] for b in before["benchmarks"]] == [b["fullname"] for b in after["benchmarks"]]
    groups: dict[str, list[str]] = {}
    for benchmark in before["benchmarks"]:
        assert benchmark["fullname"].startswith("convbench/kernels::")
        assert benchmark["extra_info"]["accuracy"] in ("exact", "ok")
        groups.setdefault(benchmark["group"], []).append(benchmark["params"]["method"])
    assert [sorted(methods) for methods in groups.values()] == [["autograd", "explicit"]] * 2
    assert {b["params"]["kernel_h"] for b in before["benchmarks"]} == {3, 5}


@pytest.mark.slow
def test_wrong_methods_are_not_timed_and_missing_ones_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "cases.csv").write_text("op,in_channels,out_channels,size,kernel,layer\nconv2d,2,2,8,3,first\n")
    words = ["--convbench-sweep=cases.csv", "--benchmark-json=out.json", *SHORT]
    words += [
        "--convbench-override=methods=[autograd,own:meddles,zero_insert,upcast,own:doubled,own:broken,own:missing,own2:f]"
    ]
    done = run(tmp_path, *words, "--convbench-override=device=cpu,cuda:77", "-rs")
    assert done.returncode == 1
    assert "5 failed, 2 passed, 9 skipped" in done.stdout
    for said in (
        "AssertionError: ",
        "changed grad_output in place",
        "no such kernel",
        "own has no function named missing",
        "cannot import own2",
    ):
        assert said in done.stdout
    for said in ("upcast covers float16 and bfloat16, not float32", "CUDA"):
        assert said in done.stdout
    timed = {b["params"]["method"] for b in json.loads((tmp_path / "out.json").read_text())["benchmarks"]}
    assert timed == {"autograd", "zero_insert"}
    assert "benchmark 'first · conv2d" in done.stdout


def test_the_device_that_is_measured_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Nvidia, "synchronize", lambda device: said.append(device.name))
    call = _synchronized(lambda: said.append("call"), Nvidia("cuda:1"))
    call()
    assert said == ["call", "cuda:1"]


def test_sweep_of_ones_own_and_other_tests_together(tmp_path: Path) -> None:
    """A file that is asked for is collected beside the sweep; collecting imports no torch."""
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(SWEEP)
    (tmp_path / "test_other.py").write_text("import sys\n\ndef test_other():\n    assert 'torch' not in sys.modules\n")
    done = run(tmp_path, "test_other.py", "--convbench-sweep=sweep/mine.yaml", "-k", "other or nothing", "-q")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 8 deselected" in done.stdout
    listed = run(tmp_path, "--convbench-sweep=sweep/mine.yaml", "--collect-only", "-q")
    assert "convbench/mine::autograd[conv2d 1×2→2 8×8 k1 · float32 · cpu · input]" in listed.stdout
    assert "8 tests collected" in listed.stdout


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("kernal", [], "no sweep named 'kernal'"),
        ("nowhere.csv", [], "nowhere.csv does not exist"),
        ("./nowhere.yaml", [], "nowhere.yaml does not exist"),
        ("stray.yaml", [], "must lie in a folder named sweep"),
        ("kernels", ["kernal=3"], "no setting named 'kernal'; did you mean kernel?"),
        ("kernels", ["hydra/sweeper=basic"], "leave it out here"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stray.yaml").write_text(SWEEP)
    with pytest.raises(pytest.UsageError, match=re.escape(message)) as caught:
        compose(name, words)
    assert "\n" not in str(caught.value)


def test_mistake_ends_pytest_at_once(tmp_path: Path) -> None:
    done = run(tmp_path, "--convbench-sweep=kernals")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert done.stderr.startswith("ERROR: --convbench-sweep=kernals: no sweep named 'kernals'; did you mean kernels?")


def test_open_quotation_is_a_mistake_like_any_other(tmp_path: Path) -> None:
    done = run(tmp_path, "--convbench-sweep=kernels", "--convbench-override=it's")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert done.stderr == "ERROR: --convbench-override=it's cannot be split into words: no closing quotation\n\n"


def test_nothing_happens_without_the_option(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import sys\n\ndef test_one():\n    assert 'torch' not in sys.modules and 'hydra' not in sys.modules\n"
    )
    done = run(tmp_path, "-q")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
