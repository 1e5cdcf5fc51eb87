"""Plans: that the same words stand for the same configurations for ever, and what Hydra is asked for."""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path

import pytest

from convbench import cli

from .composed import plan

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "convbench"

KNOWN = {
    "-m kernel=3,5,9 device=cpu,cuda": (6, "30374b4bc111"),
    "-m measure=none,rigorous kernel=3,5 measure.margin=0.05": (4, "4eb237fe55ed"),
    "-m size=${kernel} kernel=3,[3,5]": (2, "fb75b8d62f02"),
    "-m op=conv1d,conv2d size=20,[20,24]": (3, "166ba7006498"),
    "": (1, "d0823e12bda4"),
    "+sweep=dcgan,vgg16 measure=none batch=1": (54, "59e5bc9716a7"),
    "-m measure=glob(*)": (5, "97906c37f8e7"),
    "cases=alexnet.csv dtype=float32,float64": (10, "d1ba734139cf"),
    "+sweep=bias": (4, "241108c4fbf3"),
    "+sweep=kernels kernel=7": (2, "b14928445fc8"),
    "-m seed=range(50) shuffle=true limit=6 shard=2/3": (2, "a1fd364038f4"),
}
"""Words → how many configurations they stand for, and a hash of their places in the product with their `config_id`,
taken when Hydra's own multirun composed them: a table's rows must find their configurations again."""


@pytest.mark.parametrize("words", KNOWN)
def test_the_same_words_stand_for_the_same_configurations_as_ever(words: str) -> None:
    sweep = plan(words.split()).sweep
    text = " ".join(f"{place}:{spec.config_id}" for place, spec in zip(sweep.positions, sweep, strict=True))
    assert (len(sweep), hashlib.sha256(text.encode()).hexdigest()[:12]) == KNOWN[words]


def test_one_thing_of_hydra_s_own_is_imported() -> None:
    """`hydra._internal` may change with any release; what is taken from it is justified where it is imported."""
    found = {
        (path.stem, node.module)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("hydra._internal")
    }
    assert found == {("launched", "hydra._internal.callbacks")}


def test_a_dry_run_tells_the_plan(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-m", "groups=1,3", "output_padding=0,1", "seed=0,1,0", "methods=[autograd,explicit],[autograd]"]
    assert cli.main([*words, "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "6 rows: 4 configurations, autograd, explicit"
    assert [line.endswith("· autograd") for line in told[1:5]] == [False, True, False, True]
    assert all(line.startswith("  conv_transpose2d 1×4→1 17×17 k9") for line in told[1:5])
    assert told[5:] == [
        "18 illegal combinations left out (on_illegal=error stops at the first):",
        "  12 × groups=3 must divide in_channels=4",
        "  6 × output_padding=1 (axis h) must be smaller than stride=1 or dilation=1",
        "skipped 2 duplicate combinations",
        # In 4 processes and 2 ways: ten samples of 0.01 s and 0.1 s of warm-up for each method, 2 × 0.4 s + 2 × 0.2 s.
        "time: at least 9.6 s of timing alone, up to 4 min 05 s where times scatter; preparing and judging come on top",
        "nothing was run; the results would go to a new folder under results/",
    ]
    assert not list(tmp_path.iterdir())


def test_a_dry_run_counts_what_is_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["measure=none", "methods=[autograd]", "size=5", "kernel=3", f"out={tmp_path}"]
    assert cli.main([*words, "isolation=none"]) == 0
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert cli.main(["-m", *words, "seed=range(100)", "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "100 rows: 100 configurations, autograd"
    assert told[-4:-2] == [
        "  … and 60 more configurations",
        "time: nothing is timed; how long preparing and judging take depends on the sizes",
    ]
    assert re.fullmatch(
        rf"      \S+ m?s each in {tmp_path} \(median of 1 configuration .*\): about .+ in all", told[-2]
    )
    assert told[-1:] == [
        f"nothing was run; the results would go to {tmp_path}, which holds 1 configuration of them already",
    ]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("word", ["+sweep=", "sweep="])
def test_saved_sweeps_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path, word: str) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text("# @package _global_\n# My layers: those of today.\nkernel: 3\n")
    assert cli.main([f"--config-dir={tmp_path}", word]) == 0
    head, *told = capsys.readouterr().out.splitlines()
    assert "+sweep=NAME" in head
    said = dict(line.split(maxsplit=1) for line in told)
    assert set(said) == {path.stem for path in (ROOT / "sweeps").glob("*.yaml")} | {"mine"}
    assert (said["mine"], said["bias"]) == ("My layers", "Bias doesn't affect the gradient")
    assert said["alexnet"] == f"AlexNet ({len((ROOT / 'sweeps/alexnet.csv').read_text().splitlines()) - 1} layers)"
    assert max(map(len, told)) <= 80


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-m", "hydra/sweeper=basic", "kernel=3,5"], "there is no plan to show"),
        (["methods=[nope_mod:f]"], "no module nope_mod in the working directory"),
        (["kernal=3"], "did you mean kernel?"),
    ],
)
def test_a_dry_run_refuses_what_a_run_would(
    capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert cli.main([*words, "--dry-run"]) == 2
    assert expected in capsys.readouterr().err
