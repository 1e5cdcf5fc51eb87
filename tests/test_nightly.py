"""The steps of a scheduled run on tables that were made up; tests/slow/test_nightly.py runs them for real."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import convbench
from convbench import cli
from convbench.facts.record import Record
from convbench.facts.values import InvalidValue
from convbench.nightly import baselines, command, steps
from convbench.nightly.baselines import nights, remember
from convbench.nightly.night import fingerprint, folder_of
from convbench.results import run_file
from convbench.results.table import typed
from tests import made_up

FAST = {"autograd": 1e-3, "explicit": 1e-3}

Nightly = Callable[[list[str]], int]


@pytest.fixture
def nightly(monkeypatch: pytest.MonkeyPatch) -> Nightly:
    """The command, with convbench called in this process: an interpreter for each `compare` takes seconds."""
    monkeypatch.setattr(steps, "convbench", lambda *words: cli.main(words))
    return command.main


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SWEEP", "DEVICE", "SHARD", "NIGHTLY_OUT", "BASELINES", "KEEP_BASELINE", "GITHUB_STEP_SUMMARY"):
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


def asked(out: Path, *words: str) -> Path:
    """The night as the sweep step leaves it: `words` are the sweep's name and its overrides."""
    for folder in out.iterdir():
        (folder / "night.json").write_text(json.dumps(words))
    return out


def gate(nightly: Nightly, out: Path, tmp_path: Path, *words: str, step: str = "gate") -> int:
    sweep = [] if "--sweep" in words else ["--sweep", "kernels"]
    return nightly([step, "--out", str(out), "--baselines", str(tmp_path / "baselines"), *sweep, *words])


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


def test_first_night_compares_nothing_is_kept_and_is_not_red(nightly: Nightly, tmp_path: Path) -> None:
    out = night(tmp_path / "1")
    assert gate(nightly, out, tmp_path) == 0
    assert (kept(tmp_path) / "shard-2-of-2" / "results.parquet").is_file()


def test_good_night_passes_and_replaces_the_baseline(
    nightly: Nightly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    gate(nightly, night(tmp_path / "1"), tmp_path)
    assert gate(nightly, night(tmp_path / "2", started_at="2026-01-02T00:00:00Z"), tmp_path) == 0
    table = pd.read_parquet(kept(tmp_path) / "shard-1-of-2" / "results.parquet")
    assert set(table["started_at"]) == {"2026-01-02T00:00:00Z"}
    # The old one is gone: the link, one folder and the tables of both nights remain.
    assert len(list(kept(tmp_path).parent.iterdir())) == 3
    assert len(list(nights(kept(tmp_path)).iterdir())) == 2
    assert "no regression" in summary.read_text()


@pytest.mark.slow
def test_loss_of_a_percent_a_night_ends_with_a_red_night(nightly: Nightly, tmp_path: Path) -> None:
    """Every night passes against the one before, and is kept; what is remembered of them tells."""

    def one(number: int, slower: float) -> int:
        out, times = tmp_path / f"night-{number}", {"autograd": 1e-3, "explicit": 1e-3 * slower}
        day = f"2026-{1 + number // 28:02d}-{1 + number % 28:02d}T00:00:00Z"
        for k in (1, 2):
            of = made_up.spec(tuple(times), kernel=2 * k + 1)
            write(out / f"shard-{k}-of-2", made_up.timed(of, times, environment_id="gpu-a", started_at=day))
        return gate(nightly, out, tmp_path)

    assert one(0, 1.0) == 0
    for _ in range(8):
        remember(tmp_path / "night-0", nights(kept(tmp_path)))
    red = next(day for day in range(1, 15) if one(10 + day, 1.01**day) == 1)
    assert 3 < red < 14, "within two weeks, and not at a single night's noise"
    assert gate(nightly, tmp_path / f"night-{10 + red}", tmp_path, step="accept") == 0
    assert len(list(nights(kept(tmp_path)).iterdir())) == 1, "what is accepted begins a new level"
    assert one(40, 1.01**red) == 0


def test_no_more_nights_are_remembered_than_are_looked_at(
    nightly: Nightly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "NIGHTS", 3)
    out, folder = night(tmp_path / "1"), tmp_path / "nights"
    for _ in range(5):
        remember(out, folder)
    assert len(list(folder.iterdir())) == 3


def test_another_environment_has_a_baseline_of_its_own(nightly: Nightly, tmp_path: Path) -> None:
    gate(nightly, night(tmp_path / "1"), tmp_path)
    assert gate(nightly, night(tmp_path / "2", environment="gpu-b"), tmp_path) == 0
    assert kept(tmp_path).is_dir()
    assert kept(tmp_path, "gpu-b").is_dir()


def test_wrong_gradient_fails_and_is_not_kept(nightly: Nightly, tmp_path: Path) -> None:
    gate(nightly, night(tmp_path / "1"), tmp_path)
    before = kept(tmp_path).resolve()
    assert gate(nightly, night(tmp_path / "2", accuracy="fail"), tmp_path) == 1
    assert kept(tmp_path).resolve() == before


def test_wrong_gradient_on_the_first_night_is_no_baseline(nightly: Nightly, tmp_path: Path) -> None:
    assert gate(nightly, night(tmp_path / "1", accuracy="fail"), tmp_path) == 1
    assert not kept(tmp_path).exists()


def test_unmeasured_rows_are_no_baseline(nightly: Nightly, tmp_path: Path) -> None:
    write(tmp_path / "1" / "shard-1-of-1", made_up.skipped(made_up.spec(tuple(FAST)), "no CUDA device"))
    assert gate(nightly, tmp_path / "1", tmp_path) == 3
    assert not (tmp_path / "baselines").exists()


def test_missing_share_makes_the_night_invalid_not_regressed(
    nightly: Nightly, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate(nightly, night(tmp_path / "1", shares=3), tmp_path)
    out = night(tmp_path / "2", shares=3)
    (out / "shard-2-of-3" / "results.parquet").unlink()
    assert gate(nightly, out, tmp_path) == 4
    assert "no table of share 2 of 3" in capsys.readouterr().out


def test_night_without_any_table_is_invalid(
    nightly: Nightly, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(nightly, tmp_path / "nothing", tmp_path) == 4
    assert "there is no table" in capsys.readouterr().out


def test_copy_that_is_cut_off_leaves_the_old_baseline(
    nightly: Nightly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gate(nightly, night(tmp_path / "1"), tmp_path)
    before = kept(tmp_path).resolve()

    def torn(source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", torn)
    with pytest.raises(InvalidValue, match="cannot be kept"):
        gate(nightly, night(tmp_path / "2"), tmp_path)
    assert kept(tmp_path).resolve() == before
    assert (before / "shard-1-of-2" / "results.parquet").is_file()


def test_link_that_a_killed_run_left_behind_is_in_nobodys_way(nightly: Nightly, tmp_path: Path) -> None:
    kept(tmp_path).parent.mkdir(parents=True)
    for name in ("gpu-a.link", "gpu-a.0123456789abcdef.link"):
        (kept(tmp_path).parent / name).symlink_to("nowhere")
    assert gate(nightly, night(tmp_path / "1"), tmp_path) == 0
    first = kept(tmp_path).resolve()
    assert gate(nightly, night(tmp_path / "2"), tmp_path) == 0
    assert kept(tmp_path).resolve() != first


@pytest.mark.parametrize("forbidden", ["--no-keep", "KEEP_BASELINE"])
def test_run_that_may_not_be_kept_is_compared_and_leaves_the_baseline(
    nightly: Nightly,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    forbidden: str,
) -> None:
    gate(nightly, night(tmp_path / "1"), tmp_path)
    before = kept(tmp_path).resolve()
    words = [forbidden] if forbidden.startswith("--") else []
    if not words:
        monkeypatch.setenv(forbidden, "false")
    capsys.readouterr()
    assert gate(nightly, night(tmp_path / "2"), tmp_path, *words) == 0
    assert "the baseline stays as it was" in capsys.readouterr().out
    assert kept(tmp_path).resolve() == before
    assert gate(nightly, night(tmp_path / "3", environment="gpu-b"), tmp_path, *words) == 4
    assert not kept(tmp_path, "gpu-b").exists()


def test_night_with_overrides_is_compared_with_its_like_alone(nightly: Nightly, tmp_path: Path) -> None:
    gate(nightly, asked(night(tmp_path / "1"), "kernels"), tmp_path)
    before = kept(tmp_path).resolve()
    short = asked(night(tmp_path / "2", shares=1), "kernels", "limit=2")
    assert gate(nightly, short, tmp_path) == 0
    assert gate(nightly, asked(night(tmp_path / "3", shares=1), "kernels", "limit=2"), tmp_path) == 0
    assert gate(nightly, asked(night(tmp_path / "4", shares=1), "kernels", "limit=3"), tmp_path) == 0
    assert kept(tmp_path).resolve() == before


def test_folder_of_the_night_says_which_sweep_it_is(nightly: Nightly, tmp_path: Path) -> None:
    assert gate(nightly, asked(night(tmp_path / "1"), "resnet50"), tmp_path) == 0
    assert (tmp_path / "baselines" / "resnet50" / "gpu-a").is_dir()


def test_shares_of_different_sweeps_are_no_night(
    nightly: Nightly, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = asked(night(tmp_path / "1"), "kernels")
    (out / "shard-2-of-2" / "night.json").write_text('["kernels", "limit=2"]')
    assert gate(nightly, out, tmp_path) == 4
    assert "shares of different sweeps or overrides" in capsys.readouterr().out


def test_regression_that_was_meant_is_accepted_as_the_baseline(
    nightly: Nightly, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate(nightly, night(tmp_path / "1"), tmp_path)
    smaller = night(tmp_path / "2", shares=1)
    assert gate(nightly, smaller, tmp_path) == 1, "a shape that was removed"
    assert gate(nightly, smaller, tmp_path, step="accept") == 0
    assert "is the baseline of kernels in this environment (gpu-a) now" in capsys.readouterr().out
    assert gate(nightly, night(tmp_path / "3", shares=1), tmp_path) == 0


@pytest.mark.parametrize(("values", "code", "why"), [
    ({"accuracy": "fail"}, 1, "a wrong gradient"),
    ({"status": "crash"}, 3, "rows that could not be measured"),
])  # fmt: skip
def test_wrong_or_unmeasured_night_is_never_accepted(
    nightly: Nightly,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    values: dict[str, Any],
    code: int,
    why: str,
) -> None:
    assert gate(nightly, night(tmp_path / "1", **values), tmp_path, step="accept") == code
    assert why in capsys.readouterr().out
    assert not kept(tmp_path).exists()


def test_half_a_night_is_never_accepted(nightly: Nightly, tmp_path: Path) -> None:
    out = night(tmp_path / "1", shares=3)
    (out / "shard-2-of-3" / "results.parquet").unlink()
    assert gate(nightly, out, tmp_path, step="accept") == 4
    assert not kept(tmp_path).exists()


def test_share_without_configurations_belongs_to_the_night(nightly: Nightly, tmp_path: Path) -> None:
    """More shares than configurations: the empty one is really run, to its end."""
    out = night(tmp_path / "1", shares=1)
    (out / "shard-1-of-1").rename(out / "shard-1-of-2")
    asked(out, "notebook")
    words = ["sweep", "--out", str(out), "--sweep", "notebook", "--device", "cpu", "--shard", "2/2"]
    assert nightly(words) == 0
    assert len(convbench.load(out / "shard-2-of-2")) == 0
    assert len(convbench.load(out)) == len(FAST)
    assert gate(nightly, out, tmp_path) == 0
    assert (tmp_path / "baselines" / "notebook" / "gpu-a").is_dir()


@pytest.mark.usefixtures("nightly")
def test_run_of_any_folder_is_judged_by_those_that_were_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`gate --baselines`: a run's own folder, without shards or a note; run.json tells what kind of run it is."""

    def judged(name: str, *argv: str, slower: float = 1.0) -> int:
        out = tmp_path / name
        write(out, made_up.timed(made_up.spec(tuple(FAST)), {**FAST, "explicit": 1e-3 * slower}, environment_id="here"))
        run_file.append(out, {"argv": ["-m", *argv, f"out={out}"]})
        return cli.main(["gate", "--baselines", str(tmp_path / "kept"), str(out)])

    assert judged("1", "cases=layers.csv") == 0
    assert "nothing was compared" in capsys.readouterr().out
    assert judged("2", "cases=layers.csv") == 0
    assert "no regression" in capsys.readouterr().out
    assert judged("3", "kernel=3,5", slower=2) == 0, "another kind of run"
    (first, other) = [path for path in (tmp_path / "kept" / "run").iterdir() if path.is_symlink()]
    assert first.name[:5] == other.name[:5] == "here-"


@pytest.mark.parametrize(("validate", "code"), [(0, 0), (1, 4), (2, 2), (3, 4), (4, 4)])
def test_canary_that_trips_makes_the_night_invalid(
    nightly: Nightly, monkeypatch: pytest.MonkeyPatch, validate: int, code: int
) -> None:
    monkeypatch.setattr(steps, "convbench", lambda *words: validate)
    assert nightly(["canary"]) == code


@pytest.mark.parametrize(("missing", "said"), [
    ("no CUDA: this torch is built without CUDA", "there is no device=cuda here: no CUDA: this torch is built without"),
    (None, "timings from this machine cannot be trusted now"),
])  # fmt: skip
def test_canary_tells_a_missing_device_from_a_noisy_machine(
    nightly: Nightly,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: str | None,
    said: str,
) -> None:
    monkeypatch.setattr(steps, "convbench", lambda *words: 4)
    monkeypatch.setattr(steps, "missing_device", lambda device: missing)
    assert nightly(["canary", "--device", "cuda"]) == 4
    assert said in capsys.readouterr().out


def test_night_ends_where_the_canary_trips(nightly: Nightly, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Recorder(4)
    monkeypatch.setattr(steps, "convbench", asked)
    assert nightly(["--sweep", "kernels", "--device", "cuda", "--out", "unused"]) == 4
    assert asked.said == [("validate", "device=cuda")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--sweep", "kernals"], "no sweep named 'kernals'; did you mean kernels?"),
        (["kernal=3"], "no setting named 'kernal'; did you mean kernel?"),
        (["methods=[nowhere_at_all:f]"], "no module nowhere_at_all"),
    ],
)
def test_a_sweep_that_would_be_refused_is_so_before_the_canary(
    nightly: Nightly, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str
) -> None:
    asked = Recorder(0)
    monkeypatch.setattr(steps, "convbench", asked)
    with pytest.raises(InvalidValue) as refused:
        nightly([*words, "--out", "unused"])
    assert expected in str(refused.value)
    assert asked.said == []


def test_sweep_names_its_share_and_passes_the_rest_on(
    nightly: Nightly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = Recorder(3)
    monkeypatch.setattr(steps, "convbench", asked)
    assert (
        nightly(["sweep", "--sweep", "kernels", "--out", "o", "--shard", "2/8", "--device", "cpu", "measure=quick"])
        == 3
    )
    assert asked.said == [
        ("-m", "+sweep=kernels", "device=cpu", "strict=true", "measure=quick", "shard=2/8", "out=o/shard-2-of-8")
    ]
    assert json.loads(Path("o/shard-2-of-8/night.json").read_text()) == ["kernels", "measure=quick"]


def test_switch_that_is_neither_true_nor_false_is_refused(nightly: Nightly, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP_BASELINE", "no")
    with pytest.raises(InvalidValue, match="KEEP_BASELINE=no is not allowed"):
        nightly(["gate", "--out", "o"])


def test_baselines_lie_outside_the_checkout(nightly: Nightly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home folder is found for a tilde that no shell has expanded, and a relative path is refused."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BASELINES", "~/kept")
    assert nightly(["gate", "--sweep", "kernels", "--out", str(night(tmp_path / "1"))]) == 0
    assert (tmp_path / "home" / "kept" / "kernels" / "gpu-a").is_dir()
    for path in ("kept", "./kept", "~nobody-of-this-name/kept"):
        monkeypatch.setenv("BASELINES", path)
        with pytest.raises(InvalidValue, match="is relative; give an absolute path"):
            nightly(["gate", "--out", str(tmp_path / "1")])


@pytest.mark.slow
def test_night_of_very_many_environments_has_a_short_name(nightly: Nightly, tmp_path: Path) -> None:
    names = []
    for first in (0, 1):
        out = tmp_path / str(first)
        for k in range(1, 17):  # 16 names of 16 characters are longer than a file's name may be
            rows = made_up.timed(made_up.spec(tuple(FAST)), FAST, environment_id=f"{first + k:016x}")
            write(out / f"shard-{k}-of-16", rows)
        names.append(fingerprint(asked(out, "kernels", "batch=2")))
    assert gate(nightly, out, tmp_path) == 0
    assert len(set(names)) == 2
    assert all(name.startswith("16-environments-") for name in names)


def test_settings_come_from_the_environment(nightly: Nightly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = Recorder(0)
    monkeypatch.setattr(steps, "convbench", asked)
    for name, value in {"SWEEP": "resnet50", "DEVICE": "cuda:1", "SHARD": "1/2", "NIGHTLY_OUT": "there"}.items():
        monkeypatch.setenv(name, value)
    assert nightly(["sweep"]) == 0
    assert asked.said[0][1:3] == ("+sweep=resnet50", "device=cuda:1")
    assert asked.said[0][-2:] == ("shard=1/2", "out=there/shard-1-of-2")


def test_steps_are_run_by_the_interpreter_that_has_convbench(capfd: Any) -> None:
    assert steps.convbench("--version") == 0
    assert "convbench" in capfd.readouterr().out


@pytest.mark.parametrize("sweep", ["../..", "/etc", "..", ".", "a/b"])
def test_a_sweep_s_name_never_leads_out_of_the_baselines(nightly: Nightly, sweep: str) -> None:
    folder = folder_of(sweep)
    assert Path("/home/baselines", folder).resolve().parent == Path("/home/baselines")
    assert folder_of("kernels") == "kernels"
    assert len({folder_of(name) for name in ("a/b", "a_b", "a.b/..", "a//b")}) == 4
