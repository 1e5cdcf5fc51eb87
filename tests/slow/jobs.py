"""A sweep of 30 configurations on a launcher, one of whose jobs is killed in the middle."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Timing takes a few tenths of a second per configuration, so that a chunk is still at work when its job is killed.
SWEEP = ("measure=quick", "size=4", "kernel=3", "in_channels=1", "methods=[autograd,explicit]")
NUMBER = 30


@dataclass(frozen=True)
class Swept:
    """What came of it: `killed` is the process id of the job that was killed, `transcript` all that was printed."""

    killed: int
    code: int
    transcript: str
    rows: list[dict[str, str]]

    def assert_nothing_is_lost(self) -> None:
        assert self.code == 0, self.transcript
        found = sorted((int(row["seed"]), row["method"], row["status"], row["accuracy"]) for row in self.rows)
        methods = ("autograd", "explicit")
        assert found == [(seed, method, "ok", "ok") for seed in range(NUMBER) for method in methods]
        assert "lost with their jobs" in self.transcript
        assert "they are launched again" in self.transcript


def sweep_with_a_kill(out: Path, *launcher: str, environment: Mapping[str, str] | None = None) -> Swept:
    """Runs the sweep in chunks of 10 and kills the first job that has written some rows, with SIGKILL."""
    command = [sys.executable, "-m", "convbench", "-m", f"seed=range({NUMBER})", *SWEEP, "chunk=10", f"out={out}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **(environment or {})}
    with (out.parent / "transcript.txt").open("w+") as log:
        process = subprocess.Popen([*command, *launcher], cwd=out.parent, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            killed = _kill_a_job_at_work(process, out)
            code = process.wait(timeout=420)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        transcript = log.read()
    table = out / "results.csv"
    text = table.read_text(encoding="utf-8") if table.exists() else ""
    return Swept(killed, code, transcript, list(csv.DictReader(text.splitlines())))


def _kill_a_job_at_work(process: subprocess.Popen[bytes], out: Path) -> int:
    while process.poll() is None:
        if sum(path.read_bytes().count(b"\n") for path in out.glob("parts/*.jsonl")) >= 6:
            for sign in sorted(out.glob("shares/*.alive")):
                pid = int(sign.read_text().split()[1])
                os.kill(pid, signal.SIGKILL)
                return pid
        time.sleep(0.05)
    return 0
