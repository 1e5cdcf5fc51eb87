"""The proof on the device that every machine has, for real; and killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
WORDS = (sys.executable, "-m", "convbench", "validate", "--proof", "device=cpu")
NEEDS_QUIET = ("cold and hot", "validate", "two nights")
"""Checks in which a busy machine may be all that is seen, beside those of the stage `timers`."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def results(out: Path) -> list[dict[str, Any]]:
    file = out / "checks.jsonl"
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else []
    return [json.loads(line) for line in lines]


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_the_cpus_half_passes(tmp_path: Path) -> None:
    """All of it that a CPU can tell, but for most of the timers, which are one like the other."""
    stages = ("stages=primitives,program", "stages=timers only=shape [148] float32*hot")
    for words in stages:
        command = [*WORDS, f"out={tmp_path}", *words.split(" ", 1)]
        done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 4), done.stdout + done.stderr
        assert (tmp_path / "proof.html").is_file()
    found = {one["name"]: one for one in results(tmp_path)}
    failed = {name: one for name, one in found.items() if one["verdict"] == "fail"}
    assert not failed
    untold = {name for name, one in found.items() if one["verdict"] == "could not tell"}
    assert untold <= {name for name, one in found.items() if one["stage"] == "timers" or name in NEEDS_QUIET}
    assert found["a hang of 40 s"]["seconds"] < 40 + 60
    assert sum(one["verdict"] == "pass" for one in found.values()) >= 15
    (environment_id,) = json.loads((tmp_path / "environment.json").read_text())
    assert {one["made"][2] for one in found.values()} == {environment_id}


def test_killed_it_goes_on_after_what_was_done(tmp_path: Path) -> None:
    command = [*WORDS, f"out={tmp_path}", "only=device,clock of the host,cold and hot,TF32 by words,out of memory"]
    with subprocess.Popen(
        command, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as program:
        end = time.monotonic() + 120
        while len(results(tmp_path)) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        program.send_signal(signal.SIGKILL)
    before = [one["name"] for one in results(tmp_path)]
    assert len(before) in (2, 3)
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 4), done.stdout + done.stderr
    after = [one["name"] for one in results(tmp_path)]
    assert after[: len(before)] == before
    assert sorted(after) == ["TF32 by words", "clock of the host", "cold and hot", "device", "out of memory"]
