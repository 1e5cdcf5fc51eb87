"""A sweep on a real Slurm of one node, which this test starts and stops."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.slow.jobs import sweep_with_a_kill

pytestmark = pytest.mark.slow

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
CONFIGURATION = """
ClusterName=convbench
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName=localhost CPUs={cpus} RealMemory={megabytes} State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def programs() -> None:
    """Installs what is missing of Slurm, where that can be done; skips where not."""
    if find_spec("hydra_plugins") is None or find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        pytest.skip("needs hydra-submitit-launcher: pip install '.[slurm]'")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if os.getuid() != 0:
        pytest.skip("starting slurmd needs root")
    if not all(map(shutil.which, PROGRAMS)) and shutil.which("apt-get"):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
            subprocess.run(["apt-get", "--quiet", *command], capture_output=True, check=False)
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install --no-install-recommends {' '.join(PACKAGES)}")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables that lead to a Slurm of one node on this machine."""
    programs()
    folder = tmp_path_factory.mktemp("slurm")
    top = tmp_path_factory.getbasetemp()
    for parent in (folder, *takewhile(lambda path: path.name.startswith(("pytest-", "popen-")), (top, *top.parents))):
        parent.chmod(0o755)  # munged runs as another user
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o755)
    (folder / "munge/key").write_bytes(os.urandom(1024))
    (folder / "munge/key").chmod(0o600)
    owner = pwd.getpwnam("munge")
    for path in (folder / "munge", folder / "munge/key"):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    megabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    text = CONFIGURATION.format(
        folder=folder, controller=free_port(), daemon=free_port(), cpus=os.cpu_count(), megabytes=megabytes * 9 // 10
    )
    (folder / "slurm.conf").write_text(text)
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    with _daemons(folder, environment):
        _wait(folder, environment, ["scontrol", "show", "node", "localhost"], lambda shown: "State=IDLE" in shown)
        yield environment
        _wait(folder, environment, ["squeue", "--noheader"], lambda shown: not shown)


@contextmanager
def _daemons(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    names = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munged = ["munged", "--foreground", *(f"--{option}={folder}/munge/{name}" for option, name in names.items())]
    with ExitStack() as stack:
        stack.enter_context(_daemon(munged, environment, user="munge", group="munge", extra_groups=[]))
        deadline = time.monotonic() + 60
        while not (folder / "munge/socket").exists():
            assert time.monotonic() < deadline, "munged does not start"
            time.sleep(0.1)
        stack.enter_context(_daemon(["slurmctld", "-D", "-i"], environment))
        stack.enter_context(_daemon(["slurmd", "-D", "-N", "localhost"], environment))
        yield


@contextmanager
def _daemon(command: list[str], environment: dict[str, str], **options: Any) -> Iterator[None]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, **environment}, **quiet, **options)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(folder: Path, environment: dict[str, str], command: list[str], until: Callable[[str], bool]) -> None:
    """Asks Slurm until the answer is as wished."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        env = {**os.environ, **environment}
        asked = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if asked.returncode == 0 and until(asked.stdout):
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
    pytest.fail(f"{command}: {asked.stdout} {asked.stderr}\n{logs}")


def test_a_killed_job_loses_nothing(slurm: dict[str, str], tmp_path: Path) -> None:
    """Without accounting Slurm tells nobody that a job died: the driver sees that it is silent."""
    options = ("hydra.launcher.timeout_min=5", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2")
    swept = sweep_with_a_kill(tmp_path / "out", "hydra/launcher=submitit_slurm", *options, environment=slurm)
    print(swept.transcript)
    assert swept.killed
    swept.assert_nothing_is_lost()
