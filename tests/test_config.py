"""The settings: every one has a type, a value and a line of help; what cannot be used is refused in a sentence."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from convbench.facts.measure import Measure
from convbench.facts.values import InvalidValue, did_you_mean
from convbench.results.objective import Objective
from convbench.sweep import config
from convbench.sweep.config import (
    KEYS,
    RUN_KEYS,
    SPEC_KEYS,
    Schema,
    Settings,
    bytes_of,
    flat,
    folder,
    spec_of,
)
from convbench.sweep.presets import preset

from .composed import configurations
from .settings import NOTEBOOK

WRITTEN = OmegaConf.load(folder("conf") / "config.yaml")
RUN = {key: WRITTEN[key] for key in RUN_KEYS}


def test_every_setting_has_a_type_and_a_value() -> None:
    nested = {f"reference.{key}" for key in WRITTEN.reference}
    plain = {str(key) for key in WRITTEN} - {"axes", "defaults", "hydra", "reference"}
    assert plain | nested | {key for key in KEYS if key.startswith("measure.")} == KEYS
    assert {f.name for f in fields(Schema)} == plain | {"axes", "measure", "reference"}
    assert SPEC_KEYS.isdisjoint(RUN_KEYS)


@pytest.mark.parametrize("path", sorted((folder("conf") / "measure").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_says_everything(path: Path) -> None:
    """A preset that leaves a number out would silently take the schema's, which has no reason beside it."""
    assert list(OmegaConf.load(path)) == [f.name for f in fields(Measure)]
    measure = preset(path.stem)
    assert measure.name == path.stem
    assert measure.enabled is (path.stem not in ("none", "profile"))


def test_the_notebook_s_case_is_what_runs_by_default() -> None:
    (spec,) = configurations([])
    assert (spec.case.op, spec.case.input_shape, spec.case.weight_shape) == (
        "conv_transpose2d",
        (1, 4, 17, 17),
        (4, 1, 9, 9),
    )
    assert spec.methods == ("autograd", "explicit", "aten", "unfold")
    assert (spec.dtype, spec.device, spec.wrt, spec.case.bias, spec.measure.name) == (
        "float32",
        "cpu",
        "input",
        False,
        "default",
    )


def test_the_help_names_every_setting() -> None:
    template = OmegaConf.load(folder("conf") / "hydra/help/convbench.yaml").template
    # `share` is how a launcher's job is told its share; nobody writes it.
    missing = [key for key in KEYS - {"share"} if "." not in key and key not in template]
    assert not missing
    assert "measure." in template
    assert "reference.max_flops" in template


def test_folders_are_found_beside_the_package_or_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(config, "_PACKAGE", tmp_path / "package")
    with pytest.raises(InvalidValue, match="install convbench again"):
        folder("conf")
    (tmp_path / "conf").mkdir()
    assert folder("conf") == tmp_path / "conf"
    (tmp_path / "package/conf").mkdir()
    assert folder("conf") == tmp_path / "package/conf"


def test_flat_refuses_what_the_schema_does_not_have_or_lacks() -> None:
    with pytest.raises(InvalidValue, match="no setting named 'kernal'; did you mean kernel"):
        flat(OmegaConf.create(dict.fromkeys(KEYS, 1) | {"kernal": 3}))
    with pytest.raises(InvalidValue, match="kernel has no value"):
        flat(OmegaConf.create({key: 1 for key in KEYS if "." not in key and key != "kernel"} | _groups()))
    with pytest.raises(InvalidValue, match=r"kernel has no value; give one with kernel="):
        flat(OmegaConf.create({key: 1 for key in KEYS if "." not in key} | _groups() | {"kernel": "???"}))


def _groups() -> dict[str, Any]:
    groups: dict[str, dict[str, Any]] = {"measure": {}, "reference": {}}
    for key in KEYS:
        group, _, name = key.rpartition(".")
        if group:
            groups[group][name] = 1
    return groups


def test_suggestions() -> None:
    assert did_you_mean("kernal", KEYS) == "; did you mean kernel?"
    assert did_you_mean("xyzzy", KEYS) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        (4000, 4000),
        ("4GB", 4 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("512k", 512_000),
        ("8b", 8),
        ("2TiB", 2**41),
    ],
)
def test_sizes(text: Any, expected: int | None) -> None:
    assert bytes_of("memory_limit", text) == expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("memory_limit", "much", "is not a size"),
        ("memory_limit", 0, "is not a size"),
        ("memory_limit", True, "is not a size"),
        ("memory_limit", "-4GB", "is not a size"),
        ("isolation", "thread", "allowed: process, none"),
        ("retry", "all", "allowed: none, failed"),
        ("on_illegal", "ignore", "allowed: skip, error"),
        ("limit", 0, "limit=0 is out of range"),
        ("chunk", 0, "chunk=0 is out of range"),
        ("shuffle_seed", -1, "out of range"),
        ("shard", "0/8", "write shard=2/8"),
        ("shard", "9/8", "write shard=2/8"),
        ("shard", "half", "write shard=2/8"),
        ("objective", "best:speedup", "write min|max|mean|median"),
        ("objective", "min:status", "numeric column"),
        ("objective", "speedup", "numeric column"),
    ],
)
def test_settings_of_the_run_are_checked(key: str, value: Any, expected: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Settings.of(RUN | {key: value})
    assert caught.value.key == key
    assert key in str(caught.value)
    assert expected in str(caught.value)


def test_settings_of_the_run() -> None:
    settings = Settings.of(RUN | {"out": "results/x", "shard": "2/8", "memory_limit": "1GB", "limit": 5})
    assert settings.out == Path.cwd() / "results/x"
    assert (settings.shard, settings.memory_limit, settings.limit) == ((2, 8), 10**9, 5)
    assert Settings.of(RUN).out is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"methods": ["nope"]}, "methods=nope is not a known method"),
        ({"methods": ["explicitt"]}, "did you mean explicit?"),
        ({"methods": 3}, "methods=3 is not a list"),
        ({"baseline": "autogard"}, "baseline=autogard is not a known method; did you mean autograd?"),
    ],
)
def test_methods_are_known_without_their_code(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        spec_of(NOTEBOOK | change)
    assert expected in str(caught.value)


def test_a_method_of_one_s_own_is_not_looked_up_here() -> None:
    assert spec_of(NOTEBOOK | {"methods": "no.such:thing"}).methods == ("no.such:thing",)


def test_objective() -> None:
    rows = [
        {"method": "autograd", "baseline": "autograd", "speedup": 1.0},
        {"method": "explicit", "baseline": "autograd", "speedup": 4.0},
        {"method": "aten", "baseline": "autograd", "speedup": 2.0},
        {"method": "unfold", "baseline": "autograd"},
    ]
    assert [Objective.of(f"{name}:speedup").of_rows(rows) for name in ("min", "max", "mean", "median")] == [2, 4, 3, 3]
    assert math.isnan(Objective.of("min:time_s").of_rows(rows))
    assert math.isnan(Objective.of("min:speedup").of_rows([]))
