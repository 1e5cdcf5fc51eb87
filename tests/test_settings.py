"""The table of settings: whatever stands in it is named, recorded, fingerprinted, said and obeyed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import fields, replace
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from omegaconf import OmegaConf

from convbench.facts.measure import Measure
from convbench.facts.record import CASE, COLUMNS, SETTING, SPEED
from convbench.facts.settings import CONFIGURATION, SETTINGS, Identity, owned
from convbench.facts.spec import Spec, Switches
from convbench.measurement.environment import FINGERPRINT, collect
from convbench.measurement.switches import SWITCHES
from convbench.results import naming
from convbench.sweep.config import SPEC_KEYS, Schema, folder
from tests.settings import NOTEBOOK, make_spec

ROOT = Path(__file__).parent.parent

OTHER: dict[str, Any] = {
    "op": "conv2d", "batch": 2, "in_channels": 5, "out_channels": 2, "size": [17, 18], "kernel": [9, 8], "stride": 2,
    "padding": 1, "dilation": 2, "groups": 2, "output_padding": 1, "bias": True, "dtype": "float64",
    "device": "cuda", "memory_format": "channels_last", "wrt": "weight", "order": 2, "fill": "integer", "seed": 1,
    "allocator": "retain",
    "time": "wall",
}  # fmt: skip
"""Another value than the notebook's case has, where it cannot be made up from the type."""
BESIDES: dict[str, dict[str, Any]] = {
    "groups": {"out_channels": 2},
    "output_padding": {"stride": 2},
}
"""What has to change for that value to be legal."""


def key_of(name: str) -> str:
    setting = SETTINGS[name]
    return "measure.name" if name == "measure" else f"measure.{name}" if setting.owner == "measure" else name


def pair(name: str) -> tuple[Spec, Spec]:
    """Two configurations that differ in this setting alone."""
    values = {key.replace(".", "__"): value for key, value in BESIDES.get(name, {}).items()}
    key, usual = key_of(name), NOTEBOOK[key_of(name)]
    other = OTHER.get(name, not usual if isinstance(usual, bool) else usual + 1 if isinstance(usual, int) else "cold")
    return make_spec(**values), make_spec(**values, **{key.replace(".", "__"): other})


@pytest.mark.parametrize("name", SETTINGS)
def test_two_values_are_two_configurations(name: str) -> None:
    """By `config_id` where the table says so, always by `run_key`."""
    one, other = pair(name)
    assert one.run_key != other.run_key
    assert (one.config_id != other.config_id) == (SETTINGS[name].identity is not Identity.NEVER)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_row_records_it(name: str) -> None:
    setting = SETTINGS[name]
    assert all(COLUMNS[column].type is setting.type for column in setting.columns)
    one, other = pair(name)
    recorded = SPEED if setting.observed else CASE if setting.owner == "case" else SETTING
    assert set(setting.columns) <= {column.name for column in recorded}
    if not setting.observed:
        assert any(one.columns().get(c) != other.columns().get(c) for c in setting.columns)
    assert (set(setting.columns) <= set(CONFIGURATION)) == (setting.identity is not Identity.NEVER)


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_said_in_words(name: str) -> None:
    one, other = (
        {
            **spec.columns(),
            "cache": spec.measure.cache,
            "cuda_graph": spec.measure.cuda_graph,
            "time": spec.measure.time,
        }
        for spec in pair(name)
    )
    assert naming.phrases(one, [name]) != naming.phrases(other, [name])
    values = [naming.say(name, naming.value_of(name, row)) for row in (one, other)]
    assert all(values)
    assert values[0] != values[1]


@pytest.mark.parametrize("name", SETTINGS)
def test_it_can_be_written_and_its_usual_value_is_the_programs(name: str) -> None:
    setting, key = SETTINGS[name], key_of(name)
    assert key in SPEC_KEYS
    if setting.owner == "measure":
        usual = {f.name: f.default for f in fields(Measure)}[key.removeprefix("measure.")]
    else:
        kind = get_type_hints(Schema)[name]
        # Settings of a few words have these words as their type, so that a shell can complete them.
        assert kind == (setting.written or setting.type) or (setting.type is str and issubclass(kind, Enum))
        usual = OmegaConf.load(folder("conf") / "config.yaml")[name]
    assert setting.usual is None or setting.usual == usual
    listed = (folder("conf") / "hydra" / "help" / "convbench.yaml").read_text(encoding="utf-8")
    assert name in listed or setting.observed


@pytest.mark.parametrize("setting", owned("switch"), ids=lambda setting: setting.name)
def test_a_switch_is_obeyed_and_makes_another_environment(setting: Any) -> None:
    assert set(SWITCHES) == {one.name for one in owned("switch")} == {f.name for f in fields(Switches)}
    assert setting.name in FINGERPRINT
    usual = Switches()
    value = setting.usual + 1 if setting.type is int else OTHER.get(setting.name, not setting.usual)
    other = replace(usual, **{setting.name: value})
    assert collect("cpu", usual)["environment_id"] != collect("cpu", other)["environment_id"]


SCRATCH = """
from convbench.facts.record import COLUMNS
from convbench.facts.spec import Spec
from convbench.measurement import environment, switches
from convbench.results import naming
from convbench.sweep.config import Schema, KEYS
from tests.settings import NOTEBOOK, make_spec

try:
    Spec.of({key: value for key, value in NOTEBOOK.items() if key != "scratch"})
except KeyError as error:
    print("no value:", error)
one, other = make_spec(), make_spec(scratch=True)
print(one.config_id, one.config_id != other.config_id, one.run_key != other.run_key)
ids = [environment.collect("cpu", spec.switches)["environment_id"] for spec in (one, other)]
print(ids[0] != ids[1], "scratch" in COLUMNS, other.columns()["scratch"], "scratch" in KEYS)
print(naming.phrases(other.columns(), ["scratch"]))
try:
    with switches.switched(other.switches):
        print("ran")
except KeyError as error:
    print("not obeyed:", error)
"""


@pytest.mark.slow
def test_a_new_switch_cannot_be_forgotten_silently(tmp_path: Path) -> None:
    """One line in the table of a copy: all but its value and the code that obeys it is there, and those raise."""
    for name in ("convbench", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "settings.py", tmp_path / "tests")
    table = tmp_path / "convbench" / "facts" / "settings.py"
    line = 'Setting("scratch", "switch", bool, "a new switch", False), '
    table.write_text(table.read_text(encoding="utf-8").replace('Setting("onednn"', f'{line}Setting("onednn"', 1))
    done = subprocess.run(
        [sys.executable, "-c", SCRATCH], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "no value: 'scratch'",
        f"{make_spec().config_id} True True",
        "True True True True",
        "['scratch on']",
        "not obeyed: 'scratch'",
    ]
