"""What the table calls a measurement: a preset that was changed does not pass for the preset."""

from __future__ import annotations

from pathlib import Path

import pytest

from convbench.facts.record import COLUMNS
from convbench.sweep.plan import planned


def called(*words: str) -> list[str]:
    return [spec.columns()["measure"] for spec in planned(words).sweep]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["measure=quick"], ["quick"]),
        (["measure=quick", "measure.half_width=0.03"], ["quick"]),
        (["measure=quick", "measure.half_width=0.02"], ["quick half_width=0.02"]),
        (["measure.looks=[6,8]", "measure.memory=false"], ["default looks=[6,8] memory=false"]),
        (["measure.margin=0.03,0.05"], ["default", "default margin=0.05"]),
        (["measure=none", "measure.enabled=true"], ["none enabled=true"]),
        (["measure.cache=cold"], ["default"]),
        (["measure.name=mine", "measure.margin=0.05"], ["mine"]),
        (["measure.name=rigorous"], ["default"]),
        (["measure=quick,none", "measure.samples=true"], ["quick samples=true", "none samples=true"]),
    ],
)
def test_changed_preset_says_what_was_changed(words: list[str], names: list[str]) -> None:
    assert called(*words) == names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("looks: [6]\n", "own"),
        ("name: default\nlooks: [6]\n", "own"),
        ("name: nights\nlooks: [6]\n", "nights"),
        ("defaults: [quick]\nname: nights\nlooks: [6]\n", "nights"),
    ],
)
def test_preset_of_ones_own(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "measure").mkdir()
    (tmp_path / "measure" / "own.yaml").write_text(text)
    words = [f"--config-dir={tmp_path}", "measure=own"]
    assert called(*words) == [name]
    assert called(*words, "measure.margin=0.05,0.06") == [f"{name} margin=0.05", f"{name} margin=0.06"]


def test_what_was_measured_before_is_not_measured_again() -> None:
    """The run key goes by the values, which older rows had as well, and not by what they are called."""
    before = ["measure.looks=[20,30,40,60,80,120,200]", "measure.half_width=0.01", "measure.min_time_s=0.5"]
    before += ["measure.max_time_s=20.0", "measure.processes=1"]
    (spec,) = planned([*before, "measure.margin=0.05"]).sweep
    (usual,) = planned(before).sweep
    assert spec.run_key != usual.run_key
    assert spec.run_key == "7bde84388325f819"
    assert "changes" in COLUMNS["measure"].meaning
