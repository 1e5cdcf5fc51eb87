"""Own methods in processes of their own: real ones, judged and timed by the real runner in this process."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from convbench.execution.family import family_of
from convbench.execution.guests import Guests, Host
from convbench.execution.measured import Measured
from convbench.facts.measure import Measure
from convbench.facts.record import Record
from convbench.facts.spec import Spec
from convbench.runner import Result, run
from convbench.timing.rounds import unmarked

from .processes import ROOT, alive, children
from .settings import make_spec

QUICK = Measure(looks=(20,), min_time_s=0.05, max_time_s=20.0, sample_s=0.003, warmup_s=0.02, memory=False)
HONEST = (
    ("plainly", "graph", "foreign"),
    pytest.param(("function", "numpy", "workspace", "cache", "saving"), marks=pytest.mark.slow),
)
"""Each of them has a process that imports torch: the fast tests have one of every kind."""


@pytest.fixture(scope="module")
def guests() -> Iterator[Guests]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        found = Guests(None, unmarked)
        yield found
        found.close()
    assert not children()


def rows_of(guests: Guests, *names: str, measure: Measure = QUICK, **settings: Any) -> dict[str, Record]:
    """Rows by function, of methods `tests.MODULE:function` beside autograd."""
    spec, found = measured(guests, *names, measure=measure, **settings)
    rows = Measured(found.records, found.samples).rows(spec)
    return {row["method"].rpartition(":")[2]: row for row in rows}


def measured(guests: Guests, *names: str, measure: Measure = QUICK, **settings: Any) -> tuple[Spec, Result]:
    spec = make_spec(**{"methods": ["autograd", *names], "timeout_s": 120.0, **settings})
    spec = type(spec).from_dict({**spec.to_dict(), "measure": measure_dict(measure)})
    known = {"ceiling_tflops": 1.0, "ceiling_gbps": 1.0}
    return spec, run(spec, spec.arms, unmarked, 0, known, guests)


def measure_dict(measure: Measure) -> dict[str, Any]:
    return {name: getattr(measure, name) for name in measure.__dataclass_fields__}


@pytest.mark.parametrize("names", HONEST)
def test_right_methods_are_right_and_timed(guests: Guests, names: tuple[str, ...]) -> None:
    before = children()
    rows = rows_of(guests, *(f"tests.honest:{name}" for name in names))
    assert set(rows) == {"autograd", *names}
    for name, row in rows.items():
        assert (row["status"], row["accuracy"], row.get("reason")) == ("ok", "ok", None), name
        assert row["samples"] == 20, name
        assert row["time_s"] > 0, name
        assert row["prepare_s"] > 0, name
        assert row["first_call_s"] > 0, name
    assert {"plainly", "foreign"} & rows.keys() <= {name for name, row in rows.items() if row["equals_baseline"]}
    assert len(children() - before) == len(names), "one process each, which live on"


def test_cpu_time_tells_where_others_disturbed_a_method_and_its_baseline_unequally(guests: Guests) -> None:
    """Both are known, which is what `disturbed` is made of."""
    method = "tests.honest:plainly"
    _, found = measured(guests, method)
    samples = found.samples[0]
    for arm in ("autograd", method):
        a = samples.arms.index(arm)
        seen = [(cpu[a], times[a]) for cpu, times in zip(samples.cpu, samples.times, strict=True)]
        assert all(cpu is not None and 0 < cpu < 1.5 * time_s for cpu, time_s in seen), arm
        assert all(row[a] is not None for row in samples.switches), arm


def test_processes_live_from_one_configuration_to_the_next(guests: Guests) -> None:
    method = "tests.honest:plainly"
    rows_of(guests, method, measure=Measure(enabled=False))
    before = children()
    for settings in ({"size": 5}, {"dtype": "float64"}, {"batch": 0}, {"fill": "integer"}):
        row = rows_of(guests, method, measure=Measure(enabled=False), **settings)["plainly"]
        assert row["status"] == "ok", row
        assert row["accuracy"] in ("ok", "exact"), row
    assert children() == before


DAMAGED = "its process had run other configurations before and died: killed by signal 11"


def damaged(guests: Guests, **settings: Any) -> Record:
    """The row of a method whose process was damaged by the configuration before."""
    method = "tests.faulty:damages_for_later"
    small = rows_of(guests, method, size=1, kernel=1, measure=Measure(enabled=False))["damages_for_later"]
    assert (small["status"], small["accuracy"]) == ("ok", "ok")
    return rows_of(guests, method, **settings)["damages_for_later"]


@pytest.mark.slow
def test_what_an_earlier_configuration_damaged_costs_no_row(guests: Guests) -> None:
    row = damaged(guests, measure=Measure(enabled=False))
    assert (row["status"], row["accuracy"]) == ("ok", "ok")
    assert row["reason"].startswith(DAMAGED)


@pytest.mark.slow
def test_damage_that_shows_while_timed_costs_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judging takes two calls."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("CONVBENCH_CALLS", "4")
    guests = Guests(None, unmarked)
    row = damaged(guests)
    guests.close()
    assert (row["status"], row["accuracy"], row["samples"]) == ("ok", "ok", 20)
    assert row["reason"].startswith(DAMAGED)
    assert "(timing)" in row["reason"]


@pytest.mark.slow
def test_a_packed_weight_is_right_where_the_weight_is_fixed_and_nowhere_else(guests: Guests) -> None:
    row = rows_of(guests, "tests.honest:packed")["packed"]
    assert row["accuracy"] == "fail"
    assert "right only for the values that it was prepared on" in row["reason"]
    assert "fixed_weight=true" in row["reason"]
    row = rows_of(guests, "tests.honest:packed", fixed_weight=True)["packed"]
    assert (row["status"], row["accuracy"], row.get("reason")) == ("ok", "ok", None)
    assert row["samples"] == 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compiled", "extension"])
def test_what_is_compiled_in_the_preparation_is_right_and_timed(guests: Guests, name: str) -> None:
    if not shutil.which("g++"):
        pytest.skip("needs a C++ compiler")
    row = rows_of(guests, f"tests.honest:{name}")[name]
    assert (row["status"], row["accuracy"], row.get("reason")) == ("ok", "ok", None)
    assert row["samples"] == 20


DECEIVING = {
    "keeps": "in the memory of an earlier result",
    "remembers": "what was timed is not what computes the gradient",
    "writes": "changed weight in place",
}
OTHERS_DECEIVING = {
    "slow_clock": "its preparation changed convbench.timing.cpu_clock.perf_counter_ns",
    "computes_in_its_forward": "what a timed call returned is wrong for its operands",
    "buffer": "in the memory of an earlier result",
    "clones": "right only for the values that it was prepared on",
    "looks_at_its_caller": "what was timed is not what computes the gradient",
    "uninitialised_later": "what a timed call returned is wrong for its operands",
    "thread": "",
    "lazy": "a subclass of torch.Tensor",
    "operand": "in the memory of grad_output",
}


@pytest.mark.parametrize("deceiving", [DECEIVING, pytest.param(OTHERS_DECEIVING, marks=pytest.mark.slow)])
def test_methods_that_deceive_fail_and_their_rivals_do_not(guests: Guests, deceiving: dict[str, str]) -> None:
    rows = rows_of(guests, *(f"tests.deceiving:{name}" for name in deceiving), "tests.honest:plainly")
    for name, said in deceiving.items():
        row = rows[name]
        assert row["accuracy"] == "fail", name
        assert said in row["reason"], name
        assert "speed" not in row, name
        assert "time_s" not in row, name
    for name in ("autograd", "plainly"):
        assert (rows[name]["accuracy"], rows[name].get("reason")) == ("ok", None)
        assert rows[name]["samples"] == 20


FAULTS = {
    "segfault_while_timed": ("crash", "killed by signal 11 (SIGSEGV)"),
    "raises": ("error", "this kernel has no luck"),
}
OTHER_FAULTS = {
    "sleeps": ("timeout", "timed out after 10 s (timeout_s) (accuracy)"),
    "segfault": ("crash", "killed by signal 11 (SIGSEGV)"),
    "sys_exits": ("error", "SystemExit: 3"),
    "raises_in_prepare": ("error", "ValueError: this kernel is not ready"),
    "no_such_method": ("error", "has no function named no_such_method"),
    "garbage": ("ok", ""),
}


@pytest.mark.parametrize("faults", [FAULTS, pytest.param(OTHER_FAULTS, marks=pytest.mark.slow)])
def test_faults_cost_their_own_row_alone(faults: dict[str, tuple[str, str]]) -> None:
    guests = Guests(None, unmarked)
    try:
        guests.of("tests.faulty:calm").start()
        rows = rows_of(guests, *(f"tests.faulty:{name}" for name in faults), "tests.faulty:calm", timeout_s=10.0)
    finally:
        guests.close()
    for name, (status, reason) in faults.items():
        assert rows[name]["status"] == status, rows[name]
        assert reason in rows[name].get("reason", ""), name
    for name in {"autograd", "calm", "garbage"} & rows.keys():
        assert rows[name]["samples"] == 20, rows[name]


def test_guest_that_ended_between_two_configurations_is_started_again(guests: Guests) -> None:
    method = "tests.honest:plainly"
    rows_of(guests, method, measure=Measure(enabled=False))
    before = children()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    while any(alive(pid) for pid in before):
        time.sleep(0.01)
    assert rows_of(guests, method, measure=Measure(enabled=False))["plainly"]["status"] == "ok"
    assert len(children()) == 1


@pytest.mark.slow
def test_what_a_method_changes_in_its_process_is_said(guests: Guests) -> None:
    names = ("at_its_top", "in_its_calls", "sets_a_variable")
    rows = rows_of(guests, *(f"tests.meddling:{name}" for name in names))
    top, calls, variable = (rows[name] for name in names)
    assert (top["accuracy"], variable["accuracy"], calls["accuracy"]) == ("ok", "ok", "fail")
    assert top["reason"] == "its module changed threads (1 → 2); it was put back"
    assert variable["reason"].endswith("; its calls changed environment variables; it was put back")
    assert calls["reason"] == "its calls changed onednn (True → False); a method must leave the process as it was"
    assert "time_s" not in calls
    again = rows_of(guests, "tests.meddling:at_its_top")["at_its_top"]
    assert again["reason"] == top["reason"], "its module is not imported again"


def test_a_kernel_that_accounts_late_now_and_then_accuses_nobody() -> None:
    host = Host("m:f", None, unmarked)
    host._idle = [0.0] * 28 + [4e-3] * 9
    assert host.idle_cpu_s == 0
    host._idle = [0.0] * 24 + [4e-3] * 10
    assert host.idle_cpu_s == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["thread", pytest.param("fork", marks=pytest.mark.slow)])
def test_nothing_of_a_method_runs_when_it_is_not_its_turn(guests: Guests, name: str) -> None:
    row = rows_of(guests, f"tests.meddling:{name}", measure=Measure(enabled=False))[name]
    assert row["accuracy"] == "ok"
    host = guests.of(f"tests.meddling:{name}")
    assert host._child is not None
    before = host._child.cpu_s
    time.sleep(0.2)
    after = host._child.cpu_s
    assert before is not None
    assert after is not None
    assert after - before < 0.02
    family = family_of(host._child._process._process.pid)
    assert len(family) == (2 if name == "fork" else 1)
    host.close()
    until = time.monotonic() + 10
    while any(map(alive, family)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(alive, family)), "what it started ends with it"
