"""The steps of a scheduled run on tables that were made up; tests/slow/test_nightly.py runs them for real."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from convbench.facts.record import Record
from convbench.results.table import typed
from tests import made_up

SCRIPT = Path(__file__).parent.parent / ".ci" / "nightly.py"
FAST = {"autograd": 1e-3, "explicit": 1e-3}

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="the script is not part of a source distribution")


@pytest.fixture(scope="module")
def nightly() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nightly", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SWEEP", "DEVICE", "SHARD", "NIGHTLY_OUT", "BASELINES", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def night(out: Path, environment: str = "gpu-a", shares: int = 2, **values: Any) -> Path:
    """A night's folder: one configuration per share, each with its table."""
    for k in range(1, shares + 1):
        rows = made_up.timed(made_up.spec(tuple(FAST), kernel=2 * k + 1), FAST, environment_id=environment, **values)
        write(out / f"shard-{k}-of-{shares}", rows)
    return out


def write(folder: Path, rows: list[Record]) -> None:
    folder.mkdir(parents=True)
    typed(pd.DataFrame(rows)).to_parquet(folder / "results.parquet")


def gate(nightly: ModuleType, out: Path, tmp_path: Path) -> int:
    code = nightly.main(["gate", "--out", str(out), "--baselines", str(tmp_path / "baselines")])
    assert isinstance(code, int)
    return code


class Recorder:
    """Stands in for convbench: notes what it was asked and answers with an exit code."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.said: list[tuple[str, ...]] = []

    def __call__(self, *words: str) -> int:
        self.said.append(words)
        return self.code


def kept(tmp_path: Path, environment: str = "gpu-a") -> Path:
    return tmp_path / "baselines" / "kernels" / environment


def test_first_night_compares_nothing_and_is_kept(nightly: ModuleType, tmp_path: Path) -> None:
    out = night(tmp_path / "1")
    assert gate(nightly, out, tmp_path) == 4
    assert (kept(tmp_path) / "shard-2-of-2" / "results.parquet").is_file()


def test_good_night_passes_and_replaces_the_baseline(
    nightly: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    gate(nightly, night(tmp_path / "1"), tmp_path)
    assert gate(nightly, night(tmp_path / "2", started_at="2026-01-02T00:00:00Z"), tmp_path) == 0
    table = pd.read_parquet(kept(tmp_path) / "shard-1-of-2" / "results.parquet")
    assert set(table["started_at"]) == {"2026-01-02T00:00:00Z"}
    # The old one is gone: the link and one folder remain.
    assert len(list(kept(tmp_path).parent.iterdir())) == 2
    assert "no regression" in summary.read_text()


def test_another_environment_has_a_baseline_of_its_own(nightly: ModuleType, tmp_path: Path) -> None:
    gate(nightly, night(tmp_path / "1"), tmp_path)
    assert gate(nightly, night(tmp_path / "2", environment="gpu-b"), tmp_path) == 4
    assert kept(tmp_path).is_dir()
    assert kept(tmp_path, "gpu-b").is_dir()


def test_wrong_gradient_fails_and_is_not_kept(nightly: ModuleType, tmp_path: Path) -> None:
    gate(nightly, night(tmp_path / "1"), tmp_path)
    before = kept(tmp_path).resolve()
    assert gate(nightly, night(tmp_path / "2", accuracy="fail"), tmp_path) == 1
    assert kept(tmp_path).resolve() == before


def test_wrong_gradient_on_the_first_night_is_no_baseline(nightly: ModuleType, tmp_path: Path) -> None:
    assert gate(nightly, night(tmp_path / "1", accuracy="fail"), tmp_path) == 1
    assert not kept(tmp_path).exists()


def test_unmeasured_rows_are_no_baseline(nightly: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "1" / "shard-1-of-1", made_up.skipped(made_up.spec(tuple(FAST)), "no CUDA device"))
    assert gate(nightly, tmp_path / "1", tmp_path) == 3
    assert not (tmp_path / "baselines").exists()


def test_missing_share_makes_the_night_invalid_not_regressed(
    nightly: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate(nightly, night(tmp_path / "1", shares=3), tmp_path)
    out = night(tmp_path / "2", shares=3)
    (out / "shard-2-of-3" / "results.parquet").unlink()
    assert gate(nightly, out, tmp_path) == 4
    assert "no table of share 2 of 3" in capsys.readouterr().out


def test_night_without_any_table_is_invalid(
    nightly: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(nightly, tmp_path / "nothing", tmp_path) == 4
    assert "there is no table" in capsys.readouterr().out


def test_copy_that_is_cut_off_leaves_the_old_baseline(
    nightly: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gate(nightly, night(tmp_path / "1"), tmp_path)
    before = kept(tmp_path).resolve()

    def torn(source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nightly.shutil, "copytree", torn)
    assert gate(nightly, night(tmp_path / "2"), tmp_path) == 2
    assert "cannot be kept" in capsys.readouterr().err
    assert kept(tmp_path).resolve() == before
    assert (before / "shard-1-of-2" / "results.parquet").is_file()


@pytest.mark.parametrize(("validate", "code"), [(0, 0), (1, 4), (2, 2), (3, 4), (4, 4)])
def test_canary_that_trips_makes_the_night_invalid(
    nightly: ModuleType, monkeypatch: pytest.MonkeyPatch, validate: int, code: int
) -> None:
    monkeypatch.setattr(nightly, "convbench", lambda *words: validate)
    assert nightly.main(["canary"]) == code


def test_night_ends_where_the_canary_trips(nightly: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Recorder(4)
    monkeypatch.setattr(nightly, "convbench", asked)
    assert nightly.main(["night", "--out", "unused"]) == 4
    assert asked.said == [("validate", "device=cuda")]


def test_sweep_names_its_share_and_passes_the_rest_on(nightly: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Recorder(3)
    monkeypatch.setattr(nightly, "convbench", asked)
    assert nightly.main(["sweep", "--out", "o", "--shard", "2/8", "--device", "cpu", "measure=quick"]) == 3
    assert asked.said == [
        ("-m", "+sweep=kernels", "device=cpu", "strict=true", "measure=quick", "shard=2/8", "out=o/shard-2-of-8")
    ]


@pytest.mark.parametrize("words", [["sweep"], ["gate"], ["sweep", "--out", "o", "--shard", "3/2"], ["sing"]])
def test_wrong_command_line_is_exit_2(nightly: ModuleType, words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        nightly.main(words)
    assert stop.value.code == 2


def test_settings_come_from_the_environment(nightly: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Recorder(0)
    monkeypatch.setattr(nightly, "convbench", asked)
    for name, value in {"SWEEP": "resnet50", "DEVICE": "cuda:1", "SHARD": "1/2", "NIGHTLY_OUT": "there"}.items():
        monkeypatch.setenv(name, value)
    assert nightly.main(["sweep"]) == 0
    assert asked.said[0][1:3] == ("+sweep=resnet50", "device=cuda:1")
    assert asked.said[0][-2:] == ("shard=1/2", "out=there/shard-1-of-2")


def test_script_is_run_by_the_interpreter_that_has_convbench(nightly: ModuleType, capfd: Any) -> None:
    assert nightly.convbench("--version") == 0
    assert nightly.sys.executable == sys.executable
    assert "convbench" in capfd.readouterr().out
