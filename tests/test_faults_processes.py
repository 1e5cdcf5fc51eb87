"""What outlives the process that started it, and time that passes while nobody can see it pass."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from convbench.execution.child import Child
from convbench.execution.execute import RunOptions, driving, execute
from convbench.execution.pauses import PAUSE_S, Pauses
from convbench.facts.record import Record

from .processes import Notes, alive, make_spec, use_stub


def rows_of(run: RunOptions, method: str, timeout_s: float = 20.0) -> dict[str, Record]:
    notes = Notes()
    with driving(run):
        execute([make_spec(f"faulty:{method}", timeout_s=timeout_s)], run, notes)
    return {row["method"].removeprefix("tests.faulty:"): row for row in notes.finished[0][1]}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "method, status",
    [("starts_a_daemon", "ok"), ("starts_a_bare_daemon", "ok"), ("starts_a_daemon_and_dies", "crash")],
)
def test_a_process_in_a_session_of_its_own_ends_with_the_sweep(
    method: str, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_stub(monkeypatch)
    monkeypatch.setenv("CONVBENCH_CALLS", str(tmp_path / "pids"))
    assert rows_of(RunOptions(tmp_path / "out"), method)[method]["status"] == status
    pids = list(map(int, (tmp_path / "pids").read_text().split()))
    assert pids, "one from each process that the method ran in"
    end = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end, "it lives on"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_pause_of_the_whole_job_is_nobody_s_timeout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The parent is asleep, too, for longer than the method may take: as where a container is paused."""
    use_stub(monkeypatch)
    take = Child._take
    paused: list[float] = []

    def take_and_sleep(child: Child, wait_s: float) -> None:
        take(child, wait_s)
        if not paused and child._stage.read().method == 1:
            paused.append(wait_s)
            time.sleep(2.2)

    monkeypatch.setattr(Child, "_take", take_and_sleep)
    assert rows_of(RunOptions(tmp_path / "out"), "naps", timeout_s=2.0)["naps"]["status"] == "ok"
    assert paused


def test_without_a_pause_the_deadline_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_stub(monkeypatch)
    assert rows_of(RunOptions(tmp_path / "out"), "sleeps", timeout_s=1.0)["sleeps"]["status"] == "timeout"


def test_a_deadline_counts_from_the_end_of_the_last_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("convbench.execution.pauses.time.monotonic", lambda: clock[0])
    pauses = Pauses()
    clock[0] += 5
    pauses.waited(5.0)
    assert pauses.passed_s(99.0) == 6.0
    clock[0] += 5 + PAUSE_S / 2
    pauses.waited(5.0)
    assert pauses.passed_s(99.0) == 11.0 + PAUSE_S / 2, "late, as anybody may be"
    clock[0] += 3600
    pauses.waited(5.0)
    assert pauses.passed_s(99.0) == 0
    clock[0] += 2
    pauses.waited(5.0)
    assert pauses.passed_s(99.0) == 2.0
    assert pauses.passed_s(clock[0] - 1) == 1.0, "what began afterwards has its own time"
