"""Sweeps on launchers that need no cluster: worker processes of joblib, and submitit's local jobs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.slow.jobs import sweep_with_a_kill

pytestmark = pytest.mark.slow

LAUNCHERS = {
    "joblib": ("hydra_joblib_launcher", "hydra.launcher.n_jobs=2"),
    "submitit_local": ("hydra_submitit_launcher", "hydra.launcher.timeout_min=5"),
}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_killed_job_loses_nothing(name: str, tmp_path: Path) -> None:
    plugin, option = LAUNCHERS[name]
    if find_spec("hydra_plugins") is None or find_spec(f"hydra_plugins.{plugin}") is None:
        pytest.skip(f"needs {plugin}")
    swept = sweep_with_a_kill(tmp_path / "out", f"hydra/launcher={name}", option)
    assert swept.killed
    swept.assert_nothing_is_lost()
    assert {path.name for path in tmp_path.iterdir()} == {"out", "transcript.txt"}
