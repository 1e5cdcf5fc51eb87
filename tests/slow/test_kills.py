"""kill -9 of the program at random moments, again and again: nothing measured is lost, and nothing is left behind.

`make campaigns` kills it fifty times.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from convbench.results.files import UNFINISHED
from convbench.results.store import decode_head
from tests.processes import ROOT, alive, children

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("CONVBENCH_KILLS", "10"))
CONFIGURATIONS = 40 * KILLS
KILLS_WHILE_MERGING = KILLS // 5
# What differs between two runs of the same configuration.
ONCE = ["started_at", "elapsed_s", "prepare_s", "first_call_s"]


def start(out: Path) -> subprocess.Popen[bytes]:
    """The program as a person starts it; every configuration takes 30 ms at least."""
    words = ["-m", f"seed=range(0,{CONFIGURATIONS})", "methods=[autograd,explicit,tests.faulty:slow]", "measure=none"]
    command = [sys.executable, "-m", "convbench", *words, f"out={out}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rows(out: Path) -> int:
    """Whole rows in all part files."""
    parts = sorted((out / "parts").glob("*.jsonl"))
    return sum(decode_head(line) is not None for part in parts for line in part.read_bytes().splitlines(keepends=True))


def kill(driver: subprocess.Popen[bytes]) -> None:
    """Kills a program with kill -9; its child must follow."""
    family = children(driver.pid)
    driver.kill()
    driver.wait()
    end = time.monotonic() + 10
    while any(alive(pid) for pid in family):
        assert time.monotonic() < end, "a child survived its parent"
        time.sleep(0.01)


def wait_for_rows(driver: subprocess.Popen[bytes], out: Path, more_than: int) -> None:
    while driver.poll() is None and rows(out) <= more_than:
        time.sleep(0.05)


def table(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "results.parquet").drop(columns=ONCE)


def test_nothing_is_lost(tmp_path: Path) -> None:
    rng = random.Random(0)
    killed, calm = tmp_path / "killed", tmp_path / "calm"
    before = 0
    for n in range(KILLS):
        driver = start(killed)
        # Every second time once it measures, else wherever it is.
        if n % 2:
            wait_for_rows(driver, killed, before)
        time.sleep(rng.uniform(0, 1.2 if n % 2 else 4))
        assert driver.poll() is None, "it ended before it could be killed; give it more to do"
        kill(driver)
        now = rows(killed)
        assert now >= before
        before = now
    assert before < 3 * CONFIGURATIONS
    assert start(killed).wait() == 0
    assert start(calm).wait() == 0
    pd.testing.assert_frame_equal(table(killed), table(calm))
    assert len(table(calm)) == rows(killed) == 3 * CONFIGURATIONS, "nothing is measured twice"
    print(
        f"\n{KILLS} kills, {before} rows kept by the last of them, {len(table(killed))} rows in the end, as undisturbed"
    )

    begun = time.monotonic()
    assert start(killed).wait() == 0
    lasted = time.monotonic() - begun
    for _ in range(KILLS_WHILE_MERGING):
        driver = start(killed)
        time.sleep(rng.uniform(0.5, 1) * lasted)
        kill(driver)
        pd.testing.assert_frame_equal(table(killed), table(calm))
    assert start(killed).wait() == 0
    assert not list(killed.glob(f".*{UNFINISHED}"))
