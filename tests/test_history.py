"""Nights in a row: change points, drifts and versions are found where they were planted, and nowhere else."""

from __future__ import annotations

import json
import math
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from convbench import cli
from convbench.comparison.nights import read
from convbench.comparison.trend import drifted, sigma_of, trend_of
from convbench.facts.record import Record
from tests.history_rates import MACHINES, Month, alarms, drift, rates, step
from tests.simulated import row, timed_row
from tests.test_table import write

pytest.importorskip("ruptures", reason="there are builds of ruptures up to Python 3.13")

MARGIN = math.log(1.03)
EVIL = "<script>alert(1)</script>|`"


def noisy(nights: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, nights)


def test_steps_are_found_on_their_night() -> None:
    values = noisy(40)
    values[15:] += math.log(1.2)
    values[30:] -= math.log(1.1)
    trend = trend_of(values.tolist())
    assert [(level.start, level.end) for level in trend.levels] == [(0, 15), (15, 30), (30, 40)]
    assert trend.best == trend.levels[0]
    assert math.exp(trend.log) == pytest.approx(1.2 / 1.1, rel=0.02)
    low, high = trend.interval
    assert low < math.log(1.2 / 1.1) < high


def test_sigma_has_no_step_drift_or_disturbed_night_in_it() -> None:
    values = noisy(2000)
    assert sigma_of(values) == pytest.approx(0.01, rel=0.1)
    values[1000:] += 1.0
    values[::10] += 0.5
    assert sigma_of(values + 0.001 * np.arange(2000)) == pytest.approx(0.01, rel=0.35)


@pytest.mark.parametrize("nights", [1, 2, 9])
def test_few_nights_are_one_level(nights: int) -> None:
    trend = trend_of([0.0, 1.0, 0.0, 1.0, 5.0, 6.0, 6.0, 6.0, 6.0][:nights])
    assert (len(trend.levels), trend.best, trend.log, trend.p_above(0.0)) == (1, None, 0.0, 1.0)
    assert drifted({"cell": trend}, MARGIN) == {}


def test_slope_is_that_of_a_drift() -> None:
    values = noisy(30)
    values[16:] += math.log(1.01) * np.arange(14)
    assert trend_of(values.tolist()).slope == pytest.approx(math.log(1.01), rel=0.3)


def test_rates_on_simulated_months() -> None:
    """A small share of docs/history.md's table, with one month a line."""
    quiet = Month()
    assert alarms(quiet, 1) == 0
    found = rates(quiet, drift(1.01), 1)
    assert (found.found, found.beside) == (5, 0)
    assert found.longest is not None
    assert found.longest <= 14
    assert rates(quiet, step(1.10), 1).found == 5
    assert rates(MACHINES["bursts: 1.2% apart, one night in 16 up to 30% off"], step(1.10), 1).beside == 0


def night(folder: Path, number: int, slower: float = 1.0, torch: str = "2.12", **values: object) -> Path:
    """A night with a baseline and two cells, of which the second is slower by a factor."""
    jitter = math.exp(0.004 * math.sin(7 * number))
    rows: list[Record] = []
    for i, factor in enumerate((1.0, slower)):
        speedup = 2.0 / factor * jitter
        rows.append(timed_row(i, "autograd", None))
        rows.append(timed_row(i, "explicit", (speedup, speedup * 0.99, speedup * 1.01)))
    rows[-1] |= values
    day = {"started_at": f"2026-{1 + number // 28:02d}-{1 + number % 28:02d}T02:00:00+00:00", "environment_id": torch}
    write(folder / f"night-{number:02d}", [{**r, **day} for r in rows])
    note = {torch: {"torch": torch, "device": "cpu"}}
    (folder / f"night-{number:02d}" / "environment.json").write_text(json.dumps(note))
    (folder / f"night-{number:02d}" / "run.json").write_text(json.dumps({"runs": [{"settings": {"shard": None}}]}))
    return folder / f"night-{number:02d}"


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """20 nights; from the 13th on another torch, with which one cell is slower by a fifth, and later less accurate."""
    for number in range(20):
        later = number >= 12
        values = {"accuracy": "reduced"} if number >= 18 else {}
        night(tmp_path / "nights", number, 1.2 if later else 1.0, "2.13" if later else "2.12", **values)
    return tmp_path / "nights"


def test_nights_are_put_in_order(nights: Path) -> None:
    found = read([nights / "night-05", nights / "night-02", nights / "night-11"])
    assert [one.name for one in found] == ["2026-01-03", "2026-01-06", "2026-01-12"]
    assert len(read([nights])) == 20


def test_history_tells_what_changed_and_with_which_version(nights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", str(nights), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["versions_changed"] == [{"night": 12, "changed": ["torch 2.12 → 2.13"]}]
    worst, second, *rest = told["cells"]
    assert (worst["method"], worst["drifted"], second["drifted"]) == ("explicit", True, False)
    (change,) = worst["changes"]
    assert (change["night"], change["versions"]) == (12, ["torch 2.12 → 2.13"])
    assert change["factor"] == pytest.approx(1.2, rel=0.02)
    assert worst["slowdown_low"] < 1.2 < worst["slowdown_high"]
    assert worst["outcomes"] == [{"night": 18, "was": "ok", "is": "reduced"}]
    assert {cell["method"] for cell in rest} == {"autograd"}
    assert [len(cell["times"]) for cell in told["cells"]] == [20] * 4
    assert rest[0]["times"][3] == {"night": 3, "time_s": 1e-3}


def test_a_history_fits_a_terminal_of_80_columns(
    nights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["history", str(nights)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (worst,) = [n for n, line in enumerate(lines) if "1.20× [" in line]
    assert lines[worst].split()[0] == "explicit"
    assert lines[worst].endswith("▁▁▁▁▁▁▁▁▁▁▁▁████████")
    assert lines[worst + 1].strip() == "conv2d 1×4→8 9×9 k3 p1 · float32 · cpu · input"
    assert lines[worst + 2].strip().startswith("1.20× slower from 2026-01-13 (torch 2.12 → 2.13)")


def test_history_for_people(nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", str(nights), "--fail-if-slower"]) == 1
    assert "1 cell slower than the best level" in capsys.readouterr().out
    for kind in ("terminal", "markdown", "html"):
        assert cli.main(["history", str(nights), "--format", kind, "--out", str(tmp_path / kind)]) == 0
        text = (tmp_path / kind).read_text(encoding="utf-8")
        for said in ("20 nights, 2026-01-01 to 2026-01-20", "torch 2.12 → 2.13", "1.20× slower from 2026-01-13"):
            assert said in text.replace("\\", ""), (kind, said)
    assert cli.main(["history", str(nights / "night-00"), str(nights / "night-01"), "--fail-if-slower"]) == 0
    assert "too few nights" in capsys.readouterr().out


def test_without_ruptures_a_history_is_refused_in_a_sentence(
    nights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    assert cli.main(["history", str(nights)]) == 2
    assert "needs ruptures, of which there are builds up to Python 3.13; pip install" in capsys.readouterr().err


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_page_holds_a_chart_for_each_cell_and_nothing_of_a_table_as_markup(tmp_path: Path) -> None:
    for number in range(8):
        night(tmp_path / "nights", number, method=EVIL)
    assert (
        cli.main(["history", str(tmp_path / "nights"), "--format", "html", "--out", str(tmp_path / "page.html")]) == 0
    )
    page = Tags()
    page.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert page.tags.count("svg") == 2
    assert page.tags.count("circle") == 16


@pytest.mark.parametrize("words", [[], ["nowhere"], ["."]])
def test_nothing_to_tell_is_one_sentence(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["history", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_compare_fails_what_got_slower_over_the_nights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each night is within the margin of the one before."""
    for number in range(20):
        night(tmp_path / "nights", number, 1.01 ** max(0, number - 9))
    last, before = (tmp_path / "nights" / f"night-{n}" for n in (19, 18))
    assert cli.main(["compare", str(before), str(last)]) == 0
    capsys.readouterr()
    words = [
        "compare",
        str(before),
        str(last),
        "--history",
        str(tmp_path / "nights"),
        "--format",
        "json",
    ]
    assert cli.main(words) == 1
    told = json.loads(capsys.readouterr().out)
    (failure,) = told["failures"]
    assert (failure["kind"], failure["config_id"]) == ("drifted", "0000000000000001")
    assert "lately +0.9% a night" in failure["text"]


def test_nights_of_another_environment_are_no_history(tmp_path: Path) -> None:
    for number in range(20):
        night(tmp_path / "nights", number, 1.2 if number > 9 else 1.0, "2.13" if number > 9 else "2.12")
    last, before = (str(tmp_path / "nights" / f"night-{n}") for n in (19, 18))
    assert cli.main(["compare", before, last, "--history", str(tmp_path / "nights")]) == 0


def test_wrong_and_unmeasured_nights_are_no_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        night(tmp_path / "nights", number)
    rows = [row(1, "explicit", status="crash", accuracy=None, started_at="2026-01-20T00:00:00+00:00")]
    write(tmp_path / "nights" / "night-20", rows)
    (tmp_path / "nights" / "night-20" / "run.json").write_text(json.dumps({"runs": [{"settings": {"shard": None}}]}))
    assert cli.main(["history", str(tmp_path / "nights"), "--format", "json"]) == 0
    cells = {(c["config_id"], c["method"]): c for c in json.loads(capsys.readouterr().out)["cells"]}
    one = cells["0000000000000001", "explicit"]
    assert (len(one["slowness"]), one["outcomes"]) == (8, [{"night": 8, "was": "ok", "is": "crash"}])
