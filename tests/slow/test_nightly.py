"""Five nights with real measurements: baseline, good, regressed, mended, noisy; each as its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.environ.get("CONVBENCH_NIGHTLY") != "1",
        reason="times real nights for ten minutes and needs the machine to itself: CONVBENCH_NIGHTLY=1 runs it",
    ),
]

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / ".ci" / "nightly.py"

# `mood` is the state of the method under test on this night: quick, slow (every call made twice) or erratic.
OWN = """
import random
import time
from pathlib import Path
from convbench.methods.explicit import prepare

def grad(problem):
    mood = (Path(__file__).parent / "mood").read_text()
    call = prepare(problem)

    def slow():
        call()
        return call()

    def erratic():
        time.sleep(random.expovariate(20))
        return call()

    return {"quick": call, "slow": slow, "erratic": erratic}[mood]
"""


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
        command = [sys.executable, str(SCRIPT), name, "--device=cpu", "--baselines", str(self.folder / "kept"), *words]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def night(self, mood: str) -> tuple[int, int, str]:
        """Exit codes of sweep and gate, and what the gate said."""
        (self.folder / "mood").write_text(mood)
        self.nights += 1
        out = f"--out=night-{self.nights}"
        settings = ["size=24", "kernel=3,5", "methods=[autograd,own:grad]", "measure.max_time_s=4"]
        swept, _ = self.step("sweep", out, *settings)
        code, said = self.step("gate", out)
        return swept, code, said

    def baseline(self) -> str:
        (link,) = [path for path in (self.folder / "kept" / "kernels").iterdir() if path.is_symlink()]
        return os.readlink(link)


@pytest.mark.skipif(not SCRIPT.exists(), reason="the script is not part of a source distribution")
def test_nights(tmp_path: Path) -> None:
    runner = Runner(tmp_path)

    swept, code, said = runner.night("quick")
    assert (swept, code) == (0, 4), said
    assert "nothing was compared" in said
    first = runner.baseline()

    swept, code, said = runner.night("quick")
    assert (swept, code) == (0, 0), said
    second = runner.baseline()
    assert second != first

    swept, code, said = runner.night("slow")
    assert (swept, code) == (0, 1), said
    page = (tmp_path / "night-3" / "compare.md").read_text()
    assert page.startswith("## convbench: REGRESSION")
    assert "2 stand" in page
    assert page.count("measured again") == 3
    assert runner.baseline() == second

    swept, code, said = runner.night("erratic")
    assert (swept, code) in ((0, 4), (0, 1)), said
    assert runner.baseline() == second

    swept, code, said = runner.night("quick")
    assert (swept, code) == (0, 0), said
    assert runner.baseline() not in (first, second)
    assert "no regression" in (tmp_path / "summary.md").read_text()
