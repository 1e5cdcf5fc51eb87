"""Duets: against environments that are made up, so that the truth is known, and one real side in this process."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import convbench
from convbench import cli
from convbench.comparison import command as compare
from convbench.duet import command as duet
from convbench.duet import passes
from convbench.duet.duel import Duel
from convbench.duet.rows import rows_of, show
from convbench.duet.sides import interpreter
from convbench.execution.boot import BOOT
from convbench.facts.record import Record
from convbench.facts.values import InvalidValue
from convbench.results.table import records
from convbench.sweep import plan
from convbench.timing.clocks import Reading
from convbench.timing.samples import Samples
from tests import made_up

STUB = Path(__file__).parent / "stub_side.py"
QUICK = ["measure.looks=[6]", "measure.min_time_s=0", "device=cpu", "kernel=3,5"]


def python(folder: Path, name: str, **behaviour: Any) -> str:
    """An executable that stands for the interpreter of an environment."""
    script = folder / name
    words = shlex.join([sys.executable, "-S", str(STUB), json.dumps(behaviour)])
    script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    script.chmod(0o755)
    return str(script)


def run(folder: Path, a: str, b: str, *words: str) -> tuple[int, dict[tuple[str, str], Record]]:
    """The exit code, and the rows by (kernel's method, side)."""
    code = cli.main(
        ["duet", "--a", a, "--b", b, f"out={folder / 'out'}", "methods=[autograd,explicit]", *QUICK, *words]
    )
    rows = records(convbench.load(folder / "out"))
    found: dict[tuple[str, str], Record] = {}
    for row in rows:
        method, _, side = row["method"].partition("@")
        found.setdefault((method, side), row)
    assert len({(row["run_key"], row["method"]) for row in rows}) == len(rows)
    return code, found


def test_equal_environments_are_neither_faster_nor_slower(tmp_path: Path) -> None:
    code, rows = run(tmp_path, python(tmp_path, "a", layout=0.003), python(tmp_path, "b", layout=0.003))
    assert code == 0
    assert set(rows) == {(m, s) for m in ("autograd", "explicit") for s in "ab"}
    for method in ("autograd", "explicit"):
        a, b = rows[method, "a"], rows[method, "b"]
        assert a["baseline"] == b["baseline"] == f"{method}@a"
        assert a["speedup"] == 1.0
        assert "speed" not in a
        assert b["speed"] == "equivalent"
        assert b["speedup_low"] <= b["speedup"] <= b["speedup_high"]
        assert b["equals_baseline"] is True
        assert b["samples"] == 6 * 6
        assert b["flops"] == 2 * 17 * 17 * 9 * 4


def test_slower_environment_is_slower(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = python(tmp_path, "a", id="e1"), python(tmp_path, "b", id="e2", methods={"explicit": 1.1})
    code, rows = run(tmp_path, a, b)
    assert code == 0
    assert rows["explicit", "b"]["speed"] == "slower"
    assert rows["explicit", "b"]["speedup"] == pytest.approx(1 / 1.1, rel=0.02)
    assert rows["autograd", "b"]["speed"] == "equivalent"
    assert set(json.loads((tmp_path / "out" / "environment.json").read_text())) == {"e1", "e2"}
    captured = capsys.readouterr()
    told = captured.err.splitlines()
    assert [line.partition(":")[0] for line in told] == [f"pair of processes {n}/6" for n in range(1, 7)]
    out = " ".join(captured.out.split())
    assert "a: torch 9.9 (built for CPU) · Python 3.99" in out
    assert "slower" in out


@pytest.mark.slow
def test_layout_of_single_processes_is_not_taken_for_a_difference(tmp_path: Path) -> None:
    """Processes 10% apart from one another: within each the pairs are close, over six the interval is wide."""
    a, b = python(tmp_path, "a", layout=0.1), python(tmp_path, "b", layout=0.1)
    _, rows = run(tmp_path, a, b)
    row = rows["explicit", "b"]
    assert row["speedup_high"] / row["speedup_low"] > 1.05


def test_speed_columns_follow_from_the_kept_samples(tmp_path: Path) -> None:
    import pandas as pd

    a, b = python(tmp_path, "a", layout=0.02), python(tmp_path, "b", layout=0.02)
    _, rows = run(tmp_path, a, b, "measure.samples=true")
    row = rows["explicit", "b"]
    raw = pd.read_parquet(tmp_path / "out" / "samples.parquet")
    raw = raw[raw["run_key"] == row["run_key"]]
    times, places = (
        raw.pivot_table(index=["process", "round"], columns="method", values=v) for v in ("time_s", "position")
    )
    logs = np.log(times["explicit@a"] / times["explicit@b"])
    medians = logs.groupby(
        [logs.index.get_level_values("process"), places["explicit@a"] < places["explicit@b"]]
    ).median()
    found = medians.groupby("process").mean()
    assert len(found) == 6
    ends = stats.t.interval(0.95, 5, found.mean(), stats.sem(found))
    assert (row["speedup_low"], row["speedup_high"]) == pytest.approx(tuple(np.exp(ends)), rel=1e-6)
    assert row["speedup"] == pytest.approx(math.exp(found.mean()), rel=1e-6)
    firsts = raw[raw["position"] == 0]["method"].value_counts()
    assert firsts.min() >= 8


@pytest.mark.parametrize(
    ("what", "status", "reason"),
    [
        pytest.param("die judge", "crash", "killed by signal 11 (SIGSEGV): error: last words", marks=pytest.mark.slow),
        ("die sample", "crash", "killed by signal 11 (SIGSEGV): error: last words"),
        pytest.param(
            "die prepare", "crash", "killed by signal 11 (SIGSEGV): error: last words", marks=pytest.mark.slow
        ),
        pytest.param(
            "throw judge", "oom", "killed by signal 6 (SIGABRT): what():  std::bad_alloc", marks=pytest.mark.slow
        ),
        pytest.param(
            "throw sample", "oom", "killed by signal 6 (SIGABRT): what():  std::bad_alloc", marks=pytest.mark.slow
        ),
        pytest.param("close judge", "crash", "the process closed its connection to convbench", marks=pytest.mark.slow),
        pytest.param("hang sample", "timeout", "timed out after 0.5 s (timeout_s)", marks=pytest.mark.slow),
        pytest.param("raise prepare", "error", "RuntimeError: no such kernel", marks=pytest.mark.slow),
        ("raise sample", "error", "RuntimeError: no such kernel"),
    ],
)
def test_method_that_fails_on_one_side_costs_its_own_row(tmp_path: Path, what: str, status: str, reason: str) -> None:
    a, b = python(tmp_path, "a"), python(tmp_path, "b", does={"explicit": what})
    code, rows = run(tmp_path, a, b, "timeout_s=0.5")
    assert code == 3
    assert (rows["explicit", "b"]["status"], rows["explicit", "b"]["reason"]) == (status, reason)
    assert "speedup" not in rows["explicit", "b"]
    assert rows["explicit", "a"]["status"] == "ok"
    assert rows["autograd", "b"]["samples"] == 36


def test_wrong_gradient_is_not_timed_and_exits_1(tmp_path: Path) -> None:
    code, rows = run(tmp_path, python(tmp_path, "a"), python(tmp_path, "b", does={"explicit": "wrong"}))
    assert code == 1
    assert "time_s" not in rows["explicit", "a"]
    assert "time_s" in rows["autograd", "a"]


def test_accuracy_alone(tmp_path: Path) -> None:
    code, rows = run(tmp_path, python(tmp_path, "a"), python(tmp_path, "b"), "measure=none")
    assert code == 0
    assert rows["explicit", "b"]["accuracy"] == "ok"
    assert "time_s" not in rows["explicit", "b"]


@pytest.mark.slow
def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = python(tmp_path, "a")
    run(tmp_path, a, a)
    assert cli.main(["duet", "--a", a, "--b", a, f"out={tmp_path / 'out'}"]) == 2
    assert "a duet does not resume; give another folder" in capsys.readouterr().err


def test_mistakes_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'torch'\" >&2\nexit 1\n")
    silent.chmod(0o755)
    good = python(tmp_path, "a")
    cases = [
        (["--a", "/nowhere", "--b", good], "--a /nowhere is not a Python interpreter"),
        (["--a", "~no-such-user", "--b", good], "--a ~no-such-user is not a Python interpreter"),
        (["--a", good, "--b", str(tmp_path)], "is not a Python interpreter"),
        (
            ["--a", good, "--b", str(silent)],
            "status 1: ModuleNotFoundError: No module named 'torch'",
        ),
        (["--a", good, "--b", good, "--processes", "2"], "gives no interval to judge by; give at least 3"),
        (["--a", good, "--b", good, "isolation=none"], "isolation=none means nothing to a duet"),
        (
            ["--a", good, "--b", good, "+measure.processes=12"],
            "measure.processes=12 is given to a duet as --processes 12",
        ),
        (["--a", good, "--b", good, "kernal=3"], "no setting named 'kernal'; did you mean kernel?"),
    ]
    for words, said in cases:
        assert cli.main(["duet", *words]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


@pytest.mark.slow
def test_compare_torch_is_the_same_command(tmp_path: Path) -> None:
    a, b = python(tmp_path, "a"), python(tmp_path, "b", factor=1.2)
    words = ["compare", "--torch", a, b, f"out={tmp_path / 'out'}", "methods=[explicit]", "baseline=explicit", *QUICK]
    assert cli.main(words) == 0
    assert set(convbench.load(tmp_path / "out")["speed"].dropna()) == {"slower"}
    with pytest.raises(InvalidValue, match="compare --torch needs two Python environments"):
        compare.main(["--torch", a])


def test_environment_is_known_by_the_link_it_is_called_through(tmp_path: Path) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").symlink_to(sys.executable)
    assert interpreter("--a", str(tmp_path / "env")) == str(tmp_path / "env" / "bin" / "python")


def test_one_pair_of_processes_gives_no_interval() -> None:
    """An interrupted duet keeps its times; the ratio of one pair of processes alone proves nothing."""
    spec = plan.planned(["device=cpu"]).sweep[0]
    fight = Duel(spec, "explicit")
    columns = {k: v for k, v in fight.spec.columns().items() if v is not None}
    fight.rows = {side: {**columns, "method": "explicit", "status": "ok", "accuracy": "ok"} for side in "ab"}
    arms = (fight.arm("a"), fight.arm("b"))
    fight.parts = [Samples(arms, 0, 0.03, 0.01, [[2e-3, 1e-3]] * 6, [[1, 1]] * 6, [[0, 1]] * 6)]
    b = rows_of(fight)[1]
    assert b["speedup"] == 2.0
    assert not {"speedup_low", "speedup_high", "speed"} & b.keys()


def test_layers_of_one_shape_have_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a configuration has the same name in the lines of all its methods."""
    rows: list[Record] = []
    for layer in ("conv1", "conv2"):
        for method in ("autograd", "explicit"):
            fight = Duel(made_up.spec(labels={"layer": layer, "note": 30 * layer}), method)
            known = {key: value for key, value in fight.spec.columns().items() if value is not None}
            fight.rows = {side: {**known, "method": method, "status": "ok", "accuracy": "ok"} for side in "ab"}
            rows += rows_of(fight)
    show(rows, tmp_path, ["a: torch 2", "b: torch 2"])
    said = capsys.readouterr().out
    assert [said.count(layer) for layer in ("conv1 ·", "conv2 ·")] == [2, 2]


def test_real_side_prepares_and_samples() -> None:
    """The other end of the pipes, in this process: real torch, a tiny configuration."""
    from convbench.execution.method_server import MethodServer, bind

    spec = plan.planned(["device=cpu", "size=6", "kernel=3", "methods=[autograd,explicit]"]).sweep[0]
    side = MethodServer()
    before = os.sched_getaffinity(0)
    try:
        assert set(side.hello()) == {"torch", "python", "built_for"}
        cores = passes.cores_for(spec)
        assert len(cores) == 1
        side.configure(spec.to_dict(), cores=cores)
        assert os.sched_getaffinity(0) == set(cores)
        for method in spec.arms:
            side.prepare(method)
            assert {"sample_s", "warmup_s", "max_calls"} <= side.ready().keys()
            one, many = (Reading(**side.sample(calls, warm=True)["reading"]) for calls in (1, 200))
            assert 0 < one.spent_s < many.spent_s
            assert 0 < many.seconds < many.spent_s / 50
    finally:
        side.close()
        bind(sorted(before))


@pytest.mark.slow
def test_two_real_environments(tmp_path: Path) -> None:
    """This one against itself, by the path of its package, as another environment would load it."""
    words = ["size=5", "kernel=3", "methods=[explicit]", "baseline=explicit", "timeout_s=120"]
    out = tmp_path / "out"
    duel_words = ["duet", "--a", sys.executable, "--b", sys.executable, f"out={out}", *QUICK[:3], *words]
    assert cli.main([*duel_words, "measure=none"]) == 0
    rows = records(convbench.load(out))
    assert [row["method"] for row in rows] == ["explicit@a", "explicit@b"]
    assert {row["accuracy"] for row in rows} == {"ok"}
    assert rows[1]["equals_baseline"] is True


def test_threads_of_before_are_bound_as_well() -> None:
    """torch's pool exists when a configuration comes; a core of another side's would be shared with it."""
    from convbench.execution.method_server import bind

    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("needs two cores")
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert thread.native_id
        bind([])
        assert os.sched_getaffinity(thread.native_id) == before
        bind([min(before)])
        assert os.sched_getaffinity(0) == os.sched_getaffinity(thread.native_id) == {min(before)}
    finally:
        bind(sorted(before))
        end.set()
        thread.join()


def test_child_loads_this_convbench_and_nothing_else_of_this_environment(tmp_path: Path) -> None:
    """The boot code finds the package by its path alone, from an interpreter that has no packages at all."""
    home = str(Path(convbench.__file__).parent)
    code = BOOT.replace(
        "from convbench.execution.child_main import main\nmain(sys.argv[2:])",
        "print(sorted(sys.path), convbench_facts())",
    )
    code = code.replace(
        "import importlib.util, sys",
        "import importlib.util, sys\ndef convbench_facts():\n from convbench.facts import spec\n return spec.__file__",
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, home], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(f"{home}/facts/spec.py")
    assert "site-packages" not in done.stdout.split("]")[0]


def test_fail_if_slower_judges_as_compare_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = python(tmp_path, "a", layout=0.003)
    slow = python(tmp_path, "slow", layout=0.003, methods={"explicit": 1.5})
    page = tmp_path / "page.md"
    code, _ = run(tmp_path, a, slow, "--fail-if-slower", "--format", "markdown", "--out", str(page))
    assert code == 1
    text = page.read_text()
    assert text.startswith("## convbench: REGRESSION\n\n2 cells on both sides, 2 of them compared by speed; 1 slower;")
    sides = [f"{side}: torch 9.9 (built for CPU) · Python 3.99" for side in "ab"]
    assert "BASE `{}` · NEW `{}`".format(*sides) in text
    assert "b against a" in capsys.readouterr().out
    assert cli.main(["compare", str(tmp_path / "out")]) == 1


@pytest.mark.slow
def test_fail_if_slower_passes_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = python(tmp_path, "a", layout=0.003)
    code, _ = run(tmp_path, a, a, "--fail-if-slower", "--format", "json")
    assert code == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "good"


@pytest.mark.slow
def test_a_format_alone_fails_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, slow = python(tmp_path, "a", layout=0.003), python(tmp_path, "slow", layout=0.003, factor=2)
    code, _ = run(tmp_path, a, slow, "--format", "json")
    assert code == 0
    assert json.loads(capsys.readouterr().out)["exit_code"] == 1


def test_fail_if_slower_says_wrong_before_unmeasured_before_untrusted(tmp_path: Path) -> None:
    exits = [(3, 1, 1), (1, 4, 1), (3, 4, 3), (0, 4, 4), (0, 0, 0), (130, 1, 130)]
    assert [duet._worst(own, judged) for own, judged, _ in exits] == [code for *_, code in exits]
