"""A stranger's repository from its first commit: the workflow of docs/ci.md, the steps of action.yml and the wheel.

A runner is played as far as it matters: a shallow clone of each commit, the inputs as variables, bash with -e.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repositories import IDENTITY, RIGHT, SLOW, WRONG, commit, git, repository
from tests.test_package import archives as archives  # the wheel, built from what ships

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def workflow() -> dict[Any, Any]:
    """The workflow that docs/ci.md gives to copy."""
    (text,) = re.findall(r"```yaml\n(name: gate\n.*?)```", PAGE, re.DOTALL)
    found: dict[Any, Any] = yaml.safe_load(text)
    return found


class Runner:
    """Runs the action in a clone, as a job does."""

    def __init__(self, folder: Path, origin: Path, wheel: Path) -> None:
        self._folder, self._origin, self._wheel = folder, origin, wheel
        venv.create(folder / "env", with_pip=True)
        (site,) = (folder / "env").glob("lib/python*/site-packages")
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self._python = str(folder / "env" / "bin" / "python")
        self._jobs = 0

    def __call__(self, branch: str, base: str) -> tuple[int, str]:
        """The exit code of a job for `branch`, and the job's summary."""
        self._jobs += 1
        clone = self._folder / f"job{self._jobs}"
        git(self._folder, "clone", "--quiet", "--depth=1", f"--branch={branch}", f"file://{self._origin}", str(clone))
        (step,) = [s for s in workflow()["jobs"]["gate"]["steps"] if "convbench@" in s.get("uses", "")]
        inputs = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
        inputs |= {"base": base, "python": self._python, "install": str(self._wheel), **step["with"]}
        summary = clone.with_suffix(".md")
        code = 0
        for one in ACTION["runs"]["steps"]:
            given = {key: filled(value, inputs) for key, value in one["env"].items()}
            env = {**os.environ, **IDENTITY, **given, "GITHUB_STEP_SUMMARY": str(summary), "PIP_NO_DEPS": "1"}
            env.pop("PYTHONPATH", None)
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", one["run"]],
                cwd=clone,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            code = done.returncode
            if code:
                print(done.stdout, done.stderr, file=sys.stderr)
                break
        return code, summary.read_text(encoding="utf-8") if summary.exists() else ""


def filled(text: str, inputs: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: str(inputs[found[1]]), text)


@pytest.mark.timeout(3000)
def test_a_stranger_s_repository(tmp_path: Path, archives: dict[str, Path]) -> None:
    origin = repository(tmp_path / "origin")
    job = Runner(tmp_path, origin, archives["wheel"])
    (name,) = re.findall(r"methods=\[(\w+):grad_input\]", PAGE.split("name: gate")[1].split("```")[0])
    file = f"{name}.py"

    first = commit(origin, RIGHT, file)
    code, said = job("main", "0" * 40)
    assert (code, "nothing to compare with yet" in said, "--base is empty" in said) == (0, True, True), said

    git(origin, "switch", "--quiet", "--create", "faster")
    commit(origin, SLOW, file)
    code, said = job("faster", first)
    assert code == 1, said
    assert "## convbench: REGRESSION" in said
    assert "slower than BASE, in alternating pairs" in said

    git(origin, "revert", "--no-edit", "HEAD")
    code, said = job("faster", first)
    assert code == 0, said
    assert "## convbench: no regression" in said

    commit(origin, WRONG, file)
    code, said = job("faster", first)
    assert code == 1, said
    assert "accuracy was ok and is fail" in said


def test_workflow_of_the_page_is_a_workflow() -> None:
    """What the page says of the action is so: its inputs, the least permissions, no credentials left behind."""
    page = workflow()
    assert page["permissions"] == {"contents": "read"}
    steps = page["jobs"]["gate"]["steps"]
    (step,) = [s for s in steps if "convbench@" in s.get("uses", "")]
    assert step["with"].keys() <= ACTION["inputs"].keys()
    required = {name for name, one in ACTION["inputs"].items() if one.get("required")}
    assert required <= step["with"].keys()


def test_no_input_is_run_as_a_command() -> None:
    """Inputs come from pull requests by strangers; in the scripts themselves none is filled in."""
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
