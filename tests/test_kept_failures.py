"""OUT/failures: what a failed method leaves there, through the program and by itself; bounds and full disks."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

from convbench.execution.in_process import InProcess
from convbench.facts.record import record
from convbench.failures import kept
from convbench.failures.failure import MOST_ELEMENTS, Failure
from convbench.failures.kept import NOT_KEPT, OF_A_METHOD, OF_A_RUN, Told, forget, keep, keep_all, reproducer
from convbench.failures.mistakes import in_float64
from convbench.findings import finders
from convbench.measurement import problem, reference
from convbench.results.rows import Rows

from .settings import make_spec

SHAPE: dict[str, Any] = {"op": "conv2d", "batch": 2, "in_channels": 3, "out_channels": 3, "size": 5, "kernel": 3}

METHODS = """
import torch.nn.functional as F

def unflipped(problem):
    return lambda: F.conv_transpose2d(problem.grad_output, problem.weight).roll(1, 2)

def raising(problem):
    def deeper():
        raise ArithmeticError("no such tile: " + "x" * 5000 + " the end")
    return deeper
"""


def test_rows_name_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of methods in this process; tests/slow has those of their own processes."""
    (tmp_path / "failing_kernels.py").write_text(METHODS)
    monkeypatch.syspath_prepend(tmp_path)
    methods = ["autograd", "failing_kernels:unflipped", "failing_kernels:raising"]
    (_, wrong, raised) = InProcess(tmp_path).run(make_spec(**SHAPE, methods=methods)).found
    for row in (wrong, raised):
        assert row["failure"] == f"failures/{row['config_id']}/{row['method'].replace(':', '.')}"
        found = {path.name for path in (tmp_path / row["failure"]).iterdir()}
        assert found - {"traceback.txt"} == {"failure.txt", "reproduce.py", "tensors.pt", "failing_kernels.py"}
        assert row["reason"] in (tmp_path / row["failure"] / "failure.txt").read_text()
    told = (tmp_path / raised["failure"] / "traceback.txt").read_text()
    assert "the end" not in raised["reason"], "which is cut"
    assert "the end" in told
    assert 'failing_kernels.py", line 9, in deeper' in told
    again = InProcess(tmp_path).run(make_spec(**SHAPE, methods=methods[:1])).found
    assert "failure" not in again[0]


def test_a_finding_names_the_folder_and_how_many_are_kept() -> None:
    common = {**make_spec(**SHAPE).columns(), "status": "error", "reason": "it raised", "method": "explicit"}
    kept_one: list[dict[str, Any]] = [{}, {"failure": "failures/c1/explicit"}, {}]
    rows = Rows.of([{**common, "config_id": f"c{n}", **one} for n, one in enumerate(kept_one)])
    (found,) = finders.failed(rows)
    said = f"; failures/c1/explicit in the run's folder keeps what it left (1 of 3 are kept: {NOT_KEPT})"
    assert found.remedy.endswith(said)


def failure_of(settings: dict[str, Any]) -> tuple[dict[str, Any], Failure]:
    """The row and the failure of a result that is wrong in one place."""
    spec = make_spec(**{**SHAPE, **settings})
    made = problem.make(spec)
    truth = reference.compute(made, spec.reference_limits)
    got = in_float64(made).to(made.dtype)
    got.view(-1)[-1] += 9
    row = record({**spec.columns(), "method": "explicit", "status": "ok", "accuracy": "fail", "reason": "it is wrong"})
    return row, Failure("explicit", Told(), made, truth, got)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_operands_result_and_reference_are_kept(tmp_path: Path, dtype: str) -> None:
    row, failure = failure_of({"dtype": dtype, "bias": True})
    keep_all(tmp_path / "failures", [row], [failure])
    held = torch.load(tmp_path / row["failure"] / "tensors.pt", weights_only=True)
    assert failure.made is not None
    assert failure.truth is not None
    assert failure.got is not None
    assert torch.equal(held["operands"]["weight"], failure.made.weight)
    assert set(held["operands"]) == {"input", "weight", "bias", "grad_output"}
    assert torch.equal(held["got"], failure.got.reshape(-1))
    assert torch.equal(held["expected"], failure.truth.expected)
    assert held["index"] is None


def test_of_a_large_result_the_worst_is_kept(tmp_path: Path) -> None:
    row, failure = failure_of({"size": 300, "out_channels": 1, "kernel": 1})
    keep_all(tmp_path / "failures", [row], [failure])
    held = torch.load(tmp_path / row["failure"] / "tensors.pt", weights_only=True)
    assert held["expected"].numel() == held["index"].numel() == held["largest"].numel() == MOST_ELEMENTS
    assert failure.got is not None
    assert int(held["index"][-1]) == failure.got.numel() - 1, "the worst is among them"
    text = (tmp_path / row["failure"] / "failure.txt").read_text()
    assert f"of {failure.got.numel()} elements compared, the {MOST_ELEMENTS} with the largest errors" in text


def test_of_large_operands_none_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.failures.failure.MOST_OPERANDS", 100)
    row, failure = failure_of({})
    keep_all(tmp_path / "failures", [row], [failure])
    assert {path.name for path in (tmp_path / row["failure"]).iterdir()} == {"failure.txt", "reproduce.py"}
    assert "too large" in (tmp_path / row["failure"] / "failure.txt").read_text()
    assert "operand(" in (tmp_path / row["failure"] / "reproduce.py").read_text()


def kept_ones(folder: Path, count: int, method: str) -> list[str | None]:
    spec = make_spec(**SHAPE)
    found = []
    for number in range(count):
        row = {**spec.columns(), "config_id": f"c{number}", "status": "error", "reason": "it raised"}
        found.append(keep(folder / "failures", row, reproducer(spec, method, row), Told("a traceback")))
    return found


def test_thousands_of_failures_are_not_kept(tmp_path: Path) -> None:
    assert sum(one is not None for one in kept_ones(tmp_path, 2 * OF_A_METHOD, "explicit")) == OF_A_METHOD
    for method in ("aten", "unfold", "fft", "autograd", "compile", "upcast"):
        kept_ones(tmp_path, OF_A_METHOD, method)
    assert len(list(tmp_path.glob("failures/*/*"))) == OF_A_RUN
    assert kept_ones(tmp_path, 1, "explicit") == ["failures/c0/explicit"], "one that is there is replaced"


def test_what_fails_no_more_is_forgotten(tmp_path: Path) -> None:
    kept_ones(tmp_path, 1, "explicit")
    kept_ones(tmp_path, 1, "aten")
    forget(tmp_path / "failures", "c0", "explicit")
    assert [path.name for path in tmp_path.glob("failures/*/*")] == ["aten"]
    row = record(
        {**make_spec(**SHAPE).columns(), "config_id": "c0", "method": "aten", "status": "ok", "accuracy": "ok"}
    )
    keep_all(tmp_path / "failures", [row], [])
    assert not list(tmp_path.glob("failures/*"))


@pytest.mark.parametrize("step", ["write_text", "mkdir", "rename"])
def test_a_disk_that_takes_no_more_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, refuse)
        row, failure = failure_of({})
        keep_all(tmp_path / "failures", [row], [failure])
    assert "failure" not in row
    assert not list(tmp_path.glob("failures/*/*"))
    assert not list(tmp_path.glob("failures/.*"))


def test_what_a_killed_process_was_writing_goes_with_the_next_run(tmp_path: Path) -> None:
    """Where its number is nobody's; not what a living process or one of another machine writes."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    theirs = [tmp_path / "failures" / f"{kept.UNFINISHED}{pid}" for pid in (ended.pid, os.getpid())]
    elsewhere = tmp_path / "failures" / f".unfinished-elsewhere-{ended.pid}"
    for folder in (*theirs, elsewhere):
        folder.mkdir(parents=True)
        (folder / "tensors.pt").touch()
    keep_all(tmp_path / "failures", [], [])
    assert [folder.exists() for folder in (*theirs, elsewhere)] == [False, True, True]


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**40, 2**40, kept.LEFT_FREE - 1))
    assert kept_ones(tmp_path, 1, "explicit") == [None]
    assert not list(tmp_path.glob("failures/*"))


def test_long_texts_keep_their_beginning_and_end(tmp_path: Path) -> None:
    spec = make_spec(**SHAPE)
    row = {**spec.columns(), "status": "error", "reason": "it raised"}
    text = "begin" + "x" * kept.MOST_TEXT + "finish"
    place = keep(tmp_path / "failures", row, reproducer(spec, "explicit", row), Told("", text))
    assert place is not None
    written = (tmp_path / place / "output.txt").read_text()
    assert written.startswith("begin")
    assert written.endswith("finish")
    assert f"{len(text) - kept.MOST_TEXT} characters left out" in written
