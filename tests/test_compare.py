"""`compare` as a command: exit codes, its four formats, and the second measurement."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from convbench import cli
from convbench.comparison import command as compare
from convbench.comparison.asked import Asked
from convbench.comparison.measure_again import as_it_was, check_trusted, measure_again
from convbench.facts.record import Record
from convbench.facts.values import InvalidValue
from convbench.results import run_file
from convbench.results.table import typed
from convbench.sweep.plan import planned
from tests.settings import NOTEBOOK
from tests.simulated import config_id, row, timed_row
from tests.test_table import write

EVIL = '<script>alert("1")</script> | `x` \n\x00 **bold**'

GOOD = [timed_row(i, "explicit", (2.0, 1.99, 2.01)) for i in range(3)]


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """BASE with one cell of every fate, and NEW in which the fates are fulfilled."""
    base = [timed_row(i, "explicit", (2.0, 1.99, 2.01)) for i in range(7)]
    base[6]["labels"] = json.dumps({"name": "<b>layer</b>"})
    new = [dict(r) for r in base[:6]]
    new[0] = timed_row(0, "explicit", (1.6, 1.59, 1.61))
    new[1] = row(1, "explicit", status="error", accuracy=None, reason=EVIL)
    new[2]["accuracy"] = "fail"
    new[3] = timed_row(3, "explicit", (3.0, 2.99, 3.01))
    new.append(timed_row(9, "explicit", (3.0, 2.99, 3.01)))
    return write(tmp_path / "base", base), write(tmp_path / "new", new)


def run(*words: object) -> int:
    return cli.main(["compare", *(str(word) for word in words)])


@pytest.mark.parametrize(
    "damage,said",
    [
        ({"time_s": None}, "row 2 of the table in {new} cannot be compared: it has a speedup and no time_s"),
        ({"time_s": 0.0}, "time_s=0.0 is not above 0"),
        ({"speedup": -1.0}, "speedup=-1.0 is not above 0"),
        ({"accuracy": "sublime"}, "accuracy=sublime is none of exact, ok, reduced, fail"),
        ({"config_id": None}, "it has no config_id"),
    ],
)
def test_a_row_that_convbench_would_not_write_is_named(
    damage: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base", GOOD)
    new = write(tmp_path / "new", [GOOD[0], {**GOOD[1], **damage}, GOOD[2]])
    assert run(base, new) == 2
    error = capsys.readouterr().err
    assert said.format(new=new) in error
    assert error.count("\n") == 1


def test_exit_codes(tmp_path: Path, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    base, new = runs
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "results.parquet").write_text("half a")
    cases: list[tuple[int, Any, Any, str]] = [
        (0, base, base, ""),
        (1, base, new, ""),
        (2, base, tmp_path / "nowhere", "does not exist"),
        (2, tmp_path / "torn", new, "cannot be read as a table"),
        (4, tmp_path / "nowhere", new, "nothing to compare with"),
        (4, tmp_path / "empty", new, "nothing to compare with"),
        (4, write(tmp_path / "other", [row(50, "explicit")]), new, ""),
    ]
    for code, old, young, said in cases:
        assert run(old, young) == code
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == bool(said)


@pytest.mark.parametrize(
    "words", [["a"], ["a", "b", "--margin", "0"], ["a", "b", "--margin", "x"], ["a", "b", "--format", "pdf"]]
)
def test_wrong_command_line_is_exit_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_margin_and_accuracy_only(tmp_path: Path) -> None:
    base = write(tmp_path / "base", GOOD)
    slow = write(tmp_path / "slow", [timed_row(i, "explicit", (1.8, 1.79, 1.81)) for i in range(3)])
    assert run(base, slow) == 1
    assert run(base, slow, "--margin", 0.15) == 0
    assert run(base, slow, "--spread", 0.1) == 4
    assert run(base, slow, "--accuracy-only") == 0


def test_terminal(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*runs) == 1
    out = capsys.readouterr().out
    assert out.startswith("REGRESSION: 6 cells in both runs, 4 of them compared by speed; 1 vanished, ")
    for said in (
        "less accurate",
        "no longer measured",
        "1.25× slower",
        "1.50× faster",
        "new: conv2d",
        "17×17",
        "1.60× [",
    ):
        assert said in " ".join(out.split())


def test_markdown_escapes_what_it_shows(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*runs, "--format", "markdown") == 1
    out = capsys.readouterr().out
    assert out.startswith("## convbench: REGRESSION\n")
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 6 for line in rows)
    assert len(rows) == 2 + 5
    assert "<script>" not in out
    assert "&lt;script&gt;" in out
    assert r"\*\*bold\*\*" in out
    assert "&lt;b&gt;layer" in out


def test_json_holds_the_numbers(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*runs, "--format", "json") == 1
    out = json.loads(capsys.readouterr().out)
    assert (out["verdict"], out["exit_code"], out["cells"], out["timed"]) == ("regression", 1, 6, 4)
    kinds = {f["kind"]: f for f in out["failures"]}
    assert set(kinds) == {"vanished", "unmeasured", "accuracy", "slower"}
    slower = kinds["slower"]
    assert slower["config_id"] == config_id(0)
    assert slower["slowdown"] == pytest.approx(1.25)
    assert slower["slowdown_low"] < slower["slowdown"] < slower["slowdown_high"]
    assert slower["q"] <= 0.05
    assert [cell["config_id"] for cell in out["new_cells"]] == [config_id(9)]
    assert [f["kind"] for f in out["improvements"]] == ["faster"]


def test_junit_is_one_case_per_cell(runs: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "gate.xml"
    assert run(*runs, "--format", "junit", "--out", file) == 1
    suite = ElementTree.parse(file).getroot().find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.get("tests", 0)) == 7 + 1 + 1
    failed = {case.find("failure").get("type") for case in cases if case.find("failure") is not None}  # type: ignore[union-attr]
    assert failed == {"vanished", "unmeasured", "accuracy", "slower"}
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("4", "0", "0")
    assert any("<script>" in (case.find("failure").text or "") for case in cases if case.find("failure") is not None)  # type: ignore[union-attr]


def test_junit_reports_an_untrusted_comparison_as_an_error(tmp_path: Path) -> None:
    noisy = write(tmp_path / "a", [timed_row(0, "explicit", (2.0, 1.6, 2.4))])
    assert run(noisy, noisy, "--format", "junit", "--out", tmp_path / "x.xml") == 4
    error = ElementTree.parse(tmp_path / "x.xml").getroot().find(".//error")
    assert error is not None
    assert "too coarse to judge by" in (error.get("message") or "")


def test_unwritable_out_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = write(tmp_path / "base", GOOD)
    assert run(base, base, "--format", "json", "--out", tmp_path / "no" / "where") == 2
    assert "cannot be written (No such file or directory); give another path" in capsys.readouterr().err


def test_long_lists_are_cut_short_for_people_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = write(tmp_path / "base", [row(i, "explicit") for i in range(80)])
    new = write(tmp_path / "new", [row(i, "explicit", accuracy="fail") for i in range(80)])
    assert run(base, new, "--format", "markdown") == 1
    assert "30 more cells: less accurate" in capsys.readouterr().out
    assert run(base, new, "--format", "json") == 1
    assert len(json.loads(capsys.readouterr().out)["failures"]) == 80


def test_shards_compare_as_one_run(tmp_path: Path) -> None:
    base = write(tmp_path / "base", GOOD)
    write(tmp_path / "new" / "shard-1", GOOD[:1])
    write(tmp_path / "new" / "shard-2", GOOD[1:])
    assert run(base, tmp_path / "new") == 0


def test_confirm_measures_the_suspects_and_only_those(
    runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def measure_again(rows: pd.DataFrame, settings: object) -> pd.DataFrame:
        asked.append(rows["config_id"].tolist())
        return typed(pd.DataFrame([timed_row(i, "explicit", (2.0, 1.99, 2.01)) for i in (0, 1)]))

    monkeypatch.setattr(compare, "measure_again", measure_again)
    assert run(*runs, "--confirm", "--format", "json") == 1
    out = json.loads(capsys.readouterr().out)
    assert asked == [[config_id(0), config_id(1)]]
    assert {f["kind"] for f in out["failures"]} == {"vanished", "accuracy"}
    assert [f["kind"] for f in out["advice"]] == ["cleared", "cleared"]


def test_confirm_asks_for_nothing_where_nothing_is_suspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = write(tmp_path / "base", GOOD)
    monkeypatch.setattr(compare, "measure_again", lambda rows, settings: pytest.fail("measured"))
    assert run(base, base, "--confirm") == 0


def test_second_measurement_is_one_command_per_set_of_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that would run; a cases file holds no methods, baseline, cache or CUDA graph: these split them."""
    rows: list[Record] = [
        *(row(0, m, cache="hot", cuda_graph=False) for m in ("explicit", "unfold")),
        row(1, "explicit", cache="cold", cuda_graph=False),
        row(2, "pkg.mod:fn"),
        row(0, "explicit", baseline="aten", cache="hot", cuda_graph=False),
        row(3, "explicit", measure="default half_width=0.02 looks=[6,8] processes=6"),
    ]
    commands: list[list[str]] = []

    def fake(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        cases = next(word for word in command if word.startswith("cases=")).removeprefix("cases=")
        out = next(word for word in command if word.startswith("out=")).removeprefix("out=")
        write(Path(out), [row(int(i, 16), "explicit") for i in pd.read_csv(cases, dtype=str)["config_id"]])
        return subprocess.CompletedProcess(command, 3, stderr="")

    monkeypatch.setattr(subprocess, "run", fake)
    again = measure_again(typed(pd.DataFrame(rows)), {})
    assert again["config_id"].tolist() == [config_id(i) for i in (0, 1, 2, 0, 3)]
    assert [command[:4] for command in commands] == [[sys.executable, "-m", "convbench", "-m"]] * 5
    carefully = ["measure=default", "measure.processes=6", "measure.memory=false", "measure.backward=false"]
    assert [command[6:] for command in commands] == [
        ["methods=[explicit,unfold]", "baseline=autograd", *carefully, "measure.cache=hot", "measure.cuda_graph=false"],
        ["methods=[explicit]", "baseline=autograd", *carefully, "measure.cache=cold", "measure.cuda_graph=false"],
        ["methods=[pkg.mod:fn]", "baseline=autograd", *carefully],
        ["methods=[explicit]", "baseline=aten", *carefully, "measure.cache=hot", "measure.cuda_graph=false"],
        ["methods=[explicit]", "baseline=autograd", *carefully, "measure.half_width=0.02", "measure.looks=[6,8]"],
    ]


def noted(folder: Path, **settings: object) -> Path:
    """`folder` with a run.json of these settings over the program's own."""
    composed = {**NOTEBOOK, "measure.name": "default", "measure.enabled": True, "memory_limit": None, **settings}
    run_file.append(folder, {"argv": [], "settings": composed})
    return folder


def test_second_measurement_repeats_the_settings_of_the_run(tmp_path: Path) -> None:
    """All that no row names; how many processes, and what is kept of them, confirming decides itself."""
    run = noted(
        tmp_path, **{"timeout_s": 7.0, "memory_limit": "4GB", "measure.half_width": 0.02, "measure.looks": [6, 9]}
    )
    words = as_it_was(run_file.settings_of(run))
    assert {"timeout_s=7.0", "memory_limit=4GB", "measure.half_width=0.02", "measure.looks=[6,9]"} <= set(words)
    assert not [w for w in words if w.startswith(("measure.name", "measure.processes", "measure.memory=", "kernel"))]
    assert [spec.measure.half_width for spec in planned([*words, "methods=[aten]"]).sweep] == [0.02]


def test_runs_that_were_not_measured_alike_are_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = (noted(write(tmp_path / name, GOOD)) for name in ("base", "new"))
    run(base, new, "--format", "json")
    assert json.loads(capsys.readouterr().out)["notes"] == []
    noted(new, **{"measure.half_width": 0.05, "timeout_s": 7.0})
    run(base, new)
    said = " ".join(capsys.readouterr().out.split())
    assert "BASE with measure=default, timeout_s=60.0, NEW with measure=default half_width=0.05, timeout_s=7.0" in said


def test_a_preset_that_is_not_wholly_written_down_is_not_compared(tmp_path: Path) -> None:
    """As where run.json is damaged, or of a version with other settings."""
    base, new = (noted(write(tmp_path / name, GOOD)) for name in ("base", "new"))
    noted(new, **{"measure.half_width": 0.05, "timeout_s": 7.0})
    file = new / run_file.NAME
    file.write_text(file.read_text().replace("measure.enabled", "measure.enablee"))
    assert Asked.of(base, new).notes == [
        "the runs were not measured alike: BASE with timeout_s=60.0, NEW with timeout_s=7.0"
    ]


def test_second_measurement_that_is_refused_is_one_sentence(
    runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 2, stderr="a warning\nno setting named 'kernal'\n")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert run(*runs, "--confirm") == 2
    assert capsys.readouterr().err.endswith("--confirm could not measure again: no setting named 'kernal'\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_second_measurement_and_leaves_nothing(
    runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    def hit(command: list[str], **_: object) -> None:
        assert list(tmp_path.glob("convbench-confirm-*"))
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", hit)
    before = signal.getsignal(number)
    assert run(*runs, "--confirm") == 128 + number
    assert signal.getsignal(number) is before
    assert not list(tmp_path.glob("convbench-confirm-*"))


@pytest.mark.parametrize("own", [{"method": "evil:f"}, {"method": "explicit", "baseline": "evil:f"}])
def test_confirm_runs_no_code_that_only_a_table_names(own: dict[str, str]) -> None:
    rows = typed(pd.DataFrame([row(0, "explicit"), {**row(1, "explicit"), **own}]))
    check_trusted(rows, ["evil:f"])
    check_trusted(rows, ["all"])
    check_trusted(rows[:1], [])
    with pytest.raises(InvalidValue, match=r"would run code that the table names: evil:f; .* --trust evil:f, or"):
        check_trusted(rows, ["other:f"])
