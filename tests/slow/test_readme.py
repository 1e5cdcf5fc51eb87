"""Every command of README.md and of docs/, in folders of their own with the files that they name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from tests.commands import DOCS, Block, blocks, python
from tests.repositories import git, repository
from tests.test_package import not_shipped

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
COMMANDS = [command for block in blocks(README) for command in block.commands]
ONE_BY_ONE = [Block(README, (command,)) for command in COMMANDS if command.startswith("python -m convbench")]
ALONE = {block.commands for block in ONE_BY_ONE}
PAGES = [block for page in DOCS for block in blocks(page) if block.commands not in ALONE]
"""Blocks of docs/, in the order of the pages, but for those that stand in the README as well."""

MODEL = "import torch\n\n\ndef make_model():\n    return torch.nn.ConvTranspose2d(3, 4, 3)\n"
TRAINING = """
import argparse, torch
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
layer = torch.nn.ConvTranspose2d(3, 4, 3)
for _ in range(parser.parse_args().epochs):
    layer(torch.rand(2, 3, 8, 8, requires_grad=True)).sum().backward()
"""
LAYERS = "layer,in_channels,out_channels,size,kernel\nfirst,4,8,12,3\n"


def section(title: str) -> str:
    return TEXT[TEXT.index(f"\n## {title}\n") :].split("\n## ")[1]


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a person types it, with this interpreter as `python` and this checkout's convbench."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # A pytest that a page runs is not one of this one's workers.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env = {**own, "PATH": path, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=800, check=False
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with speeds in it."""
    folder = tmp_path_factory.mktemp("run")
    done = shell("python -m convbench measure=quick out=run", folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def folder(tmp_path: Path, run: Path) -> Path:
    """What the commands name: a method of one's own, under its three names, a list of layers, and finished runs."""
    (code,) = re.findall(r"```python\n(.*?)```", section("Your own method"), re.DOTALL)
    (tmp_path / "my_kernels.py").write_text(f"{code}\nmine = grad_input\n", encoding="utf-8")
    for package, module, name in (("my", "module", "my_gradient"), ("my_package", "kernels", "grad_input")):
        (tmp_path / package).mkdir()
        (tmp_path / package / f"{module}.py").write_text(code.replace("grad_input(", f"{name}("), encoding="utf-8")
    for name in ("my_layers.csv", "layers.csv"):
        (tmp_path / name).write_text(LAYERS, encoding="utf-8")
    (tmp_path / "my_package" / "__init__.py").write_text(MODEL, encoding="utf-8")
    (tmp_path / "train.py").write_text(TRAINING, encoding="utf-8")
    git(repository(tmp_path), "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "begin")
    for name in ("DIR", "BASE", "NEW", "nights/first", "nights/second"):
        shutil.copytree(run, tmp_path / "results" / name)
    (tmp_path / "results" / "latest").symlink_to("DIR")
    (tmp_path / "envs").mkdir()
    for name in ("torch-2.9", "torch-2.13"):
        (tmp_path / "envs" / name).symlink_to(sys.prefix)
    return tmp_path


def test_every_command_is_run_somewhere() -> None:
    """Those of make are steps of the workflow, the others are run below."""
    make = [command for command in COMMANDS if command.startswith("make ")]
    assert sorted(COMMANDS) == sorted([*make, *(block.commands[0] for block in ONE_BY_ONE)])
    assert len(ONE_BY_ONE) >= 9
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    if workflow.exists():  # it is no part of a source distribution
        steps = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]["readme"]["steps"]
        assert {step.get("run") for step in steps} >= {*make, "make readme"}


@pytest.mark.parametrize("block", [*ONE_BY_ONE, *PAGES], ids=str)
def test_commands_run_as_they_stand_there(block: Block, folder: Path) -> None:
    if block.skip:
        pytest.skip(block.skip)
    if block.needs:
        pytest.importorskip(block.needs)
    if "my_kernels" in (code := python(block.page)):
        (folder / "my_kernels.py").write_text(code, encoding="utf-8")
    for command in block.as_run():
        done = shell(command, folder)
        # The machine that runs this may be one whose timings cannot be trusted; a hunt may find something.
        allowed = (0, 4) if " validate" in command else (0, 1) if " hunt " in command else (0,)
        assert done.returncode in allowed, done.stdout + done.stderr
        assert done.stdout or ">" in command or "--out" in command


def test_installing_gives_the_command(tmp_path: Path) -> None:
    """In a clone; the dependencies and the build tool come from this environment, so that nothing is downloaded."""
    (command,) = re.findall(r"`(pip install \.)`", section("Installing"))
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=not_shipped)
    venv.create(tmp_path / "env", with_pip=True)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    own = {"PATH": os.pathsep.join([str(tmp_path / "env" / "bin"), os.environ["PATH"]]), "PYTHONPATH": ""}
    done = shell(f"{command} --no-build-isolation --no-deps --ignore-installed", clone, **own)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("convbench --help", "python -m convbench --help"):
        done = shell(said, tmp_path, **own)
        assert done.returncode == 0, done.stderr
        assert "kernel" in done.stdout
    found = shell("python -c 'import convbench; print(convbench.__file__)'", tmp_path, **own)
    assert Path(found.stdout.strip()).is_relative_to(tmp_path / "env")
