"""The examples of other engines, each installed for this test: right on every kind of convolution, and timed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
ENGINES = {
    "jax": (["jax", "jaxlib", "opt_einsum", "ml_dtypes"], "examples.jax_dgrad:gradient"),
    "openvino": (["openvino", "openvino-telemetry"], "examples.openvino_dgrad:grad_input"),
}
CASES = {
    "planar": [
        "op=conv2d,conv_transpose2d",
        "batch=2",
        "in_channels=4",
        "out_channels=6",
        "groups=1,2",
        "size=[9,7]",
        "kernel=[3,2]",
        "stride=1,2",
        "padding=1",
        "dilation=1,2",
    ],
    "others": ["op=conv1d,conv3d,conv_transpose1d,conv_transpose3d", "in_channels=3", "size=6", "kernel=3", "stride=2"],
}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The example's method, and the folder that its engine is installed in; torch and numpy are those at hand."""
    packages, method = ENGINES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.skip(f"{request.param} cannot be installed here: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return method, str(folder)


def table(engine: tuple[str, str], out: Path, *words: str) -> pd.DataFrame:
    method, folder = engine
    command = [sys.executable, "-m", "convbench", "-m", *words, f"methods=[autograd,{method}]", f"out={out}"]
    env = {**os.environ, "PYTHONPATH": folder}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pd.read_parquet(out / "results.parquet")
    return rows[rows["method"] == method]


@pytest.mark.parametrize("cases", CASES)
@pytest.mark.parametrize("fill", ["normal", "integer"])
def test_right_on_operands_that_change(engine: tuple[str, str], tmp_path: Path, cases: str, fill: str) -> None:
    wrt = "wrt=input,weight" if "jax" in engine[0] else "wrt=input"
    rows = table(engine, tmp_path / "out", *CASES[cases], wrt, f"fill={fill}", "measure=none")
    assert set(rows["status"]) == {"ok"}, rows["reason"].tolist()
    assert set(rows["accuracy"]) <= {"ok", "exact"}, rows["reason"].tolist()
    assert len(rows) >= 4


def test_timed_with_the_threads_that_are_asked_for(engine: tuple[str, str], tmp_path: Path) -> None:
    words = [
        "op=conv2d",
        "batch=2",
        "in_channels=32",
        "out_channels=32",
        "size=28",
        "kernel=3",
        "padding=1",
        "threads=1",
    ]
    (row,) = table(engine, tmp_path / "out", *words, "measure=quick", "measure.max_time_s=2").to_dict("records")
    assert row["status"] == "ok", row["reason"]
    assert row["samples"] >= 6
    assert row["cpus"] < 1.3


def test_what_they_do_not_cover_is_unsupported(engine: tuple[str, str], tmp_path: Path) -> None:
    (row,) = table(engine, tmp_path / "out", "wrt=bias", "bias=true", "measure=none").to_dict("records")
    assert row["status"] == "unsupported"
    assert "covers wrt=input" in row["reason"]
