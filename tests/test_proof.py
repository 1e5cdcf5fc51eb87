"""The logic of the proof: what is run, kept, judged and said. tests/slow/test_proof.py makes its checks for real."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convbench.execution.interrupt import StopNow
from convbench.facts.values import InvalidValue
from convbench.proof import checks, command, grid, page, plants, primitives, program, stages, table, timers
from convbench.proof.asking import Asked, Unanswered
from convbench.proof.checks import FAIL, INAPPLICABLE, NOT_RUN, PASS, STAGES, UNKNOWN, Check, Result, Seen, judged
from convbench.proof.context import Context, Ended
from convbench.proof.figures import primitives as measured
from convbench.proof.figures import timers as beside
from convbench.proof.runner import Run, deadlines, left
from convbench.proof.traits import Traits
from convbench.proof.verdict import exit_code, sentence
from convbench.timing.clocks import Arm

from . import simulated_cuda

GPU = Traits(
    environment={"gpu": "a card", "environment_id": "abc", "torch": "2.13", "memory_bytes": 2**37},
    events=True, sleeps=True, graphs=True, is_host=False, has_float64=True, nvml=True, activity="CUDA", tf32=True,
    triton="3.6", shapes=[[4, 8, 9, 8, 3]] * 8, cache_bytes=2.0**25, free_bytes=2**36,
)  # fmt: skip


class Stand:
    """In place of a Context: figures by function and rows by method, as they are given; what was asked for is kept."""

    def __init__(self, traits: Traits = GPU, **given: Any) -> None:
        self.traits, self.given, self.device = traits, given, "cuda"
        self.words: list[Sequence[str]] = []
        self.asked: list[dict[str, Any]] = []

    def ask(self, function: str, within_s: float = 0.0, **words: Any) -> Any:
        self.asked.append({"function": function, **words})
        found = self.given[function.partition(":")[2]]
        return found(**words) if callable(found) else found

    def rows(self, group: str, words: Sequence[str]) -> list[dict[str, Any]]:
        self.words.append(words)
        found = self.given["rows"]
        return found(words) if callable(found) else found

    def program(self, *words: str, within_s: float = 0.0) -> Ended:
        found = self.given["program"]
        return found(*words) if callable(found) else found

    def command(self, command: Sequence[str], within_s: float) -> Ended:
        return self.given["command"]

    def folder(self, group: str) -> Path:
        return Path("/nowhere") / group


# --- Going through the checks.


class Clock:
    def __init__(self) -> None:
        self.now = 0.0


def check(name: str, stage: str = "primitives", takes_s: float = 1.0, clock: Clock | None = None, **more: Any) -> Check:
    def run(context: Any) -> Seen:
        if clock is not None:
            clock.now += takes_s
        return judged(True, "as expected")

    return Check(name, stage, "something", "none", more.pop("run", run), takes_s, **more)


def gone_through(todo: Sequence[Check], budget_s: float | None, clock: Clock, **more: Any) -> list[Result]:
    kept: list[Result] = []
    Run(SimpleNamespace(), kept.append, ("v1",), budget_s, now=lambda: clock.now, **more).go(todo)
    return kept


def test_checks_that_are_done_are_not_made_again():
    clock = Clock()
    todo = [check("a", clock=clock), check("b", clock=clock)]
    (first,) = gone_through(todo[:1], None, clock)
    assert (first.name, first.verdict, first.seconds, first.made) == ("a", PASS, 1.0, ("v1",))
    assert [r.name for r in gone_through(todo, None, clock, done={"a": first})] == ["b"]
    failed = Result("a", "primitives", "", "", FAIL)
    assert left({"a": failed}, "none") == {"a": failed}
    assert left({"a": failed, "b": first}, "failed") == {"b": first}


def test_stages_share_a_budget_and_what_one_leaves_over_is_the_next_ones():
    assert list(deadlines(STAGES, 100.0)) == pytest.approx([32.0, 68.0, 100.0])
    assert list(deadlines(("timers",), 100.0)) == [100.0]
    assert list(deadlines(STAGES, None)) == [None] * 3
    clock = Clock()
    todo = [check(f"{stage} {k}", stage, 4.0, clock) for stage in STAGES for k in range(10)]
    done = [r.stage for r in gone_through(todo, 80.0, clock)]
    # Until 25.6, 54.4 and 80 seconds, of four each.
    assert done == ["primitives"] * 6 + ["timers"] * 7 + ["program"] * 7
    assert clock.now <= 80.0


def test_what_had_to_wait_is_made_at_the_end_if_there_is_time():
    clock = Clock()
    todo = [*(check(f"p{k}", "primitives", 6.0, clock) for k in range(3)), check("w", "program", 1.0, clock)]
    assert [r.name for r in gone_through(todo, 24.0, clock)] == ["p0", "p1", "w", "p2"]
    clock = Clock()
    long = check("long", "program", 60.0, clock)
    assert [r.name for r in gone_through([long, todo[-1]], 24.0, clock)] == ["w"]


def test_what_another_version_told_comes_after_what_nobody_has_told():
    """As on the second lease of a GPU, with a newer convbench: of 179 checks 85 had been told, and all come again."""
    clock = Clock()
    todo = [check(f"{stage} {k}", stage, 4.0, clock) for stage in STAGES for k in range(3)]
    told = {one.name for one in todo if one.name.endswith(("0", "1"))}
    names = [r.name for r in gone_through(todo, None, clock, told=told)]
    assert names[:3] == [f"{stage} 2" for stage in STAGES]
    assert names[3:] == [one.name for one in todo if one.name in told]
    clock.now = 0.0
    names = [r.name for r in gone_through(todo, 21.0, clock, told=told)]
    assert names[:3] == [f"{stage} 2" for stage in STAGES]
    assert len(names) == 5


def test_what_others_told_and_did_not_find_to_fail_counts_as_told():
    def told(name: str, verdict: str, version: str) -> Result:
        return Result(name, "primitives", "", "", verdict, made=(version, "cuda", "id"))

    held = [told("a", PASS, "v1"), told("b", FAIL, "v1"), told("c", UNKNOWN, "v1"), told("d", INAPPLICABLE, "v1")]
    held += [told("e", PASS, "v2"), told("a", FAIL, "v2")]
    assert checks.told_by_others(held, ("v2", "cuda", "id")) == {"a", "d"}
    assert checks.made_by(held, ("v2", "cuda", "id")).keys() == {"e", "a"}


def raising(error: BaseException) -> Callable[[Any], Seen]:
    def run(context: Any) -> Seen:
        raise error

    return run


@pytest.mark.parametrize(
    "error,verdict,said",
    [
        (Unanswered("no answer within 3 s", is_fault=True), FAIL, "no answer within 3 s"),
        (Unanswered("no compiler", is_fault=False), UNKNOWN, "no compiler"),
        (InvalidValue("out", "out=x is full"), UNKNOWN, "out=x is full"),
        (KeyError("time_s"), UNKNOWN, "the check broke: KeyError: 'time_s'"),
    ],
)
def test_a_check_that_raises_ends_no_other(error, verdict, said):
    todo = [check("a", run=raising(error)), check("b")]
    first, second = gone_through(todo, None, Clock())
    assert (first.verdict, first.reason, second.verdict) == (verdict, said, PASS)
    with pytest.raises(KeyboardInterrupt):
        gone_through([check("a", run=raising(KeyboardInterrupt()))], None, Clock())


# --- The file.


def result(name: str, verdict: str = PASS, **more: Any) -> Result:
    return Result(name, more.pop("stage", "primitives"), "e", "t", verdict, made=("v1", "cpu", "id"), **more)


def test_results_are_read_as_they_were_written(tmp_path: Path):
    file = tmp_path / "checks.jsonl"
    assert checks.read(file) == []
    seen = judged(True, "µs", "", pair_s=1e-6, step_s=math.nan, deep={"a": [math.inf, 1]})
    first = Result.of(check("a"), seen, 1.23456, ("v1", "cpu", "id"))
    for one in (first, result("b", FAIL), result("b")):
        checks.append(file, one)
    found = checks.made_by(checks.read(file), ("v1", "cpu", "id"))
    assert found["a"].figures == {"pair_s": 1e-6, "step_s": None, "deep": {"a": [None, 1]}}
    assert (found["a"].seconds, found["b"].verdict) == (1.235, PASS)
    assert checks.made_by(checks.read(file), ("v2", "cpu", "id")) == {}


def test_a_line_that_was_cut_off_counts_as_not_written(tmp_path: Path):
    file = tmp_path / "checks.jsonl"
    checks.append(file, result("a"))
    whole = file.read_bytes()
    file.write_bytes(whole + whole[: len(whole) // 2])
    assert [one.name for one in checks.read(file)] == ["a"]
    checks.append(file, result("b"))
    assert [one.name for one in checks.read(file)] == ["a", "b"]
    assert file.read_bytes().startswith(whole)


def test_another_file_is_refused(tmp_path: Path):
    file = tmp_path / "checks.jsonl"
    file.write_text("not json\n")
    with pytest.raises(InvalidValue, match="is no file of checks"):
        checks.read(file)


# --- What they say together.


@pytest.mark.parametrize(
    "verdicts,code,said",
    [
        ([PASS, INAPPLICABLE], 0, "convbench is proved on cpu: 1 check passed, 1 does not apply."),
        (
            [PASS, FAIL, UNKNOWN],
            1,
            "is not proved on cpu: 1 check failed (c1); 1 check passed, 1 could not be told (c2); retry=failed makes",
        ),
        ([PASS, UNKNOWN], 4, "nothing failed, 1 check passed, 1 could not be told (c1); retry=failed tries them again"),
        ([PASS, NOT_RUN], 4, "nothing failed, 1 check passed, 1 not run; the same command goes on from here"),
        ([INAPPLICABLE], 4, "nothing failed, 0 checks passed, 1 does not apply"),
        ([FAIL] * 9, 1, "9 checks failed (c0, c1, c2, c3, c4, c5 and 3 more)"),
    ],
)
def test_exit_code_and_sentence(verdicts, code, said):
    results = [result(f"c{k}", verdict) for k, verdict in enumerate(verdicts)]
    assert exit_code(results) == code
    assert said in sentence(results, "cpu")


def test_every_check_has_a_name_of_its_own_and_says_what_it_expects():
    found = stages.checks()
    assert len({check.name for check in found}) == len(found)
    assert {check.stage for check in found} == set(STAGES)
    assert all(check.expected and check.about_s > 0 for check in found)
    # A list of patterns is split at commas.
    assert not [check.name for check in found if "," in check.name]
    assert len([check for check in found if check.stage == "timers"]) == 8 * 3 * 2 * 3
    # By their own estimates all of it fits into the time that is promised.
    assert sum(check.about_s for check in found) < 25 * 60
    assert [c.name for c in stages.chosen(["primitives"], ["clock*", "event pair"])] == [
        "clock of the host",
        "event pair",
    ]


# --- Primitives, measured on a simulated device.


class OnCurrentStream(simulated_cuda.Event):
    def record(self, stream: Any = None) -> None:
        super().record(stream or SimpleNamespace(name=self._machine.current))


class Machine(simulated_cuda.Machine):
    """Whose events are recorded on the current stream unless one is named, as torch.cuda's are."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.current = "default"

    def Event(self, enable_timing: bool) -> simulated_cuda.Event:  # noqa: N802
        return OnCurrentStream(self)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A device that takes 2 µs for the smallest kernel, whose launch takes the host 3."""
    found = Machine()
    found.event_s = 1.5e-6
    monkeypatch.setattr(measured, "_interface", lambda device: found)
    monkeypatch.setattr(measured, "perf_counter", lambda: found.host)
    monkeypatch.setattr(measured, "_smallest", lambda device: found.kernel("smallest", 3e-6, 2e-6))
    return found


def test_an_event_pair_reads_what_recording_takes(machine):
    seen = measured.event_pair("cuda")
    assert seen["pair_s"] == pytest.approx(1.5e-6)
    assert seen["step_s"] <= 2.0001e-6  # between pairs with one kernel more
    good = Stand(event_pair={**seen, "step_s": 5e-7})
    assert primitives.event_pair(good).verdict == PASS
    assert primitives.event_pair(Stand(event_pair=seen)).verdict == FAIL
    assert primitives.event_pair(Stand(event_pair={**seen, "pair_s": 1e-4, "step_s": 5e-7})).verdict == FAIL


def test_the_queue_is_as_deep_as_the_driver_makes_it(machine):
    seen = measured.queue("cuda")
    assert abs(seen["depth"] - simulated_cuda.QUEUE) <= 5
    assert seen["launch_s"] == pytest.approx(3e-6)
    assert primitives.queue(Stand(queue=seen)).verdict == PASS
    assert primitives.queue(Stand(queue={**seen, "depth": 100})).verdict == FAIL


def test_launches_are_timed_while_the_host_is_ahead(machine):
    machine.launch_s = 1e-6
    seen = measured.launches("cuda")
    # The kernels and the end's event; from a graph one launch for all of them.
    assert seen["stream_s"] == pytest.approx(2e-6, rel=0.05)
    assert seen["graph_s"] == pytest.approx(2e-6, rel=0.05)
    assert (seen["stream_host_s"], seen["graph_host_s"]) == (pytest.approx(3e-6), pytest.approx(2e-6 / 64))
    assert primitives.launches(Stand(launches=seen)).verdict == PASS
    assert primitives.launches(Stand(launches={**seen, "graph_s": 3e-6})).verdict == FAIL


def test_sleeps_count_cycles(machine, monkeypatch):
    monkeypatch.setattr(measured, "_busy", lambda device, seconds: None)
    seen = measured.sleeps("cuda", warm=True)["cycles_per_s"]
    assert min(seen.values()) == pytest.approx(simulated_cuda.CYCLES_PER_S, rel=0.01)
    steady = {"cycles_per_s": seen}
    slower = {"cycles_per_s": {k: rate / 4 for k, rate in seen.items()}}
    assert primitives.sleep_warm(Stand(sleeps=steady)).verdict == PASS
    assert primitives.sleep_warm(Stand(sleeps={"cycles_per_s": {**seen, "1000000": 1e9}})).verdict == FAIL
    assert primitives.sleep_idle(Stand(sleeps=lambda warm: steady if warm else slower)).verdict == PASS
    assert primitives.sleep_idle(Stand(sleeps=lambda warm: slower if warm else steady)).verdict == FAIL


@pytest.mark.parametrize(
    "read,verdict",
    [
        ({"0": 5e-6, "0.5": 6e-6, "1": 9e-6, "2": 1e-5, "4": 1e-5, "8": 1e-5}, PASS),
        ({"0": 5e-6, "0.5": 5e-6, "1": 6e-6, "2": 7e-6, "4": 9e-6, "8": 1e-5}, FAIL),
        ({"0": 1e-5, "0.5": 1e-5, "1": 1e-5, "2": 1e-5, "4": 1e-5, "8": 1e-5}, UNKNOWN),
    ],
)
def test_the_programs_flush_is_held_against_a_larger_one(read, verdict):
    assert primitives.flush(Stand(flush={"read_s": read, "own": 2.0, "cache_bytes": 1e6})).verdict == verdict


@pytest.mark.parametrize(
    "hot,cold,verdict,tries",
    [
        ((1e-3,), (2e-3,), PASS, 1),
        ((1e-3, 1e-3), (1e-3, 2e-3), PASS, 2),
        # Quiet, and no difference; then a machine on which the same time is now this and now that.
        ((1e-3, 1.01e-3, 1e-3), (1e-3, 1e-3, 1.01e-3), FAIL, 3),
        ((16e-3, 9e-3, 11e-3), (14e-3, 9e-3, 10e-3), UNKNOWN, 3),
    ],
)
def test_cold_calls_must_be_slower_than_hot_ones_where_the_machine_is_quiet(hot, cold, verdict, tries):
    seen = iter(zip(hot, cold, strict=True))

    def asked() -> dict[str, Any]:
        hot_s, cold_s = next(seen)
        return {"hot_s": hot_s, "cold_s": cold_s, "hot_is": "hot", "cold_is": "cold"}

    stand = Stand(cold_and_hot=asked)
    assert primitives.cold_and_hot(stand).verdict == verdict
    assert len(stand.asked) == tries
    still = Stand(cold_and_hot={"hot_s": 1.0, "cold_s": 1.0, "hot_is": "hot", "cold_is": "hot"})
    assert primitives.cold_and_hot(still).verdict == INAPPLICABLE


def test_what_a_device_lacks_does_not_apply():
    lacking = dict.fromkeys(("events", "sleeps", "graphs", "nvml", "tf32"), False)
    bare = replace(GPU, **lacking, triton=None, free_bytes=None)
    names = {
        "NVML", "event pair", "sleep idle", "queue", "launches", "flush", "another stream", "the default stream",
        "a method that synchronizes", "twice the work in a graph", "tf32=true", "grid tf32=true", "grid Triton example",
        "beyond 2³¹ elements", "shape 1 TF32 input hot", "shape 1 float32 input cold", "shape 1 float32 input graph",
    }  # fmt: skip
    seen = {check.name: check.run(Stand(bare)) for check in stages.checks() if check.name in names}
    assert seen.keys() == names
    assert {(one.verdict, bool(one.reason)) for one in seen.values()} == {(INAPPLICABLE, True)}


# --- Plants: rows in, verdict out.

RIVAL = {"method": plants.RIVAL, "status": "ok", "accuracy": "ok", "time_s": 1e-4}


def planted(**row: Any) -> Stand:
    """A Context whose rows are the rival's and that of whatever else is asked for."""

    def rows(words: Sequence[str]) -> list[dict[str, Any]]:
        (methods,) = (word for word in words if word.startswith("methods="))
        return [
            RIVAL,
            {"method": methods[:-1].rpartition(",")[2], "status": "ok", "accuracy": "ok", "time_s": 1e-4, **row},
        ]

    return Stand(rows=rows)


@pytest.mark.parametrize("name", ["another stream", "the default stream"])
def test_work_elsewhere_must_be_called_wrong(name):
    (found,) = stages.chosen(STAGES, [name])
    assert found.run(planted(accuracy="fail", reason="not timed")).verdict == PASS
    assert found.run(planted(speed="faster")).verdict == FAIL


@pytest.mark.parametrize(
    "name,status",
    [
        ("a device assert", "error"),
        ("a device assert", "crash"),
        ("out of memory", "oom"),
        ("a hang of 40 s", "timeout"),
    ],
)
def test_a_fault_must_have_its_status_and_leave_the_rival_alone(name, status):
    (found,) = stages.chosen(STAGES, [name])
    assert found.run(planted(status=status, accuracy=None)).verdict == PASS
    assert found.run(planted()).verdict == FAIL
    broken = planted(status=status, accuracy=None)
    rows = broken.given["rows"]
    broken.given["rows"] = lambda words: [{**RIVAL, "status": "crash", "accuracy": None}, rows(words)[1]]
    assert found.run(broken).verdict == FAIL


def test_a_synchronizing_method_is_right_and_not_faster():
    (found,) = stages.chosen(STAGES, ["a method that synchronizes"])
    assert found.run(planted(speed="slower")).verdict == PASS
    assert found.run(planted(speed="faster")).verdict == FAIL
    assert found.run(planted(status="timeout")).verdict == FAIL


@pytest.mark.parametrize("name", ["TF32 by flags", "TF32 by words"])
def test_a_module_that_allows_tf32_is_ok_in_float32(name):
    (found,) = stages.chosen(STAGES, [name])
    stand = planted()
    assert found.run(stand).verdict == PASS
    assert "tf32=false" in stand.words[0]
    assert found.run(planted(accuracy="reduced")).verdict == FAIL
    assert found.run(planted(status="error")).verdict == FAIL


def test_twice_the_work_is_tried_again_before_it_is_off():
    assert plants.twice(planted(speedup=0.52), ()).verdict == PASS
    speedups = iter([0.7, 0.51])
    varying = planted()
    rows = varying.given["rows"]
    varying.given["rows"] = lambda words: [RIVAL, {**rows(words)[1], "speedup": next(speedups)}]
    assert plants.twice(varying, ()).verdict == PASS
    assert [word for words in varying.words for word in words if word.startswith("seed=")] == ["seed=0", "seed=1"]
    off = plants.twice(planted(speedup=0.71), ())
    assert (off.verdict, off.figures["speedups"]) == (FAIL, [0.71] * plants.TRIES)
    assert plants.twice(planted(), ()).verdict == FAIL
    eager = planted(speedup=0.5, cuda_graph=False, cuda_graph_error="no")
    assert "not timed as a graph: no" in plants.twice(eager, ("measure.cuda_graph=true",)).reason


@pytest.mark.parametrize(
    "plain,allowed,verdict",
    [
        (("ok", None), ("reduced", "tf32"), PASS),
        (("reduced", "tf32"), ("reduced", "tf32"), FAIL),
        (("ok", None), ("fail", None), FAIL),
        (("ok", None), ("ok", None), UNKNOWN),
    ],
)
def test_the_switch_of_tf32_must_reach_the_device(plain, allowed, verdict):
    def rows(words: Sequence[str]) -> list[dict[str, Any]]:
        accuracy, by = allowed if "tf32=true" in words else plain
        return [{"method": "explicit", "status": "ok", "accuracy": accuracy, "explained_by": by}]

    assert plants.tf32_asked(Stand(rows=rows)).verdict == verdict


# --- Timers: figures in, verdict out.


def tried(own_s: float = 1e-4, mode_graph: bool = True, **others: float) -> dict[str, Any]:
    times = {
        "own_s": own_s,
        "least_s": own_s,
        "others": {"kernels": 1e-4, **others},
        "span_s": 1.02e-4,
        "launches": 1.0,
    }
    return {"times": {"explicit": times}, "refused": {}, "graph": mode_graph, "graph_error": "cannot capture"}


@pytest.mark.parametrize(
    "mode,given,verdict",
    [
        ("hot", [tried()], PASS),
        ("hot", [tried(1.06e-4)], PASS),
        ("hot", [tried(1.2e-4)] * 3, FAIL),
        ("hot", [tried(0.8e-4)] * 3, FAIL),
        ("hot", [tried(1.2e-4), tried(1.01e-4)], PASS),
        ("hot", [tried(1.5e-4), tried(1.2e-4)], UNKNOWN),
        ("cold", [tried(do_bench=1.05e-4)], PASS),
        ("cold", [tried(do_bench=1.5e-4)] * 3, FAIL),
        ("graph", [tried(do_bench_cudagraph=1.0e-4)], PASS),
        ("graph", [tried(do_bench_cudagraph=2.0e-4)] * 3, FAIL),
        ("graph", [tried(mode_graph=False)], FAIL),
        ("hot", [tried(Timer=1.3e-4)] * 2, FAIL),
        ("hot", [tried(Timer=1.3e-4), tried(Timer=2e-4)], UNKNOWN),
        # The profiler is off and steady; the Timer, on the same host, is not.
        ("hot", [tried(4e-4, kernels=4e-4, profiler=6e-4, Timer=4e-4)] * 3, FAIL),
        ("hot", [tried(4e-4, kernels=4e-4, profiler=6e-4, Timer=s) for s in (4e-4, 2e-3, 4e-4)], UNKNOWN),
    ],
)
def test_times_are_held_against_those_of_other_timers(mode, given, verdict):
    assert timers.conclusion(given, mode, [1, 2, 3, 4, 5]).verdict == verdict


def test_a_short_kernel_may_differ_by_what_events_take():
    short = {"own_s": 4e-6, "least_s": 4e-6, "others": {"kernels": 3.2e-6}, "launches": 1.0}
    assert timers.agrees(short, "hot", "kernels")
    assert timers.agrees({**short, "own_s": 6.4e-6}, "cold", "kernels")
    assert timers.agrees({**short, "own_s": 9e-6, "launches": 3.0}, "cold", "kernels")
    assert not timers.agrees({**short, "own_s": 9e-6}, "cold", "kernels")


def test_a_host_that_is_slower_than_a_flush_is_in_do_benchs_time_and_not_in_ours():
    quick = {"own_s": 1e-5, "least_s": 1e-5, "others": {"kernels": 9.5e-6, "do_bench": 6e-5}, "enqueue_s": 9e-5}
    assert timers.agrees(quick, "cold", "do_bench")
    assert not timers.agrees({**quick, "own_s": 5e-6}, "cold", "do_bench")
    assert not timers.agrees({**quick, "own_s": 9e-5}, "cold", "do_bench")
    assert not timers.agrees({**quick, "enqueue_s": 1e-5}, "cold", "do_bench")


def test_what_our_own_interval_leaves_open_is_no_contradiction():
    heavy = {"own_s": 7.4e-4, "least_s": 7e-4, "others": {"kernels": 6.9e-4}}
    assert not timers.agrees(heavy, "hot", "kernels")
    assert timers.agrees({**heavy, "time_low_s": 7.04e-4, "time_high_s": 7.6e-4}, "hot", "kernels")
    assert not timers.agrees({**heavy, "time_low_s": 7.3e-4, "time_high_s": 7.6e-4}, "hot", "kernels")


def test_a_row_that_says_it_is_launch_bound_may_be_longer_and_never_shorter():
    bound = {"own_s": 9e-4, "least_s": 9e-4, "others": {"kernels": 1e-4}, "launch_bound": True}
    assert timers.agrees(bound, "hot", "kernels")
    assert not timers.agrees({**bound, "own_s": 5e-5}, "hot", "kernels")


def test_timers_that_are_not_there_decide_nothing():
    nothing = {
        "times": {"explicit": {"own_s": 1e-4, "others": {}}},
        "refused": {"do_bench": "no compiler"},
        "graph": True,
    }
    assert timers.conclusion([nothing], "cold", [1]) == Seen(INAPPLICABLE, "", "do_bench: no compiler")
    blind = tried() | {"refused": {"profiler": "it saw nothing"}}
    assert timers.conclusion([blind], "hot", [1]).verdict == UNKNOWN


def test_times_are_asked_for_again_while_they_disagree():
    given = iter([tried(1.5e-4), tried(1.5e-4), tried(1.01e-4)])
    stand = Stand(compared=lambda **words: next(given))
    assert timers.compared(stand, 2, "TF32", "weight", "hot").verdict == PASS
    assert stand.asked[0] == {"function": "timers:compared", "shape": [4, 8, 9, 8, 3], "dtype": "float32", "tf32": True,
                              "wrt": "weight", "mode": "hot"}  # fmt: skip
    assert len(stand.asked) == 3


def test_a_calls_share_of_what_a_profiler_saw():
    """Two calls of two kernels, and with a flush before each."""
    seen = [(0, 10), (12, 32), (40, 50), (52, 72)]
    assert beside._summed(seen, 2, 0) == pytest.approx({"kernels_s": 3e-8, "launches": 2.0, "span_s": 3.6e-8})
    beside_each_other = [(0, 10), (5, 25), (40, 50), (45, 65)]
    assert beside._summed(beside_each_other, 2, 0)["kernels_s"] == pytest.approx(2.5e-8)
    flushed = [(0, 100), (101, 111), (112, 132), (200, 300), (301, 311), (312, 332)]
    assert beside._summed(flushed, 2, 1) == pytest.approx({"kernels_s": 3e-8, "launches": 2.0})


class Profiled:
    """A device whose profiler saw these spans, one list after the other."""

    placed, activity, has_triton = "cpu", "CUDA", True

    def interface(self) -> Any:
        return SimpleNamespace(get_device_properties=lambda device: SimpleNamespace(L2_cache_size=64))

    def clock(self, measure: Any) -> Any:
        return SimpleNamespace(context=nullcontext)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, int]]]:
    """What the profiler will see."""
    found: list[list[tuple[int, int]]] = []
    monkeypatch.setattr(beside, "_profiled", lambda device, cuda, call, calls, buffer: found.pop(0))
    return found


def test_a_profile_that_lacks_kernels_is_left_out(seen):
    whole = [(100 * k, 100 * k + 40 + k % 2 * 20) for k in range(10)]  # five calls of two kernels
    seen += [whole[:7], whole, []]
    told = beside.profiled(Profiled(), Arm("a", lambda: None), 1.0, cold=False)
    assert told == pytest.approx({"kernels_s": 1e-7, "launches": 2.0, "span_s": 960e-9 / 5})
    seen += [whole[:7], [], whole[:3]]
    assert beside.profiled(Profiled(), Arm("a", lambda: None), 1.0, cold=False) is None
    flushes = [(1000 * k, 1000 * k + 500) for k in range(5)]  # and nothing else
    seen += [flushes] * 3
    assert beside.profiled(Profiled(), Arm("a", lambda: None), 1.0, cold=True) is None


def test_what_triton_cannot_time_is_refused_with_a_reason(seen, monkeypatch):
    seen += [[(k, k + 1) for k in range(5)]] * 6
    monkeypatch.setitem(sys.modules, "triton", None)
    refused: dict[str, str] = {}
    others, _ = beside.rival_times(Profiled(), Arm("autograd", lambda: None), "graph", 1.0, refused)
    assert (list(others), list(refused)) == (["kernels"], ["do_bench_cudagraph"])
    assert "on its forward's stream" in refused["do_bench_cudagraph"]
    beside.rival_times(Profiled(), Arm("aten", lambda: None, torch.inference_mode), "cold", 1.0, refused)
    assert "triton" in refused["do_bench"]


# --- The program's own.


def test_nothing_right_may_be_called_wrong():
    good = [{"status": "ok", "accuracy": "exact", "method": "aten"}, {"status": "unsupported", "method": "fft"}]
    assert grid.right(good).verdict == PASS
    bad = {"status": "ok", "accuracy": "fail", "method": "aten", "op": "conv2d", "reason": "off by 3"}
    seen = grid.right([*good, bad])
    assert seen.verdict == FAIL
    assert "op=conv2d method=aten: ok fail off by 3" in seen.reason
    assert grid.right([*good, {"status": "error", "method": "unfold"}]).verdict == FAIL
    assert grid.right([{"status": "skipped", "method": "aten"}]).verdict == FAIL


@pytest.mark.parametrize("op,layouts", [("conv1d", "contiguous"), ("conv3d", "contiguous,channels_last")])
def test_a_grid_leaves_out_what_an_operation_or_a_device_does_not_have(op, layouts):
    stand = Stand(replace(GPU, has_float64=False), rows=[{"status": "ok", "accuracy": "ok", "method": "aten"}])
    assert grid.plain_grid(stand, op).verdict == PASS
    assert f"memory_format={layouts}" in stand.words[0]
    assert "dtype=float32,bfloat16,float16" in stand.words[0]


SAME, SLOWDOWN, AGREEMENT = "a method against itself", "an injected slowdown", "agreement with another"


def said(trusted: bool, sentence: str, *broken: str, tries: int = 20) -> Ended:
    figures: dict[str, Any] = {"resolution": 0.01, "finds_from": 0.05, "tries": tries, "timed_share": 0.9}
    figures["proofs"] = [{"name": name, "holds": name not in broken} for name in (SAME, SLOWDOWN, AGREEMENT)]
    return Ended(0 if trusted else 4, json.dumps({**figures, "trusted": trusted, "sentence": sentence}), "")


@pytest.mark.parametrize(
    "ended,verdict",
    [
        (said(True, "Timings from this machine can be trusted"), PASS),
        (said(False, "This machine is too noisy for small differences", SLOWDOWN), UNKNOWN),
        (said(False, "Only 3 trials fitted", tries=3), UNKNOWN),
        (said(False, "Timings from this machine cannot be trusted: a method against itself failed", SAME), FAIL),
        (said(False, "Timings from this machine cannot be trusted", AGREEMENT), FAIL),
        (Ended(5, "", "Traceback\nKeyError: 'x'\n"), FAIL),
    ],
)
def test_validate_is_believed(ended, verdict):
    assert program.validate(Stand(program=ended)).verdict == verdict


def test_a_timer_that_is_off_where_others_share_the_cores_tells_nothing():
    off = said(False, "Timings from this machine cannot be trusted", AGREEMENT)
    assert program.validate(Stand(replace(GPU, is_host=True), program=off)).verdict == UNKNOWN
    both = said(False, "Timings from this machine cannot be trusted", AGREEMENT, SAME)
    assert program.validate(Stand(replace(GPU, is_host=True), program=both)).verdict == FAIL


@pytest.mark.parametrize(
    "codes,verdict", [([0, 0], PASS), ([0, 1], FAIL), ([0, 4], UNKNOWN), ([4, 0], FAIL), ([0, 3], FAIL)]
)
def test_the_second_of_two_nights_passes_the_gate(codes, verdict):
    gates = iter(codes)

    def nightly(*words: str) -> Ended:
        asked.append(words)
        return Ended(0 if words[1] == "sweep" else next(gates), "", "")

    asked: list[tuple[str, ...]] = []
    assert program.two_nights(Stand(program=nightly)).verdict == verdict
    assert [(words[1], words[-1]) for words in asked[::3]] == [
        ("sweep", program.NIGHT[-1]),
        ("gate", "--baselines=/nowhere/nights/baselines"),
    ]
    assert program.two_nights(Stand(program=Ended(3, "", "no memory"))).reason == "no memory"


def test_the_first_words_are_not_the_command() -> None:
    assert Ended(4, "\n$ convbench compare a b\n\n## convbench: INCONCLUSIVE (too noisy)\nmore", "").first_words == (
        "## convbench: INCONCLUSIVE (too noisy)"
    )
    assert Ended(2, "$ convbench compare a b\n", "no such folder").first_words == "no such folder"


@pytest.mark.parametrize(
    "ended,verdict",
    [
        (Ended(0, "12 passed, 3 skipped in 4.0s", ""), PASS),
        (Ended(1, "FAILED tests/test_x.py::test_y - assert 0\n1 failed, 11 passed in 4.0s", ""), FAIL),
        (Ended(0, "14 skipped, 300 deselected in 4.0s", ""), INAPPLICABLE),
        (Ended(5, "no tests ran in 0.1s", ""), INAPPLICABLE),
        (Ended(1, "", "python: No module named pytest"), INAPPLICABLE),
        (Ended(4, "", "ERROR: usage: unrecognized arguments"), FAIL),
    ],
)
def test_the_tests_marked_gpu_are_counted(ended, verdict):
    assert program.gpu_tests(Stand(command=ended)).verdict == verdict


def test_a_reference_that_takes_too_long_fails():
    f = {"seconds": 0.5, "checked": 0.001, "elements": 10}
    assert program.reference_time(Stand(of_a_weight=f)).verdict == PASS
    assert program.reference_time(Stand(of_a_weight={**f, "seconds": 26.0})).verdict == FAIL


def test_beyond_what_32_bits_count():
    assert program.LARGE_ELEMENTS > 2**31
    good = {"status": "ok", "accuracy": "exact", "method": "autograd"}
    assert program.large(Stand(rows=[good])).verdict == PASS
    assert program.large(Stand(rows=[good, {**good, "accuracy": "fail"}])).verdict == FAIL


# --- The process that measures: a real one.


def test_a_process_answers_raises_dies_and_is_started_anew():
    asked = Asked()
    try:
        first = asked.ask("tests.answers:twice", 30.0, number=21)
        assert first["twice"] == 42
        assert asked.ask("tests.answers:twice", 30.0, number=1)["pid"] == first["pid"]
        with pytest.raises(Unanswered, match="RuntimeError: device lost") as raised:
            asked.ask("tests.answers:breaks", 30.0, said="device lost")
        assert raised.value.is_fault
        with pytest.raises(Unanswered, match="no compiler") as refused:
            asked.ask("tests.answers:refuses", 30.0, said="no compiler")
        assert not refused.value.is_fault
        with pytest.raises(Unanswered, match=r"died \(exit code 7\)"):
            asked.ask("tests.answers:dies", 30.0, code=7)
        asked.ask("tests.answers:twice", 30.0, number=1)
        with pytest.raises(Unanswered, match=r"no answer within 0 s"):
            asked.ask("tests.answers:sleeps", 0.2, seconds=60.0)
        assert asked.ask("tests.answers:twice", 30.0, number=2)["twice"] == 4
    finally:
        asked.close()


# --- The page, the table, the command.

RESULTS = [
    result("a", observed="<b>fine</b>", seconds=1.0),
    result("b", FAIL, reason="too late", seconds=2.0),
    result("c", INAPPLICABLE, reason="no graphs"),
    result("d", INAPPLICABLE, reason="no graphs"),
    result("e", NOT_RUN),
    result(
        "t",
        stage="timers",
        figures={"times": {"aten": {"own_s": 2e-5, "least_s": 1.9e-5, "others": {"kernels": 1e-5, "Timer": 2e-5}}}},
    ),
]


def test_the_page_says_everything_and_is_escaped():
    text = page.render(RESULTS, "cuda", {"gpu": "a <card>", "flags": {"a": 1}, "affinity": [0, 1], "none": None})
    assert "&lt;b&gt;fine&lt;/b&gt;" in text
    assert "<b>" not in text
    assert "a &lt;card&gt;" in text
    assert "too late" in text
    assert "kernels 10.0 µs (2.000), Timer 20.0 µs (0.950)" in text  # ours over theirs
    assert "2 does not apply: no graphs</summary>c, d" in text
    assert text.count("no graphs") == 1
    assert "default-src 'none'" in text
    assert "<script" not in text


@pytest.mark.parametrize("verdict", [FAIL, UNKNOWN, NOT_RUN])
def test_the_page_shows_first_what_did_not_pass_and_says_what_to_do(verdict):
    text = page.render([result("good"), result("other", verdict), result("good too")], "cuda", {"gpu": "a card"})
    assert page.TO_DO[verdict] in text
    assert not [said for other, said in page.TO_DO.items() if other != verdict and said in text]
    if verdict != NOT_RUN:
        assert text.index("<td>other</td>") < text.index("<td>good</td>") < text.index("<td>good too</td>")
    headings = re.findall(r"^#+ (.+)$", (Path(__file__).parent.parent / "docs" / "ci.md").read_text(), re.MULTILINE)
    assert page.PAGE.partition(", ")[2] in headings


def test_the_table_tells_once_why_checks_do_not_apply(capsys):
    table.show(RESULTS, "cuda", Path("proof.html"))
    out = capsys.readouterr().out
    assert "too late" in out
    assert out.count("no graphs") == 1
    assert "c, d" in out
    assert "1 check failed (b)" in out


@pytest.mark.parametrize(
    "settings,message",
    [
        (["devise=cpu"], "validate --proof has no setting 'devise=cpu'; did you mean device?"),
        (["device=gpu"], "device='gpu' is not known"),
        (["stages=primitive"], "stages='primitive' is not known; allowed: primitives, timers, program"),
        (["budget_s=soon"], "budget_s='soon' must be a number ≥ 1.0"),
        (["retry=all"], "retry='all' is not known; allowed: none, failed"),
        (["only=nothing*"], "only=nothing* fits no check of primitives, timers, program"),
    ],
)
def test_a_wrong_command_line_is_told_by_its_key(settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValue) as refused:
        command.main(settings)
    assert message in str(refused.value)
    assert not list(tmp_path.iterdir())


class OneDevice(Context):
    """Answers for a device without starting anything."""

    missing: str | None = None

    def ask(self, function: str, within_s: float = 0.0, **words: Any) -> Any:
        if function == "of_device:missing":
            return self.missing
        return asdict(GPU)


@pytest.fixture
def one_check(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []

    def run(context: Any) -> Seen:
        made.append(context.device)
        return judged(len(made) > 1, "seen", "too early", n=len(made))

    monkeypatch.setattr(stages, "checks", lambda: [Check("one", "primitives", "more", "none", run)])
    monkeypatch.setattr(command, "Context", OneDevice)
    return made


def test_the_command_writes_its_files_and_goes_on(one_check, tmp_path, capsys):
    words = ["device=cuda", f"out={tmp_path}"]
    assert command.main(words) == 1
    assert "fail: one" in (spoken := capsys.readouterr()).err
    assert "is not proved on cuda" in " ".join(spoken.out.split())
    assert json.loads((tmp_path / "environment.json").read_text())["abc"]["gpu"] == "a card"
    assert "too early" in (tmp_path / "proof.html").read_text()
    assert command.main(words) == 1
    assert len(one_check) == 1
    capsys.readouterr()
    assert command.main([*words, "retry=failed"], as_json=True) == 0
    found: Mapping[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["exit_code"], found["checks"][0]["verdict"], found["checks"][0]["figures"]) == (0, PASS, {"n": 2})
    assert len((tmp_path / "checks.jsonl").read_text().splitlines()) == 2


def test_a_newer_version_says_that_it_makes_the_checks_of_an_older_one_again(one_check, tmp_path, monkeypatch, capsys):
    words = ["device=cuda", f"out={tmp_path}"]
    command.main(words)
    assert command.main([*words, "retry=failed"]) == 0
    monkeypatch.setattr(command, "__version__", "a newer one")
    capsys.readouterr()
    assert command.main(words) == 0
    said = capsys.readouterr().err
    assert f"convbench: {tmp_path / 'checks.jsonl'} holds 1 check of another version of convbench" in said
    assert len(one_check) == 3
    assert command.main(words) == 0
    assert (len(one_check), capsys.readouterr().err) == (3, "")


def test_the_environments_of_all_calls_are_kept(tmp_path):
    file = tmp_path / "environment.json"
    for environment in ("a", "b", "a"):
        command.keep_environment(file, {"environment_id": environment})
    assert json.loads(file.read_text()) == {name: {"environment_id": name} for name in "ab"}


def test_the_page_keeps_what_earlier_calls_found(one_check, tmp_path, monkeypatch):
    one = stages.checks()[0]
    monkeypatch.setattr(
        stages, "checks", lambda: [one, replace(one, name="two", run=lambda context: judged(True, "2nd"))]
    )
    command.main([f"out={tmp_path}", "only=one"])
    assert "2nd" not in (tmp_path / "proof.html").read_text()
    assert command.main([f"out={tmp_path}", "only=two"]) == 0
    page = (tmp_path / "proof.html").read_text()
    assert "2nd" in page
    assert "too early" in page


def test_a_program_that_is_ended_writes_its_page(one_check, tmp_path, monkeypatch):
    def ended(context: Any) -> Seen:
        os.kill(os.getpid(), signal.SIGTERM)
        return judged(True, "never seen")

    one = stages.checks()[0]
    monkeypatch.setattr(
        stages, "checks", lambda: [one, replace(one, name="two", run=ended), replace(one, name="three")]
    )
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StopNow) as stopped:
        command.main([f"out={tmp_path}"])
    assert stopped.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == handler
    assert "2 not run" in (tmp_path / "proof.html").read_text()
    assert len((tmp_path / "checks.jsonl").read_text().splitlines()) == 1


def test_a_device_that_is_not_there_has_exit_code_4(one_check, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(OneDevice, "missing", "no CUDA")
    assert command.main(["device=cuda:1", f"out={tmp_path}"]) == 4
    assert capsys.readouterr().err == "convbench: there is no device=cuda:1 to prove: no CUDA\n"
    assert not one_check
