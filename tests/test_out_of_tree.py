"""A type of device that another package adds, through the real program: convbench names it nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pandas as pd
import pytest

from convbench.facts.devices import check_device
from convbench.facts.values import InvalidValue
from tests.repositories import RIGHT, SLOW, commit, git, repository

ROOT = Path(__file__).parent.parent
PACKAGES = Path(__file__).parent / "out_of_tree"


def convbench(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program as a person runs it, where the device's package is installed."""
    path = os.pathsep.join((str(PACKAGES), str(ROOT)))
    return subprocess.run(
        [sys.executable, "-m", "convbench", *words],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "120", **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def sweep(out: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return convbench("methods=[autograd,explicit]", f"out={out}", *words, **environment)


def test_its_word_is_known_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidValue, match=r"allowed: cpu, cuda, cuda:N, xpu, xpu:N, mps$"):
        check_device("turtle")
    monkeypatch.syspath_prepend(str(PACKAGES))
    assert check_device("turtle") == "turtle"
    assert check_device("turtle:1") == "turtle:1"
    with pytest.raises(InvalidValue, match=r"mps, turtle, turtle:N$"):
        check_device("tortoise")


def test_convbench_does_not_name_it() -> None:
    assert not [path for path in (ROOT / "convbench").rglob("*.py") if "turtle" in path.read_text().lower()]


@pytest.mark.slow
def test_it_is_swept_reported_compared_and_validated(tmp_path: Path) -> None:
    words = ("-m", "device=turtle,turtle:1,turtle:2", "kernel=3,5", "measure=quick", "tf32=true")
    first = sweep(tmp_path / "first", *words)
    assert first.returncode == 0, first.stderr
    assert "no turtle:2: there are two → run where torch sees one, or leave device=turtle out" in first.stdout
    rows = pd.read_parquet(tmp_path / "first" / "results.parquet").set_index(["device", "kernel_h", "method"])
    assert rows.groupby("device").status.unique().map(list).to_dict() == {
        "turtle": ["ok"],
        "turtle:1": ["ok"],
        "turtle:2": ["skipped"],
    }
    timed = rows[rows.status == "ok"]
    assert timed.accuracy.eq("ok").all()
    assert (timed[["time_s", "speedup", "wall_s", "enqueue_s", "ceiling_tflops", "least_s"]] > 0).all(axis=None)
    # The result's bytes and one more, by its own count.
    assert timed.peak_bytes.eq(4 * 4 * 17 * 17 + 1).all()
    (environment,) = json.loads((tmp_path / "first" / "environment.json").read_text()).values()
    assert (environment["gpu"], environment["shell"], environment["full_speed"]) == ("a turtle", "hard", True)

    report = convbench("report", str(tmp_path / "first"), "--out", str(tmp_path / "report.html"))
    assert report.returncode == 0, report.stderr
    assert "turtle" in (tmp_path / "report.html").read_text()

    second = sweep(tmp_path / "second", *words, TURTLE_SHELL="soft")
    assert second.returncode == 0, second.stderr
    compared = convbench("compare", str(tmp_path / "first"), str(tmp_path / "second"))
    assert compared.returncode in (0, 1, 4), compared.stderr  # the machine may be busy
    assert "environment" in compared.stdout + compared.stderr

    validated = convbench("validate", "device=turtle", "measure=quick", "budget_s=15", "--json")
    assert validated.returncode in (0, 4), validated.stderr
    said = json.loads(validated.stdout)
    assert (said["device"], said["environment"]["gpu"]) == ("turtle", "a turtle")
    assert said["tries"] >= 1


@pytest.mark.slow
def test_a_pull_request_is_judged_on_it(tmp_path: Path) -> None:
    """Both sides' code on its queue, in six pairs of processes: the work of the branch is done twice."""
    folder = repository(tmp_path / "project")
    commit(folder, RIGHT)
    git(folder, "switch", "--quiet", "--create", "work")
    commit(folder, SLOW)
    case = ("in_channels=16", "out_channels=16", "size=32", "kernel=3")
    quick = ("measure=quick", "measure.looks=[6]", "measure.max_time_s=1", "measure.backward=false")
    words = (
        "--base",
        "main",
        "methods=[kernels:grad_input]",
        "device=turtle",
        f"out={tmp_path / 'out'}",
        *case,
        *quick,
    )
    done = convbench("gate", *words, cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("REGRESSION")
    rows = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert set(rows.device) == {"turtle"}
    assert set(rows.accuracy) == {"ok"}


@pytest.mark.slow
def test_it_is_proved_as_far_as_it_goes(tmp_path: Path) -> None:
    only = "only=device,clock of the host,queue,out of memory,TF32 by words,grid conv1d,shape 1 float32 input hot"
    done = convbench("validate", "--proof", "device=turtle", f"out={tmp_path}", only)
    assert done.returncode in (0, 4), done.stdout + done.stderr  # the machine may be busy
    found = {one["name"]: one for one in map(json.loads, (tmp_path / "checks.jsonl").read_text().splitlines())}
    verdicts = {name: one["verdict"] for name, one in found.items()}
    assert verdicts.pop("shape 1 float32 input hot") in ("pass", "could not tell")
    assert verdicts.pop("queue") == "does not apply"
    assert set(verdicts.values()) == {"pass"}, found
    assert "a turtle" in found["device"]["observed"]
    assert (tmp_path / "proof.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("decides", ["device", "wall"])
def test_where_launching_takes_longer_than_computing_both_times_are_told(tmp_path: Path, decides: str) -> None:
    """autograd takes the host three milliseconds to launch, and the device as long as ever."""
    words = ("device=turtle", "measure=quick", f"measure.time={decides}")
    done = sweep(tmp_path, *words, TURTLE_LAUNCH="autograd:0.003")
    assert done.returncode == 0, done.stderr + done.stdout
    rows = pd.read_parquet(tmp_path / "results.parquet").set_index("method")
    explicit = rows.loc["explicit"]
    assert explicit.wall_speed == "faster"
    assert explicit.wall_speedup_low > 3
    assert explicit.backward_speed == "faster", "a training step waits for the host as well"
    assert rows.wall_s["autograd"] > 0.003
    assert (rows.latency_s > 0).all()
    assert set(rows.time) == {decides}
    if decides == "wall":
        assert explicit.speedup == explicit.wall_speedup
    else:
        assert explicit.speedup < explicit.wall_speedup / 2
        assert rows.time_s["autograd"] < 0.003
        assert "wall" in done.stdout


@pytest.mark.slow
def test_it_is_skipped_where_it_is_away(tmp_path: Path) -> None:
    done = sweep(tmp_path, "device=turtle", "measure=none", "strict=true", TURTLE_AWAY="it went home")
    assert done.returncode == 3
    assert "no turtle: it went home" in done.stdout
    validated = convbench("validate", "device=turtle", TURTLE_AWAY="it went home")
    assert (validated.returncode, validated.stderr) == (
        4,
        "convbench: there is no device=turtle to validate: no turtle: it went home\n",
    )


@pytest.mark.slow
def test_own_methods_run_on_it_in_processes_of_their_own(tmp_path: Path) -> None:
    own = "examples.plain_dgrad:prepared"
    done = convbench(f"methods=[autograd,{own}]", "device=turtle", "measure=quick", f"out={tmp_path}")
    assert done.returncode == 0, done.stderr + done.stdout
    row = pd.read_parquet(tmp_path / "results.parquet").set_index("method").loc[own]
    assert (row.status, row.accuracy) == ("ok", "ok")
    assert row.speedup > 0


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["process", "none"])
def test_an_error_that_comes_back_from_the_queue_is_its_own_method_s(tmp_path: Path, isolation: str) -> None:
    words = ("device=turtle", "measure=quick", f"isolation={isolation}", "methods=[autograd,explicit,aten]")
    done = convbench(*words, f"out={tmp_path}", TURTLE_BREAKS="explicit:raises")
    assert done.returncode == 3, done.stderr + done.stdout
    rows = pd.read_parquet(tmp_path / "results.parquet").set_index("method")
    assert rows.status.to_dict() == {"autograd": "ok", "explicit": "error", "aten": "ok"}
    assert "RuntimeError: the turtle lay on its back" in rows.reason["explicit"]
    if isolation == "process":
        assert rows.speedup["aten"] > 0, "the others are timed beside each other again"


@pytest.mark.slow
def test_a_hang_among_queued_rounds_is_its_own_method_s_and_takes_no_longer_than_a_method_may(tmp_path: Path) -> None:
    words = ("device=turtle", "measure=quick", "timeout_s=8", "methods=[autograd,explicit,aten]")
    begun = monotonic()
    done = convbench(*words, f"out={tmp_path}", TURTLE_BREAKS="explicit:hangs")
    assert done.returncode == 3, done.stderr + done.stdout
    rows = pd.read_parquet(tmp_path / "results.parquet").set_index("method")
    assert rows.status.to_dict() == {"autograd": "ok", "explicit": "timeout", "aten": "ok"}
    assert rows.speedup["aten"] > 0
    assert monotonic() - begun < 300, "what convbench does itself may take ten minutes"
