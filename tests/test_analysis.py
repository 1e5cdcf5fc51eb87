"""The recipes of docs/analysis.md, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.simulated import row, timed_row
from tests.test_table import write

PAGE = Path(__file__).parent.parent / "docs" / "analysis.md"
SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)

RECIPES = {title: BLOCK.findall(body) for title, body in SECTION.findall(PAGE.read_text(encoding="utf-8"))}


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a recipe leaves behind after it was run beside three finished runs."""
    monkeypatch.chdir(tmp_path)
    mine = []
    for i in range(4):
        mine.append({**timed_row(i, "autograd", None), "bound_ratio": 0.5})
        speedup = 0.5 + 0.5 * i
        ends = (speedup, speedup - 0.01, speedup + 0.01)
        speed = ["slower", "equivalent", "faster", "faster"][i]
        mine.append({**timed_row(i, "explicit", ends), "bound_ratio": i / 10, "speed": speed})
    mine.append(row(4, "explicit", status="oom", accuracy=None, reason="out of memory"))
    write(tmp_path / "results" / "mine", mine)
    for name, time_s in (("cpu", 4e-3), ("gpu", 1e-3)):
        rows = [timed_row(i, "explicit", (1.0, 0.9, 1.1), time_s * (i + 1 if name == "cpu" else 1)) for i in range(3)]
        rows.append({**rows[0], "memory_format": "channels_last"})
        write(tmp_path / "results" / name, [{**r, "device": name, "tflops": 1.0} for r in rows])
    return left_by(request.param)


def left_by(recipe: str) -> dict[str, Any]:
    """The names that a recipe defines, run in the current directory."""
    found: dict[str, Any] = {}
    for code in RECIPES[recipe]:
        exec(compile(code, PAGE.name, "exec"), found)
    return found


def test_every_recipe_is_run() -> None:
    assert [title for title, blocks in RECIPES.items() if blocks] == [
        "Autograd against explicit",
        "The worst cases",
        "A plot",
        "Two devices",
    ]


@pytest.mark.parametrize("names", ["Autograd against explicit"], indirect=True)
def test_autograd_against_explicit(names: dict[str, Any]) -> None:
    wide = names["wide"]
    assert wide["speedup"]["explicit"].dropna().tolist() == [0.5, 1.0, 1.5, 2.0]
    assert wide["speedup"]["autograd"].dropna().tolist() == [1.0] * 4


def test_configurations_are_kept_apart_whatever_was_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one_axis = {f"{name}_h": None for name in ("in", "kernel", "stride", "pad", "dil", "output_padding")}
    swept: list[dict[str, Any]] = [
        *({"wrt": wrt, "batch": batch} for wrt in ("input", "weight") for batch in (1, 2)),
        {"op": "conv1d", **one_axis},
        *({"labels": f'{{"layer": "{layer}"}}', "run_key": "the same"} for layer in ("conv1", "conv2")),
    ]
    rows = []
    for i, values in enumerate(swept):
        alike = {"in_h": 8, "in_w": 8, **values}
        rows.append({**timed_row(i, "autograd", None), **alike})
        rows.append({**timed_row(i, "explicit", (1.0 + i, 0.9 + i, 1.1 + i)), **alike})
    write(tmp_path / "results" / "mine", [{k: v for k, v in r.items() if v is not None} for r in rows])
    found = left_by("Autograd against explicit")
    lines = found["names"].join(found["wide"]["speedup"]).sort_values("explicit")
    assert lines["explicit"].tolist() == [1.0 + i for i in range(len(swept))]
    assert lines["wrt"].tolist()[:4] == ["input", "input", "weight", "weight"]
    assert lines["batch"].tolist()[:4] == [1, 2, 1, 2]
    assert lines["op"].tolist()[4] == "conv1d"


@pytest.mark.parametrize("names", ["The worst cases"], indirect=True)
def test_worst_cases(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert names["closest"]["bound_ratio"].tolist()[:5] == [0.5, 0.5, 0.5, 0.5, 0.3]
    assert names["slowest"]["speedup"].tolist() == [0.5]
    assert names["failed"]["reason"].tolist() == ["out of memory"]


@pytest.mark.parametrize("names", ["A plot"], indirect=True)
def test_plot(names: dict[str, Any]) -> None:
    """One line with its bars, for the one method that has intervals."""
    axes = names["axes"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["explicit"]
    (container,) = axes.containers
    assert container[0].get_ydata().tolist() == [0.5, 1.0, 1.5, 2.0]
    (bars,) = container[2]
    assert bars.get_segments()[0][:, 1].tolist() == pytest.approx([0.49, 0.51])
    assert Path("speedups.pdf").stat().st_size > 1000


@pytest.mark.parametrize("names", ["Two devices"], indirect=True)
def test_two_devices(names: dict[str, Any]) -> None:
    assert names["both"]["gpu_is_faster_by"].tolist() == [4.0, 8.0, 12.0, 4.0]
