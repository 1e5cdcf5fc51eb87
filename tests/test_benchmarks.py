"""The microbenchmarks are not part of a test run; this keeps them from rotting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.repo


def test_microbenchmarks_run_without_timing() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/benchmarks",
        "-o",
        "python_files=bench_*.py",
        "--benchmark-disable",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
