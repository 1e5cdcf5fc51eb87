"""A stranger's repository from its first commit: the workflow of docs/nightly.yml, night after night, with the wheel.

A runner is played as far as it matters: the job's and the workflow's variables, a clone for every night, bash with -e,
and a cache that keeps the baselines.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.repositories import IDENTITY, RIGHT, SLOW, WRONG, commit, git, repository
from tests.test_package import archives as archives  # the wheel, built from what ships

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "docs" / "nightly.yml").read_text(encoding="utf-8"))
JOB: dict[str, Any] = WORKFLOW["jobs"]["night"]
FEWER = "measure.looks=[60] measure.processes=1 measure.backward=false"
"""Enough pairs to see a factor of two on a busy machine, whatever interval they reach."""


def steps(word: str) -> list[dict[str, Any]]:
    return [step for step in JOB["steps"] if word in step]


class Runner:
    """Runs the workflow's night on the CPU."""

    def __init__(self, folder: Path, origin: Path, wheel: Path) -> None:
        self._folder, self._origin = folder, origin
        matrix = {"matrix.device": "cpu", "matrix.torch": f"{torch.__version__.partition('+')[0]}"}
        given = {**WORKFLOW["env"], **JOB["env"], "CONVBENCH": str(wheel), "KEEP_BASELINE": "true"}
        self._env = {key: filled(str(value), matrix | {"github.workspace": "."}) for key, value in given.items()}
        self._env["NIGHT"] += f" {FEWER}"
        self.nights = 0

    def __call__(self) -> tuple[int, str]:
        """The exit code of a night of what `main` holds, and the job's summary."""
        self.nights += 1
        clone = self._folder / f"night{self.nights}"
        git(self._folder, "clone", "--quiet", "--depth=1", f"file://{self._origin}", str(clone))
        summary, kept = clone.with_suffix(".md"), self._folder / "cache"
        env = {**os.environ, **IDENTITY, **self._env, "GITHUB_STEP_SUMMARY": str(summary), "PIP_NO_DEPS": "1"}
        env |= {"BASELINES": str(clone / ".baselines")}
        env.pop("PYTHONPATH", None)
        if kept.exists():
            shutil.copytree(kept, clone / ".baselines", symlinks=True)
        for step in (one for one in steps("run") if "if" not in one):
            done = self._bash(step["run"], clone, env)
            if done.returncode:
                break
            if step["name"] == "install":
                (site,) = (clone / ".night").glob("lib/python*/site-packages")
                (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        shutil.rmtree(kept, ignore_errors=True)
        if (clone / ".baselines").exists():
            shutil.copytree(clone / ".baselines", kept, symlinks=True)
        return done.returncode, summary.read_text(encoding="utf-8") if summary.exists() else done.stderr

    def _bash(self, script: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        # torch is there already, and no index is asked for it: dependencies.pth leads to it. The canary is left out:
        # with other tests at work on the machine it would end most nights. The others are those of a night in one go.
        whole = '.night/bin/python -m convbench nightly "${words[@]}"'
        parts = [whole.replace("nightly ", "nightly sweep "), ".night/bin/python -m convbench nightly gate"]
        script = script.replace('"torch==$TORCH" ', "").replace(whole, "\n".join(parts))
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr, file=sys.stderr)
        return done

    def quiet(self) -> tuple[int, str]:
        """The first night of four at most that could be judged: other work on the machine leaves doubts (4)."""
        for _ in range(4):
            code, said = self()
            if code != 4:
                break
        return code, said


def filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: values[found[1]], text)


@pytest.mark.timeout(3000)
def test_nights_of_a_stranger_s_repository(tmp_path: Path, archives: dict[str, Path]) -> None:
    origin = repository(tmp_path / "origin")
    (name,) = re.findall(r"methods=\[(\w+):grad_input\]", WORKFLOW["env"]["NIGHT"])
    (layers,) = re.findall(r"```text\n(\s*layer,.*?)```", PAGE, re.DOTALL)
    (origin / "layers.csv").write_text("\n".join(line.strip() for line in layers.strip().splitlines()) + "\n")
    commit(origin, RIGHT, f"{name}.py")
    night = Runner(tmp_path, origin, archives["wheel"])

    code, said = night.quiet()
    assert code == 0, said
    assert "nothing was compared" in said
    assert "This run is kept" in said

    commit(origin, SLOW, f"{name}.py")
    code, said = night.quiet()
    assert code == 1, said
    assert "## convbench: REGRESSION" in said
    assert "kernel" in said.split("slower", 1)[1], "twice the work is another list of kernels"

    git(origin, "revert", "--no-edit", "HEAD")
    code, said = night.quiet()
    assert code == 0, said
    assert "## convbench: no regression" in said

    commit(origin, WRONG, f"{name}.py")
    code, said = night.quiet()
    assert code == 1, said


def test_workflow_is_one() -> None:
    """Least permissions, no credentials left behind, a matrix of devices and torches, and steps that exist."""
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert set(WORKFLOW[True]) == {"schedule", "workflow_dispatch"}  # YAML 1.1 reads `on` as true
    matrix = JOB["strategy"]["matrix"]
    assert matrix["device"] == ["cpu", "cuda"]
    assert len(matrix["torch"]) == 2
    (checkout,) = [step for step in steps("uses") if "actions/checkout@" in step["uses"]]
    assert checkout["with"]["persist-credentials"] is False
    assert not [step for step in steps("run") if "${{" in step["run"]], "values come as variables alone"
    assert 'convbench nightly "${words[@]}"' in "".join(step["run"] for step in steps("run"))
