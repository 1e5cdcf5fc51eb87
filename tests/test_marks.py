"""Calls that are marked for a profiler outside: which ones, and between what."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from convbench.devices import marks
from convbench.facts.values import InvalidValue
from convbench.memory_columns import marked_call
from convbench.runner import run
from convbench.sweep.presets import preset
from convbench.timing.clocks import Arm
from tests.settings import make_spec


def profiled(**keys: Any) -> Any:
    return make_spec(**{"methods": ["autograd"], "measure__enabled": False, "measure__profile": True, **keys})


def arm(call: Callable[[], Any]) -> Arm:
    return Arm("mine", call, nullcontext)


def test_preset_marks_and_times_nothing() -> None:
    found = preset("profile")
    assert (found.profile, found.enabled, found.memory, found.kernels) == (True, False, False, False)
    assert not preset("default").profile


def test_what_is_marked_cannot_be_timed_as_well() -> None:
    with pytest.raises(InvalidValue, match="time them in a run of its own"):
        profiled(measure__enabled=True)


def test_run_marks_every_method_that_is_right() -> None:
    stages: list[tuple[str, str]] = []
    found = run(profiled(methods=["autograd", "unfold"]), ["autograd", "unfold"], lambda *at: stages.append(at))
    assert [method for method, phase in stages if phase == "profile"] == ["autograd", "unfold"]
    assert [row["status"] for row in found.records] == ["ok", "ok"]
    assert not any("time_s" in row for row in found.records)


def test_one_call_is_marked_in_the_log_of_the_libraries(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONEDNN_VERBOSE", "1")
    spec = profiled(measure__warmup_calls=2)
    marked_call(arm(lambda: os.write(1, b"call\n")), spec)
    name = f"convbench: mine {spec.config_id}"
    assert capfd.readouterr().out.splitlines() == ["call", "call", f"{name}: begins", "call", f"{name}: ends"]
    monkeypatch.setenv("ONEDNN_VERBOSE", "0")
    marked_call(arm(lambda: None), spec)
    assert not capfd.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_perf_records_the_marked_calls_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control, ack = tmp_path / "control", tmp_path / "ack"
    for path in (control, ack):
        os.mkfifo(path)
    said: list[str] = []

    def perf() -> None:
        with control.open() as commands, ack.open("w") as answers:
            for command in commands:
                said.append(command.strip())
                answers.write("ack\n")
                answers.flush()

    listening = threading.Thread(target=perf, daemon=True)
    listening.start()
    monkeypatch.setenv(marks.PERF, f"{control},{ack}")
    monkeypatch.setattr(marks, "PERF_S", 0.01)
    marked_call(arm(lambda: said.append("call")), profiled(measure__warmup_calls=1))
    listening.join(timeout=60)
    assert said[:3] == ["call", "enable", "call"]
    assert said[-1] == "disable"
    assert set(said[2:-1]) == {"call"}


def test_perf_without_its_fifos_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(marks.PERF, "nowhere")
    with pytest.raises(InvalidValue, match="must be two FIFOs"):
        marked_call(arm(lambda: None), profiled())


@pytest.mark.gpu
def test_marks_on_a_gpu() -> None:
    found = run(profiled(device="cuda"), ["autograd"], lambda *at: None)
    assert [(row["status"], row.get("reason")) for row in found.records] == [("ok", None)]
