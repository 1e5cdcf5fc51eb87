"""Children that crash, hang, talk nonsense or stay behind: what their parent makes of it. The runner is a stand-in."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from convbench.execution import child_main
from convbench.execution.in_process import InProcess
from convbench.execution.interrupt import Interrupt, Interrupted, StopNow
from convbench.execution.measured import NOT_APART, Measured
from convbench.execution.stage import Stage
from convbench.execution.worker import Isolated
from convbench.facts.measure import Measure
from convbench.facts.spec import Spec, Switches
from convbench.facts.values import InvalidValue
from convbench.timing.samples import Samples

from .processes import ROOT, alive, children, make_spec, use_stub

Make = Callable[..., Isolated]


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    with Interrupt() as found:
        yield found


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, interrupt: Interrupt) -> Iterator[Make]:
    """Makes workers on the stand-in; afterwards none of their processes may be left."""
    use_stub(monkeypatch)
    workers = []
    before = children()

    def make_worker(memory_limit: int | None = None) -> Isolated:
        workers.append(Isolated(memory_limit, interrupt))
        return workers[-1]

    yield make_worker
    for worker in workers:
        worker.close()
    assert children() == before


def statuses(measured: Measured) -> dict[str, str]:
    return {row["method"].removeprefix("tests.faulty:"): row["status"] for row in measured.found}


def reason(measured: Measured, method: str) -> str:
    return str(next(row["reason"] for row in measured.found if row["method"] == f"tests.faulty:{method}"))


def process_of(measured: Measured) -> int:
    """The process that made the baseline's row."""
    return int(measured.found[0]["reason"])


FAULTS = {
    "segfault": ("crash", "killed by signal 11 (SIGSEGV) in <lambda>, faulty.py:"),
    "abort": ("crash", "killed by signal 6 (SIGABRT)"),
    "exits": ("crash", "the process exited with status 0"),
    "killed": ("crash", "killed by signal 9 (SIGKILL)"),
    "sys_exits": ("error", "SystemExit: 3"),
    "interrupts": ("error", "KeyboardInterrupt"),
    "spins": ("timeout", "timed out after 1 s (timeout_s)"),
    "spins_in_c": ("timeout", "timed out after 1 s"),
    "sleeps": ("timeout", "timed out after 1 s"),
    "stops": ("timeout", "timed out after 1 s"),
    "prints_for_ever": ("timeout", "timed out after 1 s"),
    "closes_everything": ("crash", "closed its connection"),
    "throws_bad_alloc": ("oom", "what():  std::bad_alloc"),
    "forks_in_c_and_dies": ("crash", "SIGABRT"),
}


RARE_FAULTS = {"spins", "prints_for_ever", "sys_exits", "killed", "forks_in_c_and_dies"}
"""Others are like them."""


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=pytest.mark.slow) if name in RARE_FAULTS else name for name in FAULTS]
)
def test_a_fault_costs_one_row_and_the_others_are_measured(make: Make, fault: str) -> None:
    worker = make()
    status, why = FAULTS[fault]
    measured = worker.run(make_spec(f"faulty:{fault}", "faulty:calm", timeout_s=1.0 if status == "timeout" else 20.0))
    assert statuses(measured) == {"autograd": "ok", fault: status, "calm": "ok"}
    assert why in reason(measured, fault)
    assert reason(measured, fault).endswith("(accuracy)")
    assert {row["environment_id"] for row in measured.found} == {"stub"}
    assert statuses(worker.run(make_spec(seed=1))) == {"autograd": "ok"}


@pytest.mark.parametrize("harmless", ["garbage", "writes_everywhere", "forks", "leaves_a_fork"])
def test_what_harms_nobody_costs_nothing(make: Make, harmless: str) -> None:
    worker = make()
    first = worker.run(make_spec(f"faulty:{harmless}"))
    second = worker.run(make_spec("faulty:calm"))
    assert set(statuses(first).values()) | set(statuses(second).values()) == {"ok"}
    assert process_of(first) == process_of(second), "one child does both"


def test_nothing_that_a_child_started_outlives_it(make: Make) -> None:
    worker = make()
    pid = process_of(worker.run(make_spec("faulty:leaves_a_fork")))
    left = children(pid)
    assert len(left) == 1
    worker.close()
    wait_until(lambda: not any(alive(p) for p in (pid, *left)))


def age_s(pid: int) -> float:
    """Seconds since a process was started, from proc(5)."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def test_death_in_the_reference_is_every_method_s(make: Make) -> None:
    spec = make_spec("faulty:calm", labels={"reference": "tests.faulty:abort"})
    measured = make().run(spec)
    assert statuses(measured) == {"autograd": "crash", "calm": "crash"}
    assert reason(measured, "calm").endswith("(reference)")


def test_the_reference_may_take_longer_than_a_method(make: Make) -> None:
    spec = make_spec(timeout_s=0.01, labels={"reference": "tests.faulty:slow"})
    assert statuses(make().run(spec)) == {"autograd": "ok"}


def test_death_while_timed_names_the_method_that_was_executing(make: Make) -> None:
    measured = make().run(
        make_spec(
            "faulty:calm",
            "explicit",
            measure=Measure(),
            labels={"timing": "tests.faulty:calm", "fault": "tests.faulty:segfault"},
        )
    )
    assert statuses(measured) == {"autograd": "ok", "calm": "crash", "explicit": "ok"}
    assert reason(measured, "calm").endswith("(timing)")
    assert measured.found[0]["samples"] == 2, "the others were asked for once more, without it"


# Whose fault a crash is. `slow` sleeps, which ends a process whose memory `damages` has damaged.


def test_who_dies_of_another_s_damage_is_innocent(make: Make) -> None:
    measured = make().run(make_spec("explicit", "faulty:damages", "faulty:slow"))
    assert statuses(measured) == {"autograd": "ok", "explicit": "ok", "damages": "crash", "slow": "ok"}
    assert reason(measured, "damages").startswith(
        "tests.faulty:slow, which lives by itself, died in 3 of 3 runs after this method: killed by signal 11"
    )
    assert {row["environment_id"] for row in measured.found} == {"stub"}


def test_damage_of_an_earlier_configuration_is_nobody_s(make: Make) -> None:
    worker = make()
    assert statuses(worker.run(make_spec("faulty:damages"))) == {"autograd": "ok", "damages": "ok"}
    measured = worker.run(make_spec("faulty:calm", "faulty:slow"))
    assert statuses(measured) == {"autograd": "ok", "calm": "ok", "slow": "ok"}
    # Its reason is the stand-in's: the process that made it, the same for all.
    assert len({row["reason"] for row in measured.found}) == 1
    assert measured.found[0]["samples"] == 3


def test_a_reference_that_dies_of_earlier_damage_is_computed_again(make: Make) -> None:
    worker = make()
    worker.run(make_spec("faulty:damages"))
    spec = make_spec("faulty:calm", labels={"reference": "tests.faulty:slow"})
    assert statuses(worker.run(spec)) == {"autograd": "ok", "calm": "ok"}


@pytest.mark.parametrize(
    ("dies", "status", "calls"),
    [("1", "ok", 3), ("1,2", "crash", 2), pytest.param("1,3,4", "crash", 4, marks=pytest.mark.slow)],
)
def test_who_dies_at_times_is_not_laid_to_another(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str, status: str, calls: int
) -> None:
    """Beside calm, alone, beside calm again, alone again: it is named when it dies alone, calm never."""
    monkeypatch.setenv("CONVBENCH_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("CONVBENCH_DIES", dies)
    spec = replace(make_spec("faulty:calm", "faulty:dies_at_times"), baseline="tests.faulty:calm")
    measured = make().run(replace(spec, methods=("tests.faulty:calm", "tests.faulty:dies_at_times")))
    assert statuses(measured) == {"calm": "ok", "dies_at_times": status}
    assert len((tmp_path / "calls").read_bytes()) == calls


def test_the_first_of_a_fresh_process_dies_of_its_own(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVBENCH_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("CONVBENCH_DIES", "1,2,3,4")
    measured = make().run(replace(make_spec("faulty:calm"), baseline="tests.faulty:dies_at_times"))
    assert statuses(measured) == {"dies_at_times": "crash", "autograd": "ok", "calm": "ok"}
    assert (tmp_path / "calls").read_bytes() == b"."


def test_memory_limit_is_relative_to_what_the_child_needs_itself(make: Make) -> None:
    worker = make(64 << 20)
    measured = worker.run(make_spec("faulty:allocates", "faulty:calm"))
    assert statuses(measured) == {"autograd": "ok", "allocates": "oom", "calm": "ok"}
    assert "MemoryError" in reason(measured, "allocates")


@pytest.mark.parametrize("order", [("breaks_device", "calm"), ("calm", "breaks_device")])
def test_method_that_breaks_the_device_is_named_and_the_others_get_a_whole_one(
    make: Make, order: tuple[str, str]
) -> None:
    worker = make()
    measured = worker.run(make_spec(*(f"faulty:{name}" for name in order), device="cuda"))
    assert statuses(measured) == {"autograd": "ok", "breaks_device": "error", "calm": "ok"}
    assert reason(measured, "breaks_device") == "CUDA error: an illegal memory access was encountered (accuracy)"
    assert statuses(worker.run(make_spec("faulty:calm", device="cuda"))) == {"autograd": "ok", "calm": "ok"}


def test_device_that_breaks_while_timed_costs_nothing_to_the_next_configuration(make: Make) -> None:
    worker = make()
    spec = make_spec(
        "explicit",
        device="cuda",
        measure=Measure(),
        labels={"timing": "explicit", "fault": "tests.faulty:breaks_device"},
    )
    assert statuses(worker.run(spec)) == {"autograd": "ok", "explicit": "error"}
    assert statuses(worker.run(make_spec("faulty:calm", device="cuda"))) == {"autograd": "ok", "calm": "ok"}


def test_a_child_that_is_spent_measures_nothing_else(make: Make) -> None:
    worker = make()
    first = process_of(worker.run(make_spec()))
    assert process_of(worker.run(make_spec(device="cuda", labels={"spent": "a graph could not be captured"}))) == first
    assert not children()
    assert process_of(worker.run(make_spec(device="cuda"))) != first


@pytest.mark.parametrize("own", [None, ":16:8"])
def test_cublas_may_be_deterministic_in_a_child_and_the_user_s_own_value_wins(
    make: Make, monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if own is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", own)
    pid = process_of(make().run(make_spec()))
    started_with = Path(f"/proc/{pid}/environ").read_text().split("\0")
    assert f"CUBLAS_WORKSPACE_CONFIG={own or ':4096:8'}" in started_with


def test_the_device_is_asked_before_an_arm_starts_anew_and_not_between_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking waits for the device. What breaks it while ten rounds are queued is nobody's whom the mark could name."""
    marks: list[tuple[str, str]] = []
    asked: list[tuple[str, str]] = []
    device = SimpleNamespace(synchronize=lambda: asked.append(marks[-1] if marks else ("", "")))
    # In place of the module that needs torch, which this process is meant to stay without.
    devices = SimpleNamespace(device_of=lambda name: device, missing_device=lambda name: None)
    monkeypatch.setitem(sys.modules, "convbench.devices", devices)
    pipe = SimpleNamespace(stage=lambda method, phase: marks.append((method, phase)))
    watch = child_main._Watch(pipe, "cuda")  # type: ignore[arg-type]
    watch("", "warm-up")
    for method in ("a", "b", "", "b", "a", ""):
        watch(method, "timing")
    assert asked == [("", ""), ("", "warm-up")]
    assert marks[-1] == ("", "timing")
    watch("a", "timing")
    watch("", "warm-up")
    assert asked[-1] == ("a", "timing"), "the one that failed is still marked"


def test_a_queued_error_of_the_device_is_nobody_s_and_every_row_says_so(make: Make) -> None:
    worker = make()
    spec = make_spec(
        "explicit", device="cuda", measure=Measure(), labels={"timing": "", "fault": "tests.faulty:breaks_device"}
    )
    measured = worker.run(spec)
    assert statuses(measured) == {"autograd": "error", "explicit": "error"}
    reasons = {row["reason"] for row in measured.found}
    assert reasons == {"CUDA error: an illegal memory access was encountered (timing)"}
    assert statuses(worker.run(make_spec("faulty:calm", device="cuda"))) == {"autograd": "ok", "calm": "ok"}


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group whose processes the kernel kills when they take more than 80 MB together; `procs` admits them."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"convbench-test-{os.getpid()}"
        if not (Path(root) / "cgroup.procs").exists():
            continue
        with contextlib.suppress(OSError):
            group.mkdir()
            (group / limit).write_text(str(80 << 20))
            break
    else:
        pytest.skip("making a control group needs privileges that this user has not")
    members = group / "cgroup.procs"
    yield members
    wait_until(lambda: not members.read_text())
    group.rmdir()


def test_the_kernel_s_out_of_memory_killer_costs_one_row(small_group: Path, make: Make) -> None:
    worker = make()
    small_group.write_text(str(process_of(worker.run(make_spec()))))
    measured = worker.run(make_spec("faulty:allocates", "faulty:calm"))
    assert statuses(measured) == {"autograd": "ok", "allocates": "oom", "calm": "ok"}
    assert "the system ran out of memory and killed the process (SIGKILL)" in reason(measured, "allocates")


def test_a_child_that_died_between_two_configurations_costs_nothing(make: Make) -> None:
    worker = make()
    first = process_of(worker.run(make_spec()))
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not alive(first))
    again = worker.run(make_spec(seed=1))
    assert statuses(again) == {"autograd": "ok"}
    assert process_of(again) != first


def test_next_child_starts_ahead_after_a_death_but_not_beside_a_timing(make: Make) -> None:
    worker = make()
    worker.run(make_spec())
    assert len(children()) == 1
    worker.run(make_spec("faulty:abort", measure=Measure()))
    assert len(children()) == 1
    worker.run(make_spec())
    assert len(children()) == 2


def test_next_child_starts_while_another_hangs(make: Make) -> None:
    worker = make()
    measured = worker.run(make_spec("faulty:sleeps", measure=Measure(), timeout_s=2.0))
    assert statuses(measured)["sleeps"] == "timeout"
    (pid,) = children()
    assert age_s(pid) > 0.8, "the child that took over is older than the death, a second before which it began"


def test_a_death_after_the_deadline_started_anew_is_no_timeout(make: Make) -> None:
    """Twenty-five methods of 30 ms each under a deadline of 0.6 s: the deadline is each method's own."""
    spec = make_spec(timeout_s=0.6)
    slow = [f"tests.faulty:slow{n}" for n in range(25)]
    spec = Spec.from_dict({**spec.to_dict(), "methods": ["autograd", *slow]})
    assert set(statuses(make().run(spec)).values()) == {"ok"}


def test_ceilings_are_measured_once_whoever_measures_them(make: Make) -> None:
    worker = make()
    found = set()
    for process in range(3):
        found |= {row["ceiling_tflops"] for row in worker.run(make_spec("explicit", measure=Measure()), process).found}
        worker.fresh()
    assert len(found) == 1, "each process would have found its own number"
    tf32 = replace(make_spec("explicit", measure=Measure()), switches=Switches(tf32=True))
    worker.run(make_spec("faulty:segfault"))
    assert {row["ceiling_tflops"] for row in worker.run(tf32).found}.isdisjoint(found), "other switches, another one"


def test_a_start_is_nothing_that_another_run_would_take_again(make: Make) -> None:
    worker = make()
    first, second = (worker.run(make_spec(measure=Measure())).once_s for _ in range(2))
    assert first > 0.5
    assert 0.5 <= second < 0.5 + 0.01


def test_without_a_child_there_are_no_repetitions() -> None:
    with pytest.raises(InvalidValue, match="measure=default takes 6 fresh ones"):
        InProcess().run(make_spec(measure=Measure(processes=6)))


@pytest.mark.parametrize("apart, verdict", [(True, "slower"), (False, None)])
def test_own_methods_beside_their_judge_get_no_verdict_on_their_speed(apart: bool, verdict: str | None) -> None:
    spec = make_spec("explicit", "faulty:calm", measure=Measure())
    known = {"status": "ok", "accuracy": "ok", "flops": 100, "bytes": 10}
    times = [[1.0, 2.0, 3.0]] * 20
    samples = Samples(spec.arms, 0, 0.03, 0.01, times, [[1] * 3] * 20, [[0, 1, 2], [2, 1, 0]] * 10)
    found = [{**spec.columns(), **known, "method": method} for method in spec.arms]
    _, explicit, calm = Measured(found, [samples], apart=apart).rows(spec)
    assert (explicit["speed"], calm.get("speed"), calm["time_s"]) == ("slower", verdict, 3.0)
    assert calm.get("reason") == (None if apart else NOT_APART)


def test_environment_is_handed_on_once_per_child(make: Make) -> None:
    worker = make()
    assert worker.run(make_spec()).environments == {"stub": {"environment_id": "stub", "cpu": "none"}}
    assert worker.run(make_spec()).environments == {}


def test_parent_sleeps_while_a_child_works(make: Make) -> None:
    worker = make()
    worker.run(make_spec())
    before = time.process_time()
    worker.run(make_spec("faulty:sleeps", timeout_s=1.0))
    assert time.process_time() - before < 0.1, "two starts of a child included"


def test_marking_a_stage_costs_next_to_nothing() -> None:
    stage = Stage()
    stage.methods(["autograd"])
    times = []
    for _ in range(2000):
        begun = time.perf_counter()
        stage("autograd", "timing")
        times.append(time.perf_counter() - begun)
    mark = stage.read()
    stage.close()
    assert sorted(times)[len(times) // 2] < 5e-6
    assert (mark.method, mark.phase) == (0, "timing")
    assert abs(time.monotonic() - mark.started) < 5


def test_signal_drops_what_takes_longer_than_a_second(make: Make, interrupt: Interrupt) -> None:
    worker = make()
    worker.run(make_spec())
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        worker.run(make_spec("faulty:sleeps"))
    assert 1.1 < time.monotonic() - begun < 6
    assert interrupt.signal == signal.SIGINT


def test_signal_lets_short_work_end(make: Make, interrupt: Interrupt) -> None:
    worker = make()
    worker.run(make_spec())
    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert statuses(worker.run(make_spec("faulty:slow"))) == {"autograd": "ok", "slow": "ok"}
    assert interrupt.signal == signal.SIGTERM


def test_second_signal_stops_at_once(make: Make) -> None:
    worker = make()
    worker.run(make_spec())
    for after in (0.1, 0.2):
        threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
    # Interrupted would be raised a second after the first signal.
    with pytest.raises(StopNow) as stopped:
        worker.run(make_spec("faulty:sleeps"))
    assert stopped.value.signal == signal.SIGINT


def test_child_that_cannot_start_is_one_sentence(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without `site`, so that an installed convbench is not found either.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    monkeypatch.chdir("/")
    with pytest.raises(InvalidValue, match=r"the child process cannot start: .*No module named 'convbench'"):
        make().run(make_spec())


def test_no_child_survives_a_parent_that_is_killed() -> None:
    """A real driver is killed with kill -9 while its child hangs and a fork of the child sleeps."""
    program = """if True:
        import sys
        from convbench.execution.interrupt import Interrupt
        from convbench.execution.worker import Isolated
        from tests.processes import make_spec
        with Interrupt() as interrupt:
            worker = Isolated(None, interrupt)
            print(worker.run(make_spec("faulty:leaves_a_fork")).found[0]["reason"], flush=True)
            worker.run(make_spec("faulty:spins_in_c", timeout_s=60.0))
    """
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests' / 'stub'}:{ROOT}"}
    driver = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    assert driver.stdout
    with driver, driver.stdout as stdout:
        child = int(stdout.readline())
        family = {child, *children(child)}
        assert len(family) == 2
        driver.kill()
    wait_until(lambda: not any(alive(pid) for pid in family))
