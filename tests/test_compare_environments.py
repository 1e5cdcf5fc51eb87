"""`compare` of two runs of different environments: every format says so, and what cannot be judged then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convbench import cli
from convbench.comparison.environments import Environments
from convbench.facts.record import Record
from tests.simulated import timed_row
from tests.test_table import write

OLD = {"environment_id": "old", "torch": "2.9.0+cpu", "device": "cpu", "cpu": "A", "threads": 1, "python": "3.11.7"}
NEW = {**OLD, "environment_id": "new", "torch": "2.13.0+cu126", "driver": "550.1"}


def cells(slower: float, environment: str, baseline: str = "autograd") -> list[Record]:
    """Five configurations; every time is `slower` times as long, so that the paired ratios stay what they are."""
    rows = []
    for number in range(5):
        for method, ratio in ((baseline, None), ("explicit", (2.0, 1.99, 2.01))):
            row = timed_row(number, method, ratio)
            row |= {name: row[name] * slower for name in ("time_s", "time_low_s", "time_high_s") if name in row}
            rows.append({**row, "environment_id": environment})
    return rows


def run(folder: Path, slower: float, environment: dict[str, Any]) -> Path:
    write(folder, cells(slower, environment["environment_id"]))
    (folder / "environment.json").write_text(json.dumps({environment["environment_id"]: environment}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Two versions of torch, in the newer of which everything takes five times as long."""
    return [str(run(tmp_path / "old", 1.0, OLD)), str(run(tmp_path / "new", 5.0, NEW))]


def test_five_times_slower_everywhere_is_not_no_regression(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", *runs]) == 4
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(
        "INCONCLUSIVE (another environment): 10 cells in both runs, 5 of them compared by speed; nothing worse"
    )
    assert "5 times that no ratio covers became longer in another environment, and none shorter" in text


@pytest.mark.parametrize("kind", ["terminal", "markdown", "json", "junit"])
def test_every_format_names_both_environments(runs: list[str], kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", *runs, "--format", kind]) == 4
    text = " ".join(capsys.readouterr().out.split())
    assert "BASE was measured with torch 2.9.0+cpu · device cpu" in text
    assert "NEW was measured with torch 2.13.0+cu126 · device cpu · driver 550.1" in text
    assert "the baseline's own speed was not judged" in text.replace("&#x27;", "'")
    assert "python -m convbench duet" in text
    assert "threads" not in text if kind != "json" else json.loads(text)["environments"]["base"] == [OLD]


def test_same_environment_is_not_mentioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(run(tmp_path / name, slower, OLD)) for name, slower in (("a", 1.0), ("b", 1.2))]
    assert cli.main(["compare", *folders]) == 4, "whether the code or the machine became slower is not known"
    told = capsys.readouterr().out
    assert told.startswith("INCONCLUSIVE (all times changed)")
    assert "was measured with" not in told


@pytest.mark.parametrize(
    ("factors", "code"), [((1.0,) * 5, 0), ((5.0, 5.0, 5.0, 1.0, 0.2), 0), ((5.0, 1.0, 1.0, 1.0, 1.0), 0)]
)
def test_times_that_go_both_ways_or_mostly_stay_decide_nothing(
    tmp_path: Path, factors: tuple[float, ...], code: int
) -> None:
    old = run(tmp_path / "old", 1.0, OLD)
    rows = [row for n, factor in enumerate(factors) for row in cells(factor, "new")[2 * n : 2 * n + 2]]
    new = write(tmp_path / "new", rows)
    (new / "environment.json").write_text(json.dumps({"new": NEW}))
    assert cli.main(["compare", str(old), str(new)]) == 0


def test_environments_that_are_not_known_are_not_different(tmp_path: Path) -> None:
    run(tmp_path / "old", 1.0, OLD)
    (tmp_path / "new").mkdir()
    assert not Environments.of(tmp_path / "old", tmp_path / "new").differ
