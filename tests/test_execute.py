"""Sweeps from start to end on a stand-in for the runner: resuming, interrupting, merging, exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from convbench.execution.execute import RunOptions, driving, execute, review
from convbench.execution.interrupt import StopNow
from convbench.execution.outcome import Outcome, exit_code
from convbench.execution.source import check_found, code_key, is_found
from convbench.facts.measure import Measure
from convbench.facts.spec import Spec
from convbench.facts.values import InvalidValue
from convbench.results import store
from convbench.results.origin import damaged_lines

from .processes import ROOT, Notes, children, make_spec, measured, use_stub


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunOptions]:
    use_stub(monkeypatch)
    before = children()
    yield RunOptions(tmp_path / "out")
    assert children() == before, "a child is left behind"


def specs(count: int, *methods: str, first: int = 0) -> list[Spec]:
    return [make_spec(*methods, seed=seed) for seed in range(first, first + count)]


def sweep(todo: list[Spec], run: RunOptions) -> tuple[Outcome, Notes]:
    notes = Notes()
    with driving(run):
        return execute(todo, run, notes), notes


def table(run: RunOptions) -> pd.DataFrame:
    return pd.read_parquet(run.out / "results.parquet")


def test_observer_sees_the_sweep_and_the_table_holds_it(run: RunOptions) -> None:
    todo = specs(3, "explicit")
    outcome, notes = sweep(todo, run)
    assert outcome == Outcome(total=3, rows={"ok": 6})
    assert (notes.begun, notes.started, notes.outcomes) == ([(3, 0)], todo, [outcome])
    assert [spec for spec, _ in notes.finished] == todo
    assert [row["method"] for row in notes.finished[0][1]] == ["autograd", "explicit"]
    assert table(run)[["seed", "method"]].to_numpy().tolist() == [
        [seed, method] for seed in range(3) for method in ("autograd", "explicit")
    ]
    assert (run.out / "results.csv").exists()
    assert '"stub"' in (run.out / "environment.json").read_text()


def test_same_command_measures_only_what_is_missing(run: RunOptions) -> None:
    sweep(specs(2), run)
    before = table(run)
    outcome, notes = sweep(specs(4), run)
    assert (outcome.already_done, measured(outcome), outcome.rows) == (2, 2, {"ok": 4})
    assert notes.begun == [(4, 2)]
    assert [spec.seed for spec in notes.started] == [2, 3]
    pd.testing.assert_frame_equal(table(run)[:2], before)


def test_other_methods_or_measurement_are_another_run(run: RunOptions) -> None:
    sweep(specs(1), run)
    outcome, _ = sweep([make_spec("explicit"), make_spec(measure=Measure(processes=1))], run)
    assert measured(outcome) == 2
    assert len(table(run)) == 1 + 2 + 1


def test_failed_rows_are_measured_again_only_when_asked(run: RunOptions) -> None:
    todo = [make_spec("faulty:abort"), make_spec("faulty:calm")]
    first, _ = sweep(todo, run)
    assert first.rows == {"ok": 3, "crash": 1}
    assert measured(sweep(todo, run)[0]) == 0
    again = RunOptions(run.out, retry="failed")
    second, notes = sweep(todo, again)
    assert [spec.methods[1] for spec in notes.started] == ["tests.faulty:abort"]
    assert (measured(second), second.rows) == (1, {"ok": 3, "crash": 1})
    assert len(table(run)) == 4, "the later row replaces the earlier one"


def test_edited_method_is_measured_again(run: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    kernel = tmp_path / "my_kernel.py"
    kernel.write_text("def fast(problem): return lambda: None\n")
    spec = Spec.from_dict({**make_spec().to_dict(), "methods": ["autograd", "my_kernel:fast"]})
    assert measured(sweep([spec], run)[0]) == 1
    assert measured(sweep([spec], run)[0]) == 0
    kernel.write_text("def fast(problem): return lambda: 1\n")
    importlib.invalidate_caches()
    assert measured(sweep([spec], run)[0]) == 1
    assert "my_kernel" not in sys.modules, "a user's module is never imported by the parent"


def test_source_is_found_in_packages_without_importing_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "their_package" / "inner"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "kernels.py").write_text("1")
    monkeypatch.chdir(tmp_path)
    before = code_key("their_package.inner.kernels:f")
    assert before == code_key("their_package.inner.kernels:g")
    (package / "kernels.py").write_text("2")
    assert before != code_key("their_package.inner.kernels:f") != ""
    assert code_key("their_package.nothing:f") == code_key("nowhere.at_all:f") == ""
    assert code_key("explicit") != code_key("unfold") != ""


def test_a_module_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "their_other_package"
    for folder in (package, tmp_path / "elsewhere"):
        folder.mkdir()
        (folder / "kernels.py").write_text("raise SystemExit(5)\n")
    (package / "__init__.py").write_text("print('imported')\n")
    (tmp_path / "elsewhere" / "more.py").write_text("raise SystemExit(5)\n")
    monkeypatch.chdir(tmp_path)
    found = ["their_other_package", "their_other_package.kernels", "os.path", "elsewhere.more"]
    assert all(map(is_found, found))
    assert not any(map(is_found, ["nowhere", "nowhere.at_all", "their_other_package.nothing", "elsewhere.nothing"]))
    (package / "__init__.py").write_text("__path__.append('elsewhere')\n")
    assert is_found("their_other_package.more")
    (package / "__init__.py").write_text("import something_else_that_is_missing\n")
    assert is_found("their_other_package.cannot_be_told")
    assert "their_other_package" not in sys.modules


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("my_kernel:fast", "no module my_kernel in the working directory or on sys.path; did you mean my_kernels?"),
        ("my_kernels:fsat", "there is no fsat in my_kernels; did you mean fast?"),
        ("my_kernels:slow", "there is no slow in my_kernels"),
        ("my_kernels:fast", None),
        ("my_kernels:bound", None),
        ("opaque:anything", None),
    ],
)
def test_a_misspelt_function_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, expected: str | None
) -> None:
    (tmp_path / "my_kernels.py").write_text("import torch\nfrom torch import add as bound\ndef fast(problem): ...\n")
    (tmp_path / "opaque.py").write_text("from my_kernels import *\n")
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    if expected is None:
        check_found("methods", method)
    else:
        with pytest.raises(InvalidValue) as refused:
            check_found("methods", method)
        assert str(refused.value) == f"methods={method}: {expected}"


def test_one_child_serves_all_parts_of_a_driven_sweep(run: RunOptions) -> None:
    notes = Notes()
    with driving(run):
        for first in (0, 2, 4):
            execute(specs(2, first=first), run, notes, range(first, first + 2))
    assert len({rows[0]["reason"] for _, rows in notes.finished}) == 1
    assert table(run)["seed"].tolist() == list(range(6))


def test_job_of_a_launcher_neither_locks_nor_merges(run: RunOptions) -> None:
    job = RunOptions(run.out)
    with driving(run):
        program = """if True:
            import sys
            from pathlib import Path
            from convbench.execution.execute import RunOptions, execute
            from tests.processes import Notes, make_spec
            run = RunOptions(Path(sys.argv[1]))
            execute([make_spec(seed=7)], run, Notes(), [7])
        """
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests' / 'stub'}:{ROOT}"}
        subprocess.run([sys.executable, "-c", program, job.out], env=environment, check=True, timeout=60)
        assert not (run.out / "results.parquet").exists()
        assert review([make_spec(seed=7), make_spec(seed=8)], run) == Outcome(
            total=2, already_done=1, missing=1, rows={"ok": 1}
        )
    assert table(run)["seed"].tolist() == [7]


def test_table_deleted_by_hand_is_written_again(run: RunOptions) -> None:
    sweep(specs(2), run)
    before = table(run)
    for name in ("results.parquet", "results.csv", "environment.json"):
        (run.out / name).unlink()
    assert measured(sweep(specs(2), run)[0]) == 0
    pd.testing.assert_frame_equal(table(run), before)
    assert (run.out / "results.csv").exists()
    assert (run.out / "environment.json").exists()


def test_damaged_rows_are_measured_again_and_counted(run: RunOptions) -> None:
    sweep(specs(3), run)
    (part,) = (run.out / "parts").glob("*.jsonl")
    part.write_bytes(part.read_bytes().replace(b'"seed":1,', b'"seed":9,'))
    outcome, notes = sweep(specs(3), run)
    assert [spec.seed for spec in notes.started] == [1]
    assert (damaged_lines(run.out), outcome.missing) == (1, 0)
    assert table(run)["seed"].tolist() == [0, 1, 2]


def test_two_sweeps_on_one_folder_at_once_are_refused(run: RunOptions) -> None:
    refused = pytest.raises(InvalidValue, match=rf"is being written by process {os.getpid()} ")
    with driving(run), refused, driving(run):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_keeps_and_merges_what_is_measured(run: RunOptions, number: signal.Signals) -> None:
    class Impatient(Notes):
        def finish(self, spec: Spec, records: object) -> None:
            super().finish(spec, [])
            if len(self.finished) == 3:
                os.kill(os.getpid(), number)

    notes = Impatient()
    with driving(run):
        outcome = execute(specs(6), run, notes)
        later = execute(specs(2, first=6), run, notes)
    assert (outcome.signal, measured(outcome), outcome.missing) == (number, 3, 3)
    assert (later.signal, later.missing) == (number, 2)
    assert exit_code(outcome, strict=False) == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert table(run)["seed"].tolist() == [0, 1, 2]
    assert signal.getsignal(number) is (signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def test_second_signal_stops_at_once_and_what_was_measured_is_there_next_time(run: RunOptions) -> None:
    class Impatient(Notes):
        def start(self, spec: Spec) -> None:
            if "tests.faulty:sleeps" in spec.methods:
                for after in (0.1, 0.3):
                    threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()

    todo = [*specs(2), make_spec("faulty:sleeps")]
    with pytest.raises(StopNow), driving(run):
        execute(todo, run, Impatient())
    assert not (run.out / "results.parquet").exists()
    outcome, _ = sweep(todo[:2], run)
    assert (outcome.already_done, measured(outcome)) == (2, 0)
    assert len(table(run)) == 2


def test_failure_in_the_middle_still_merges(run: RunOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    append = store.Part.append
    calls = []

    def full(part: store.Part, lines: bytes) -> None:
        calls.append(lines)
        append(part, lines)
        if len(calls) == 2:
            raise InvalidValue("out", "the disk is full")

    monkeypatch.setattr("convbench.execution.execute.store.Part.append", full)
    notes = Notes()
    with pytest.raises(InvalidValue, match="the disk is full"), driving(run):
        execute(specs(4), run, notes)
    assert notes.outcomes[0].missing == 3
    assert table(run)["seed"].tolist() == [0, 1]


def test_samples_are_kept_when_asked_for(run: RunOptions) -> None:
    sweep(
        [
            make_spec("explicit", measure=Measure(processes=1)),
            make_spec(measure=Measure(processes=1, samples=False), seed=1),
        ],
        run,
    )
    samples = pd.read_parquet(run.out / "samples.parquet")
    assert len(samples) == 12
    assert samples["run_key"].unique().tolist() == [table(run)["run_key"][0]]


@pytest.mark.parametrize(
    "outcome, strict, code",
    [
        (Outcome(rows={"ok": 3, "unsupported": 1, "skipped": 2}), False, 0),
        (Outcome(rows={"ok": 3, "unsupported": 1, "skipped": 2}), True, 3),
        (Outcome(rows={"ok": 3}), True, 0),
        *[(Outcome(rows={"ok": 3, status: 1}), False, 3) for status in ("oom", "timeout", "crash", "error")],
        (Outcome(rows={"ok": 3}, missing=1), False, 3),
        (Outcome(rows={"ok": 3, "crash": 1}, wrong=1), False, 1),
        (Outcome(rows={"ok": 3}, wrong=1, signal=signal.SIGINT), False, 130),
        (Outcome(rows={"ok": 3}, missing=2, signal=signal.SIGTERM), True, 143),
    ],
)
def test_exit_code(outcome: Outcome, strict: bool, code: int) -> None:
    assert exit_code(outcome, strict) == code
