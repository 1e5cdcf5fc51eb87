"""hunt in earnest: bugs of old releases planted as methods, those of the torch at hand, kills and resuming.

Each hunt is a process with a budget. What it finds is compared with what is known of the bug, not only that it found
something. The budgets are generous: on an idle machine the hunts end after a fraction of them.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import convbench
from tests import old_bugs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
BUDGET_S = 600
"""Of one planted bug."""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "convbench", "hunt", *words]


def hunt(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    without = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    env = {**without, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        command(*words), cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False
    )


def found(folder: Path) -> list[str]:
    """The texts of the regions."""
    return [file.read_text(encoding="utf-8") for file in sorted((folder / "hunt").glob("*.md"))]


def setting(text: str, name: str) -> str:
    """A line of the table of settings."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return line.split("|")[2].strip()


KNOWN: dict[str, Callable[[str], bool]] = {
    "beyond_the_last_stride": lambda text: int(setting(text, "stride")) >= 3 and setting(text, "wrt") == "input",
    "strided_over_padding": lambda text: setting(text, "op") == "conv3d",
    "depthwise_of_24": lambda text: setting(text, "groups") == "8" and setting(text, "wrt") == "weight",
    "groups_paired_wrongly": lambda text: setting(text, "groups") == "2" and setting(text, "wrt") == "weight",
    "stride_forgotten": lambda text: setting(text, "wrt") == "input" and setting(text, "kernel") == "1",
    "bias_in_16_bits": lambda text: setting(text, "dtype") == "bfloat16" and setting(text, "wrt") == "bias",
    "last_row_of_depthwise": lambda text: setting(text, "groups") == "8" and "3" in setting(text, "kernel"),
    "narrow_image": lambda text: setting(text, "in_channels") == "17" and setting(text, "wrt") == "input",
    "single_column": lambda text: setting(text, "in_channels") == "1" and setting(text, "wrt") == "weight",
    "never_written": lambda text: (
        setting(text, "memory_format") == "channels_last" and setting(text, "in_channels") == "1"
    ),
    "no_primitive": lambda text: setting(text, "in_channels") == "105" and setting(text, "kernel") == "1",
}
"""What the simplest configuration of each bug has to have."""


@pytest.mark.parametrize(
    "bug",
    [
        # One of them also outside of campaigns; ten hunts take a minute or two each.
        pytest.param(bug, id=bug.__name__, marks=[] if bug is old_bugs.FAIL[0] else pytest.mark.campaign)
        for bug in (*old_bugs.FAIL, *old_bugs.CRASH)
    ],
)
def test_bugs_of_old_releases_are_found_and_simplified(bug: Callable[..., Any], tmp_path: Path) -> None:
    name = bug.__name__
    objective = "fail" if bug in old_bugs.FAIL else "crash"
    methods = f"methods=[tests.old_bugs:{name}]"
    own = f"baseline=tests.old_bugs:{name}"  # nothing else is run
    words = (
        f"objective={objective}",
        methods,
        own,
        *old_bugs.LEFT_OPEN.get(name, ()),
        "regions=1",
        f"budget_s={BUDGET_S}",
        "out=out",
    )
    done = hunt(tmp_path, *words, "ONEDNN_MAX_CPU_ISA=unset")
    assert done.returncode == 1, done.stdout + done.stderr
    texts = found(tmp_path / "out")
    assert any(KNOWN[name](text) for text in texts), texts
    rows = convbench.load(tmp_path / "out")
    assert (rows["accuracy"].eq("fail") | rows["status"].isin(["crash", "error"])).any()


@pytest.mark.campaign
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bug is in kernels for x86")
def test_out_of_bounds_1x1_gradient_is_found(tmp_path: Path) -> None:
    """oneDNN#6035 in the torch at hand, with no knowledge of it; the script that is written shows it."""
    done = hunt(tmp_path, "objective=crash", "regions=1", "budget_s=600", "out=out", ONEDNN_MAX_CPU_ISA="AVX2")
    if done.returncode == 0 and not onednn_6035():
        pytest.skip("this torch does not have the bug")
    assert done.returncode == 1, done.stdout + done.stderr
    # A stride of 2 along one axis is enough.
    known = [t for t in found(tmp_path / "out") if setting(t, "kernel") == "1" and "2" in setting(t, "stride")]
    assert known, done.stdout
    assert setting(known[0], "memory_format") == "channels_last"
    assert setting(known[0], "wrt") == "weight"
    assert "the script is killed by" in known[0] or "the script shows it" in known[0]


def onednn_6035() -> bool:
    """Whether a dozen lines of plain torch die of it."""
    from tests.findings import FINDINGS, outcome

    (one,) = (finding for finding in FINDINGS if "oneDNN#6035" in finding.said)
    return "dies" in outcome(one.code, "AVX2 at most")


def test_a_hunt_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Twice: by force while it runs, then by SIGINT; the last run reuses what the others measured."""
    words = ("objective=fail", "methods=[autograd]", "dtype=float64", "op=conv2d", "out=out", "budget_s=300")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("ONEDNN_MAX_CPU_ISA", None)  # a label of every trial, and not there in the last run
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = subprocess.Popen(command(*words), cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
        wait_for_lines(tmp_path, lines(tmp_path) + 20)
        process.send_signal(number)
        assert process.wait(120) == code
    measured = lines(tmp_path)
    done = hunt(tmp_path, *words, "limit=30")
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path) == measured
    runs = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["runs"]
    assert [run["ended_at"] is None for run in runs] == [True, False, False]


def lines(folder: Path) -> int:
    return sum(len(file.read_bytes().splitlines()) for file in (folder / "out" / "parts").glob("*.jsonl"))


def wait_for_lines(folder: Path, number: int) -> None:
    ends = time.monotonic() + 300
    while lines(folder) < number:
        assert time.monotonic() < ends
        time.sleep(0.2)
