"""A sweep that is gone over in several fresh processes, on a stand-in for the runner: rows, resuming, what fails."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from convbench.execution import children as children_module
from convbench.execution.child import Child
from convbench.execution.execute import RunOptions, driving, execute
from convbench.execution.outcome import Outcome, exit_code
from convbench.facts.measure import Measure
from convbench.facts.record import Record
from convbench.facts.spec import Spec
from convbench.results.unmerged import read_from

from .processes import Notes, children, make_spec, use_stub

FOUR = Measure(processes=4)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunOptions]:
    use_stub(monkeypatch)
    before = children()
    yield RunOptions(tmp_path / "out")
    assert children() == before, "a child is left behind"


def specs(count: int, *methods: str, measure: Measure = FOUR) -> list[Spec]:
    return [make_spec(*methods, seed=seed, measure=measure) for seed in range(count)]


class Looking(Notes):
    """Reads the table whenever a further pass begins; raises SIGINT after `after` configurations."""

    def __init__(self, out: Path, after: int = 0) -> None:
        super().__init__()
        self.out, self.after = out, after
        self.tables: list[pd.DataFrame] = []

    def passing(self, number: int, passes: int, due: int) -> None:
        super().passing(number, passes, due)
        if number:
            self.tables.append(table(self.out))

    def finish(self, spec: Spec, records: Sequence[Record]) -> None:
        super().finish(spec, records)
        if len(self.finished) == self.after:
            os.kill(os.getpid(), signal.SIGINT)


def sweep(todo: list[Spec], run: RunOptions, after: int = 0) -> tuple[Outcome, Looking]:
    notes = Looking(run.out, after)
    with driving(run):
        return execute(todo, run, notes), notes


def table(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "results.parquet")


def figures(out: Path) -> pd.DataFrame:
    names = ["seed", "method", "time_s", "time_low_s", "time_high_s", "speedup", "samples", "processes", "saved_bytes"]
    return table(out)[names]


def test_every_pass_is_one_fresh_child_and_one_more_process_in_every_row(
    run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Child] = []

    class Counted(Child):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            started.append(self)

    monkeypatch.setattr(children_module, "Child", Counted)
    outcome, notes = sweep(specs(3, "explicit"), run)
    assert outcome == Outcome(total=3, rows={"ok": 6})
    assert len(started) == 4
    assert notes.passes == [(n, 4, 3) for n in range(4)]
    assert [set(t["processes"]) for t in notes.tables] == [{1}, {2}, {3}], "a table after every pass"
    assert len(notes.finished) == 12
    explicit = table(run.out).query("method == 'explicit'").iloc[0]
    # Arm 1 takes 2, 4, 6 and 8 seconds in the four processes, always twice the baseline's time.
    assert explicit["time_s"] == pytest.approx((2 * 4 * 6 * 8) ** 0.25)
    assert explicit["time_low_s"] < 2
    assert explicit["speedup"] == pytest.approx(0.5)
    assert (explicit["samples"], explicit["processes"], explicit["speed"]) == (24, 4, "slower")
    assert sorted(pd.read_parquet(run.out / "samples.parquet")["process"].unique()) == [0, 1, 2, 3]


def test_later_passes_go_in_an_order_of_their_own(run: RunOptions) -> None:
    _, notes = sweep(specs(6, measure=replace(FOUR, processes=2)), run)
    seeds = [spec.seed for spec in notes.started]
    assert seeds[:6] == [*range(6)]
    assert sorted(seeds[6:]) == [*range(6)] != seeds[6:]


@pytest.mark.parametrize(("after", "samples"), [(2, True), pytest.param(7, False, marks=pytest.mark.slow)])
def test_an_interrupted_sweep_goes_on_with_the_process_it_was_in(run: RunOptions, after: int, samples: bool) -> None:
    todo = specs(3, "explicit", measure=replace(FOUR, samples=samples))
    first, _ = sweep(todo, run, after)
    assert (first.signal, first.missing + first.unfinished) == (signal.SIGINT, 3)
    assert exit_code(replace(first, signal=None), strict=False) == 3
    assert int(table(run.out).groupby("seed")["processes"].first().sum()) == after
    second, notes = sweep(todo, run)
    assert (second.unfinished, second.missing, len(notes.finished)) == (0, 0, 12 - after)
    whole = RunOptions(run.out.parent / "whole")
    sweep(todo, whole)
    pd.testing.assert_frame_equal(figures(run.out), figures(whole.out))
    assert (run.out / "samples.parquet").exists() == samples
    third, notes = sweep(todo, run)
    assert (third.already_done, notes.finished) == (3, [])


def test_a_folder_is_read_between_passes(run: RunOptions) -> None:
    """As after a kill: part files and no table."""
    sweep(specs(2, "explicit"), run, after=3)
    for name in ("results.parquet", "results.csv", "merged.json", "samples.parquet"):
        (run.out / name).unlink()
    found = table(read_from(run.out))
    assert found.groupby("seed")["processes"].first().sum() == 3


def test_samples_that_are_lost_are_taken_again(run: RunOptions) -> None:
    todo = specs(2, "explicit")
    sweep(todo, run, after=3)
    for path in (run.out / "parts").glob("*.samples"):
        path.unlink()
    sweep(todo, run)
    outcome, _ = sweep(todo, run)
    assert (outcome.unfinished, set(table(run.out)["processes"])) == (0, {4})


def test_a_method_that_fails_in_one_process_has_failed_and_is_left_out_of_the_others(
    run: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVBENCH_CALLS", str(tmp_path / "calls"))
    spec = make_spec("faulty:counted_hang", "explicit", measure=FOUR, timeout_s=0.6)
    sweep([spec], replace(run, retry="failed"))
    rows = table(run.out).set_index("method")
    assert rows["status"].tolist() == ["ok", "timeout", "ok"]
    assert rows.loc["explicit", "processes"] == 4
    assert (tmp_path / "calls").read_text() == "."


def test_a_crash_while_timing_shows(run: RunOptions) -> None:
    labels = {"timing": "tests.faulty:calm", "fault": "tests.faulty:segfault"}
    sweep([make_spec("faulty:calm", measure=FOUR, labels=labels)], run)
    rows = table(run.out)
    assert rows["status"].tolist() == ["ok", "crash"]
    assert rows["processes"][0] == 4


def test_a_method_that_deceived_in_one_process_has_failed(run: RunOptions) -> None:
    spec = make_spec("explicit", measure=FOUR, labels={"deceives": "explicit 2"})
    outcome, _ = sweep([spec], run)
    row = table(run.out).iloc[1]
    assert (row["accuracy"], row["reason"], row["run_key"]) == ("fail", "its clock cannot be right", spec.run_key)
    assert pd.isna(row["speedup"])
    assert outcome.wrong == 1


def test_what_nothing_is_timed_of_is_measured_once(run: RunOptions) -> None:
    untimed = specs(1, measure=replace(FOUR, enabled=False))
    outcome, notes = sweep([make_spec("faulty:abort", measure=FOUR), *untimed], run)
    assert outcome.unfinished == 0
    assert [spec.measure.enabled for spec in notes.started] == [True, False, True, True, True]


def test_without_children_there_is_one_process(run: RunOptions) -> None:
    once = replace(FOUR, looks=(6,), max_time_s=0.1)
    outcome, notes = sweep([make_spec("explicit", measure=once)], replace(run, isolation="none"))
    assert (outcome.unfinished, notes.passes) == (0, [(0, 1, 1)])
    assert set(table(run.out)["processes"]) == {1}


def of_environment(run: RunOptions) -> dict[str, set[int]]:
    """The numbers of processes that rows have, by the environment that they name."""
    rows = table(run.out)
    told = json.loads((run.out / "environment.json").read_text())
    assert set(rows["environment_id"]) <= set(told), "a row's environment is described"
    return {str(name): set(own["processes"]) for name, own in rows.groupby("environment_id")}


@pytest.mark.parametrize(
    ("after", "budget_s"),
    [(7, None), (7, 60.0), *(pytest.param(2, each, marks=pytest.mark.slow) for each in (None, 60.0))],
)
def test_a_row_is_never_of_two_environments(
    run: RunOptions, monkeypatch: pytest.MonkeyPatch, after: int, budget_s: float | None
) -> None:
    """An interrupted sweep goes on under another ONEDNN_MAX_CPU_ISA, say."""
    todo = specs(3, "explicit", "aten")
    todo[1] = replace(todo[1], labels={"deceives": "aten 0"})
    monkeypatch.setenv("CONVBENCH_STUB_ENVIRONMENT", "first")
    sweep(todo, run, after=after)
    assert set(of_environment(run)) == {"first"}
    monkeypatch.setenv("CONVBENCH_STUB_ENVIRONMENT", "second")
    outcome, _ = sweep(todo, replace(run, budget_s=budget_s))
    assert (outcome.unfinished, outcome.missing) == (0, 0)
    ok = table(run.out).query("accuracy != 'fail'")
    assert set(ok["environment_id"]) == {"second"}
    assert set(ok["processes"]) == {4}
    assert set(of_environment(run)) == {"second"}
    third, notes = sweep(todo, run)
    assert (third.already_done, notes.finished) == (3, [])


def test_an_environment_that_changes_all_the_time_ends(run: RunOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVBENCH_STUB_ENVIRONMENT", "changing")
    outcome, _ = sweep(specs(2, "explicit"), run)
    assert (outcome.unfinished, outcome.missing) == (0, 0)
    assert all(processes == {1} for processes in of_environment(run).values())


def test_a_configuration_that_is_there_twice_is_measured_once(run: RunOptions) -> None:
    todo = specs(2, "explicit")
    outcome, notes = sweep([*todo, todo[0]], run)
    assert outcome.unfinished == 0
    assert len(notes.finished) == 8
