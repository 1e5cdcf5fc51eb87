"""Nights with real measurements: baseline, regressed, noisy, mended; each step as its own process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent

# `mood` is the state of the method under test on this night: quick, slow (twice the work) or erratic (the same work in
# the median, but drawn anew whenever another method ran in between, that is for every sample).
OWN = """
import math
import random
import time
from pathlib import Path
from convbench.methods.explicit import prepare

PAUSE_S = 0.003

def grad(problem):
    call = prepare(problem)
    mood = (Path(__file__).parent / "mood").read_text()
    work, end = {"quick": 4, "slow": 8, "erratic": 4}[mood], 0.0

    def repeated():
        nonlocal work, end
        if mood == "erratic" and time.perf_counter() - end > PAUSE_S:
            work = max(1, round(random.lognormvariate(math.log(4), 1)))
        for _ in range(work):
            result = call()
        end = time.perf_counter()
        return result

    return repeated
"""

# Sixty pairs in one process, no fewer and no more: enough to see a factor of two on a busy machine; erratic times still
# show nothing.
SETTINGS = (
    "size=24",
    "kernel=3,5",
    "methods=[autograd,own:grad]",
    "measure.looks=[60]",
    "measure.processes=1",
    "measure.backward=false",
)


class Runner:
    """A machine that runs nights, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "own.py").write_text(OWN)
        self.nights = 0

    def step(self, name: str, *words: str) -> tuple[int, str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        env = {k: v for k, v in os.environ.items() if k not in ("SWEEP", "DEVICE", "SHARD", "NIGHTLY_OUT", "BASELINES")}
        env |= {"PYTHONPATH": path, "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md")}
        kept = ("--sweep=kernels", "--device=cpu", "--baselines", str(self.folder / "kept"))
        command = [sys.executable, "-m", "convbench", "nightly", name, *kept, *words]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def night(self, mood: str) -> tuple[int, int, str]:
        """Exit codes of sweep and gate, and what the two said."""
        (self.folder / "mood").write_text(mood)
        self.nights += 1
        out = f"--out=night-{self.nights}"
        swept, at_first = self.step("sweep", out, *SETTINGS)
        code, then = self.step("gate", out)
        print(at_first, then)
        return swept, code, then

    def quiet_night(self, mood: str) -> tuple[int, int, str]:
        """The first night of three at most after which a suspect is not in doubt, as other work can leave it."""
        for _ in range(3):
            swept, code, said = self.night(mood)
            if code != 4:
                break
        return swept, code, said

    def baseline(self) -> str:
        (link,) = [path for path in (self.folder / "kept" / "kernels").iterdir() if path.is_symlink()]
        return os.readlink(link)


def test_nights(tmp_path: Path) -> None:
    runner = Runner(tmp_path)

    swept, code, said = runner.night("quick")
    assert (swept, code) == (0, 0), said
    assert "nothing was compared" in said
    first = runner.baseline()

    swept, code, said = runner.quiet_night("slow")
    assert (swept, code) == (0, 1), said
    page = (tmp_path / f"night-{runner.nights}" / "compare.md").read_text()
    assert page.startswith("## convbench: REGRESSION")
    # Both planted slowdowns as a rule; a burst of other work may leave one in doubt, or add a suspect that is cleared.
    confirmed = re.search(r"(\d+) of \1 suspects; ([1-9]\d*) stand", page)
    assert confirmed, page
    assert runner.baseline() == first

    swept, code, said = runner.night("erratic")
    assert (swept, code) == (0, 4), said
    assert "INCONCLUSIVE (too noisy)" in said
    assert runner.baseline() == first

    swept, code, said = runner.quiet_night("quick")
    assert (swept, code) == (0, 0), said
    assert runner.baseline() != first
    assert "no regression" in (tmp_path / "summary.md").read_text()
