"""Optuna's sweeper searches over a real run's objective."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from tests.slow.jobs import ROOT

pytestmark = pytest.mark.slow


def test_optuna_finds_what_the_table_holds(tmp_path: Path) -> None:
    """With illegal combinations on the way: stride 1 does not go with an output_padding of 1."""
    if find_spec("hydra_plugins") is None or find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        pytest.skip("needs hydra-optuna-sweeper: pip install '.[optuna]'")
    search = (
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=4",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.sampler.seed=1",
    )
    space = ("kernel=range(3,9)", "stride=choice(1,2)", "output_padding=1")
    objective = ("objective=max:bound_ratio", "hydra.sweeper.direction=maximize")
    tiny = ("measure=none", "methods=[autograd,explicit]")
    command = [sys.executable, "-m", "convbench", "-m", *search, *space, *objective, *tiny]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "illegal combination" in done.stdout
    (out,) = (path for path in (tmp_path / "results").iterdir() if not path.is_symlink())
    text = (out / "results.csv").read_text(encoding="utf-8")
    measured = {
        row["kernel_h"]: float(row["bound_ratio"])
        for row in csv.DictReader(text.splitlines())
        if row["method"] == "explicit"
    }
    best = yaml.safe_load((out / "optimization_results.yaml").read_text())
    assert best["best_value"] == max(measured.values())
    assert measured[str(best["best_params"]["kernel"])] == best["best_value"]
