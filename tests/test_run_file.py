"""run.json, `show`, results/latest, and folders of several runs: what a folder holds can be told afterwards."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import convbench
from convbench import cli
from convbench.facts.values import InvalidValue
from convbench.results import run_file
from convbench.results.merge import merge
from tests.processes import use_stub
from tests.repositories import RIGHT, commit, repository
from tests.simulated import timed_row
from tests.test_table import write

TINY = ["methods=[autograd]", "measure=quick", "measure.half_width=0.02"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_stub(monkeypatch)
    monkeypatch.chdir(repository(tmp_path / "project"))
    return tmp_path / "project"


def test_a_sweep_says_what_it_was(here: Path) -> None:
    name = commit(here, RIGHT)
    words = ["-m", "kernel=3,5", *TINY, "out=run"]
    cli.main(words)
    (entry,) = run_file.runs(here / "run")
    assert (entry["argv"], entry["cwd"]) == (words, str(here))
    assert entry["git"] == {"commit": name, "dirty": False}
    settings = entry["settings"]
    assert (settings["measure.name"], settings["measure.half_width"], settings["in_channels"]) == ("quick", 0.02, 4)
    assert entry["started_at"] <= entry["ended_at"]
    (here / "kernels.py").write_text("")
    cli.main(["-m", "kernel=7", *TINY, "out=run"])
    first, second = run_file.runs(here / "run")
    assert first == entry
    assert (second["argv"][1], second["git"]["dirty"]) == ("kernel=7", True)


def test_a_run_that_was_killed_has_no_end(tmp_path: Path) -> None:
    with run_file.noted(tmp_path, {"argv": ["kernel=3"]}):
        (entry,) = run_file.runs(tmp_path)
        assert (entry["argv"], entry["ended_at"]) == (["kernel=3"], None)
    assert run_file.runs(tmp_path)[0]["ended_at"] is not None


@pytest.mark.parametrize("text", ["", "[]", '{"runs": 3}', '{"runs": [3]}', "null"])
def test_damaged_file_costs_only_itself(tmp_path: Path, text: str) -> None:
    (tmp_path / run_file.NAME).write_text(text)
    assert run_file.runs(tmp_path) == []
    with run_file.noted(tmp_path, {}):
        assert len(run_file.runs(tmp_path)) == 1


def test_file_that_cannot_be_written_costs_no_run(tmp_path: Path) -> None:
    with run_file.noted(tmp_path / "nowhere", {}):
        pass


def test_show_prints_the_table_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["-m", "kernel=3,5", *TINY])
    end = capsys.readouterr().out
    (folder,) = (f for f in (here / "results").iterdir() if not f.is_symlink())
    assert (here / "results" / "latest").resolve() == folder
    for words in (["show"], ["show", str(folder)]):
        assert cli.main(words) == 0
        again = capsys.readouterr().out
        table = [line for line in end.splitlines() if "autograd" in line]
        assert table
        assert [line for line in again.splitlines() if "autograd" in line] == table
    cli.main(["kernel=7", *TINY])
    assert (here / "results" / "latest").resolve() != folder, "the newest is meant"


def test_report_takes_the_latest_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report"]) == 2
    assert "report needs DIR: there is no results/latest" in capsys.readouterr().err
    cli.main(TINY)
    assert cli.main(["report"]) == 0
    assert (here / "results" / "latest" / "report.html").is_file()


def test_the_latest_run_may_have_a_name_of_its_own(here: Path) -> None:
    cli.main(TINY)
    cli.main([*TINY, "out=results/mine"])
    latest = here / "results" / "latest"
    assert latest.resolve() == here / "results" / "mine"
    cli.main([*TINY, "out=results/latest"])
    cli.main([*TINY, "out=elsewhere"])
    assert latest.resolve() == here / "results" / "mine", (
        "it is resumed where the link leads, and nothing else is meant"
    )


def test_a_file_of_that_name_is_left_alone(here: Path) -> None:
    (here / "results").mkdir()
    (here / "results" / "latest").write_text("mine")
    cli.main(TINY)
    assert (here / "results" / "latest").read_text() == "mine"


def test_unrelated_runs_are_not_joined(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(TINY)
    assert len(convbench.load(here / "results")) == 1, "a single run is no mistake, and its link no second one"
    cli.main(["kernel=3", *TINY])
    with pytest.raises(
        InvalidValue, match=r"holds 2 runs, and .* is a whole one: they are not the shards of one sweep"
    ):
        convbench.load(here / "results")
    for words in (["export", "results", "--format", "csv"], ["report", "results"], ["compare", "results", "results"]):
        assert cli.main(words) == 2
        assert "not the shards of one sweep" in capsys.readouterr().err


def test_shards_are_joined(here: Path) -> None:
    for share in (1, 2):
        cli.main(["-m", "kernel=3,5", *TINY, f"shard={share}/2", f"out=night/part{share}"])
    assert sorted(convbench.load(here / "night")["kernel_h"]) == [3, 5]


def test_runs_without_run_json_are_told_by_their_names(tmp_path: Path) -> None:
    for name in ("shard-1-of-2", "shard-2-of-2"):
        write(tmp_path / "night" / name, [timed_row(len(name), "autograd", None)])
    assert len(convbench.load(tmp_path / "night")) == 2
    for name in ("2026-01-31_10-00-00", "2026-01-31_10-00-00_2"):
        write(tmp_path / "results" / name, [timed_row(len(name), "autograd", None)])
    with pytest.raises(InvalidValue, match="not the shards of one sweep"):
        convbench.load(tmp_path / "results")


def test_it_is_json_that_others_read(here: Path) -> None:
    cli.main([*TINY, "out=run"])
    assert list(json.loads((here / "run" / "run.json").read_text())) == ["runs"]


def test_resuming_with_other_settings_says_which(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-m", "kernel=3", *TINY, "out=run"]
    cli.main(words)
    capsys.readouterr()
    cli.main(words)
    assert "was measured with" not in capsys.readouterr().err
    cli.main([*words, "timeout_s=9", "measure.looks=[6]"])
    told = capsys.readouterr().err
    assert "out=run was measured with measure.looks=[10,20,40], timeout_s=300.0, and now with measure.looks=[6]" in told
    cli.main(["-m", "kernel=7", *TINY, "timeout_s=9", "measure.looks=[6]", "out=run"])
    assert "was measured with" not in capsys.readouterr().err, "another case is no other setting"


@pytest.fixture
def killed(here: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder of a sweep of four configurations that was killed after three, before any table was made."""
    cli.main(["-m", "kernel=3,5,7,9", *TINY, "out=run"])
    capsys.readouterr()
    whole = convbench.load("run")
    assert whole["kernel_w"].tolist() == [3, 5, 7, 9]
    for name in ("results.parquet", "results.csv", "environment.json", "merged.json", ".owner"):
        (here / "run" / name).unlink()
    (part,) = (here / "run" / "parts").glob("*.jsonl")
    part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:3]))
    return here / "run"


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_killed_sweep_can_be_read(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By everything that reads a finished one, and without a trace in its folder."""
    before = files(killed)
    assert convbench.load("run")["kernel_w"].tolist() == [3, 5, 7]
    assert cli.main(["show", "run"]) == 0
    shown = capsys.readouterr().out
    assert "3 configurations, 3 rows" in shown
    assert "1 configuration not measured yet" in shown
    assert "files: run\n" in shown
    assert cli.main(["compare", "run", "run", "--accuracy-only"]) == 0
    assert cli.main(["export", "run", "--format", "csv", "--out", "rows.csv"]) == 0
    assert len(Path("rows.csv").read_text().splitlines()) == 4
    assert cli.main(["report", "run", "--out", "page.html"]) == 0
    assert "kernel=3,5,7,9" in Path("page.html").read_text(encoding="utf-8"), "the command of its run.json"
    assert files(killed) == before


def test_running_sweep_shows_more_and_more(killed: Path) -> None:
    """A row that is appended is there at the next look, also beside an earlier table."""
    (part,) = (killed / "parts").glob("*.jsonl")
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines[:2]))
    merge(killed)
    assert convbench.load(killed)["kernel_w"].tolist() == [3, 5]
    part.write_bytes(b"".join(lines))
    assert convbench.load(killed)["kernel_w"].tolist() == [3, 5, 7]
    part.write_bytes(b"".join(lines) + lines[0][:40])
    assert convbench.load(killed)["kernel_w"].tolist() == [3, 5, 7], "a line that is just being written"


def test_who_is_measuring_is_named(killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (killed / ".owner").write_text(f"process {process.pid} on {socket.gethostname()}\n")
    cli.main(["show", "run"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"process {process.pid} on {socket.gethostname()} is measuring; 1 configuration to come" in shown
    process.communicate()
    cli.main(["show", "run"])
    assert "is measuring" not in capsys.readouterr().out
