"""A sweep on a real Ray cluster of two nodes on this machine, which this test starts and stops."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.slow.jobs import sweep_with_a_kill

pytestmark = pytest.mark.slow

# Ray 2.60 asks for tokens; on the loopback interface nobody else can come.
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
ADDRESS = "127.0.0.1"


@pytest.fixture(scope="module")
def ray() -> Iterator[str]:
    """The address of a cluster of two nodes with one processor each."""
    if find_spec("hydra_plugins") is None or find_spec("hydra_plugins.hydra_ray_launcher") is None:
        pytest.skip("needs hydra-ray-launcher: pip install '.[ray]'")
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # Sockets in pytest's own folder would have names too long.
    head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
    try:
        with ExitStack() as stack:
            stack.enter_context(_node(folder, *head))
            _wait_for_nodes(f"{ADDRESS}:{port}", 1)
            stack.enter_context(_node(folder, f"--address={ADDRESS}:{port}"))
            _wait_for_nodes(f"{ADDRESS}:{port}", 2)
            yield f"{ADDRESS}:{port}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _node(folder: Path, *options: str) -> Iterator[None]:
    command = [_program(), "start", "--block", f"--node-ip-address={ADDRESS}", "--num-cpus=1", "--disable-usage-stats"]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen([*command, *options], env={**os.environ, **ENVIRONMENT}, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()  # With --block the node's other processes end with it.
            process.wait(timeout=60)


def _program() -> str:
    return str(Path(sys.executable).with_name("ray"))


def _wait_for_nodes(address: str, number: int) -> None:
    asking = (
        f"import ray; ray.init(address='{address}', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        asked = subprocess.run(
            [sys.executable, "-c", asking],
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip().endswith(str(number)):
            return
        time.sleep(1)
    pytest.fail(f"Ray does not come up: {asked.stdout}{asked.stderr}")


def test_a_killed_worker_loses_nothing(ray: str, tmp_path: Path) -> None:
    options = ("hydra/launcher=ray", f"hydra.launcher.ray.init.address={ray}")
    swept = sweep_with_a_kill(tmp_path / "out", *options, environment=ENVIRONMENT)
    print(swept.transcript)
    assert swept.killed
    swept.assert_nothing_is_lost()
