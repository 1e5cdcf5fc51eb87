"""A duet of two real virtual environments with the same torch, and besides torch and numpy with nothing: no difference
is found where there is none, and a slowdown where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import convbench
from convbench.results.table import records
from tests.bare import bare_environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent

# Slower in one environment only, by half of what each call takes there, and without a sleep.
OWN = """
import sys
import time
from convbench.methods.explicit import prepare

def fair(problem):
    return prepare(problem)

def slowed(problem):
    call = prepare(problem)
    if not sys.prefix.endswith("second"):
        return call

    def longer():
        begun = time.perf_counter()
        result = call()
        now = time.perf_counter()
        until = now + 0.5 * (now - begun)
        while time.perf_counter() < until:
            pass
        return result

    return longer
"""


def test_same_torch_in_two_environments(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    a, b = bare_environment(tmp_path / "first"), bare_environment(tmp_path / "second")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "convbench", "duet", "--a", str(a), "--b", str(b / "bin" / "python"), "out=run"]
    command += ["device=cpu", "op=conv2d", "size=48", "in_channels=8", "out_channels=8", "kernel=3,5"]
    command += ["methods=[autograd,own:fair,own:slowed]", "measure=quick"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = {(r["kernel_h"], r["method"]): r for r in records(convbench.load(tmp_path / "run"))}
    assert len(rows) == 2 * 3 * 2
    for kernel in (3, 5):
        for method in ("autograd", "own:fair"):
            row = rows[kernel, f"{method}@b"]
            assert row["speedup_low"] <= 1.03
            assert row["speedup_high"] >= 1 / 1.03
            assert row["speed"] in ("equivalent", "inconclusive")
            assert row["equals_baseline"] is True
        slowed = rows[kernel, "own:slowed@b"]
        assert slowed["speed"] == "slower"
        assert slowed["speedup"] == pytest.approx(1 / 1.5, rel=0.1)
