"""A configuration: what is refused, what names it, and what survives a trip through JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.facts.record import COLUMNS
from convbench.facts.spec import IDENTITY_SINCE, Spec
from convbench.facts.values import IllegalCase, InvalidValue

from .settings import NOTEBOOK, make_spec, specs

RICH: dict[str, Any] = {
    "op": "conv_transpose3d", "size": 5, "kernel": 2, "bias": True, "wrt": "grad_output", "order": 2,
    "tf32": True, "cudnn_benchmark": True, "deterministic": True, "onednn": False,
    "measure__cache": "cold", "measure__cuda_graph": True,
}  # fmt: skip
STRIDED: dict[str, Any] = {
    "op": "conv2d", "batch": 32, "in_channels": 64, "out_channels": 128, "size": [56, 28], "kernel": 3, "stride": 2,
    "padding": 1, "groups": 2, "dtype": "bfloat16", "device": "cuda:1", "memory_format": "channels_last",
    "wrt": "weight", "fill": "integer", "seed": 3, "threads": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        ({"dtype": "half"}, "dtype", "dtype='half' is not known; allowed: float64, float32, bfloat16, float16"),
        ({"dtype": "float8_e5m2"}, "dtype", "dtype='float8_e5m2' is not one of float64"),
        ({"dtype": "autocast"}, "dtype", "autocast computes the gradients of dtype=bfloat16"),
        ({"memory_format": "nhwc"}, "memory_format", "allowed: contiguous, channels_last"),
        ({"wrt": "forward"}, "wrt", "allowed: input, weight, bias, grad_output, output"),
        ({"fill": "zeros"}, "fill", "allowed: normal, integer, notebook, positive"),
        ({"seed": -1}, "seed", "seed=-1 is out of range"),
        ({"seed": 1.5}, "seed", "seed=1.5 is not a whole number"),
        ({"threads": 0}, "threads", "threads=0 is out of range; give an integer from 1"),
        ({"timeout_s": 0}, "timeout_s", "timeout_s=0 must be a number ≥ 0.001"),
        ({"timeout_s": "60"}, "timeout_s", "timeout_s='60' must be a number"),
        ({"timeout_s": float("nan")}, "timeout_s", "must be a number"),
        ({"timeout_s": True}, "timeout_s", "must be a number"),
        ({"device": "tpu"}, "device", "device='tpu' is not known; allowed: cpu, cuda, cuda:N, xpu, xpu:N, mps$"),
        ({"device": "GPU"}, "device", "did you mean cuda"),
        ({"device": "cuda:x"}, "device", "not known"),
        ({"device": "cuda:1 "}, "device", "not known"),
        ({"device": 0}, "device", "device=0 is not known"),
        ({"methods": []}, "methods", r"methods=\[\] names no method"),
        ({"methods": ["a b"]}, "methods", "methods='a b' is neither a method's name nor package.module:function"),
        ({"methods": ["x:y:z"]}, "methods", "neither"),
        ({"methods": ["m:9"]}, "methods", "neither"),
        ({"methods": [3]}, "methods", "methods=3 is neither"),
        ({"baseline": "no name"}, "methods", "'no name' is neither"),
        ({"methods": ["explicit", "explicit"]}, "methods", "names a method twice"),
        ({"order": 3}, "order", r"order=3 is not 1 \(gradient\) or 2"),
        ({"deterministic": "maybe"}, "deterministic", "deterministic='maybe' is not known; .* true, false, check"),
        ({"measure__looks": [5, 10]}, "measure.looks", r"measure.looks=\[5, 10\] must be .* at least 6"),
        ({"measure__looks": [20, 10]}, "measure.looks", "increasing"),
        ({"measure__looks": [10, 10]}, "measure.looks", "increasing"),
        ({"measure__looks": []}, "measure.looks", "increasing"),
        ({"measure__half_width": -0.1}, "measure.half_width", "must be a number ≥ 0"),
        ({"measure__min_time_s": None}, "measure.min_time_s", "must be a number"),
        ({"measure__margin": "3%"}, "measure.margin", "measure.margin='3%' must be a number"),
        ({"measure__warmup_calls": 0}, "measure.warmup_calls", "from 1"),
        ({"measure__processes": 0}, "measure.processes", "processes=0"),
        ({"measure__cache": "warm"}, "measure.cache", "allowed: hot, cold"),
        ({"reference__max_flops": 1}, "reference.max_flops", "must be a number ≥ 10000"),
        ({"reference__max_bytes": -1}, "reference.max_bytes", "must be a number ≥ 100000"),
    ],
)  # fmt: skip
def test_a_value_that_is_never_allowed_is_named(settings: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=words) as raised:
        make_spec(**settings)
    assert raised.value.key == key
    assert not isinstance(raised.value, IllegalCase)


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        ({"wrt": "grad_output"}, "wrt", "wrt=grad_output exists for order=2 only"),
        ({"wrt": "bias", "bias": True, "order": 2}, "wrt", "wrt=bias has no second-order gradient"),
        ({"wrt": "bias"}, "wrt", "wrt=bias needs bias=true"),
        ({"wrt": "output", "order": 2}, "wrt", "wrt=output exists for order=1 only"),
        ({"wrt": ["input", "output"]}, "wrt", "only input, weight, bias are computed together"),
        ({"op": "conv1d", "memory_format": "channels_last"}, "memory_format", "conv1d has one"),
    ],
)
def test_a_combination_that_makes_no_sense_is_named(settings: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(IllegalCase, match=words) as raised:
        make_spec(**settings)
    assert raised.value.key == key


def test_settings_as_people_write_them() -> None:
    spec = make_spec(methods="explicit", deterministic="check", measure__looks=[6, 12], labels={"layer": "conv1"})
    assert spec.methods == ("explicit",)
    assert spec.arms == ("autograd", "explicit")
    assert make_spec(methods=["explicit", "autograd"]).arms == ("explicit", "autograd")
    assert spec.check_repeatable
    assert not spec.switches.deterministic
    assert spec.measure.looks == (6, 12)
    assert spec.labels == {"layer": "conv1"}
    assert make_spec(deterministic=True).switches.deterministic


labels = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)


@given(specs(), labels, st.sampled_from([True, False, "check"]), st.booleans())
def test_json_gives_the_same_configuration_back(
    spec: Spec, labels: dict[str, str], determinism: object, tf32: bool
) -> None:
    whole = Spec.of(
        {**flat(spec), "labels": labels, "deterministic": determinism, "tf32": tf32, "measure.looks": [6, 9]}
    )
    again = Spec.from_dict(json.loads(json.dumps(whole.to_dict())))
    assert again == whole
    assert (again.config_id, again.run_key) == (whole.config_id, whole.run_key)


def flat(spec: Spec) -> dict[str, Any]:
    """The settings that give `spec`, as far as `specs` varies them."""
    return {**NOTEBOOK, **spec.case.to_dict(), **{name: getattr(spec, name) for name in OWN}}


OWN = ("dtype", "memory_format", "wrt", "order", "fill", "seed")


def test_identity_is_the_hash_of_this_text() -> None:
    """Written out: sorted keys, no spaces, nothing that has its usual value among the later settings."""
    text = (
        '{"batch":1,"bias":false,"device":"cpu","dilation":[1,1],"dtype":"float32","fill":"normal","groups":1,'
        '"in_channels":4,"kernel":[9,9],"memory_format":"contiguous","op":"conv_transpose2d","out_channels":1,'
        '"output_padding":[0,0],"padding":[0,0],"seed":0,"size":[17,17],"stride":[1,1],"threads":1,"wrt":"input"}'
    )
    assert make_spec().config_id == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("settings", "config_id"), [({}, "003d4082e52dce02"), (STRIDED, "cc4e9b0e6984f993"), (RICH, "1098c6a2bcb874aa")]
)
def test_names_of_configurations_never_change(settings: dict[str, Any], config_id: str) -> None:
    """Runs of different versions are compared by these. A change here orphans every result that was ever kept."""
    assert make_spec(**settings).config_id == config_id


def test_later_settings_name_only_what_differs_from_usual() -> None:
    assert IDENTITY_SINCE == {
        "order": 1, "tf32": False, "cudnn_benchmark": False, "deterministic": False, "onednn": True,
        "time": "device", "cache": "hot", "cuda_graph": False, "fixed_weight": False, "allocator": "system",
    }  # fmt: skip
    spec = make_spec()
    other = {
        "order": 2, "tf32": True, "cudnn_benchmark": True, "deterministic": True, "onednn": False,
        "measure__time": "wall", "measure__cache": "cold", "measure__cuda_graph": True, "fixed_weight": True,
        "allocator": "retain",
    }  # fmt: skip
    assert {key.replace("measure__", "") for key in other} == set(IDENTITY_SINCE)
    names = {spec.config_id, *(make_spec(**{key: value}).config_id for key, value in other.items())}
    assert len(names) == 1 + len(other)


def test_an_identity_setting_that_no_longer_exists_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="gone"):
        make_spec()._setting("gone")


CHANGES: dict[str, Any] = {
    "op": "conv2d", "batch": 2, "in_channels": 5, "out_channels": 2, "size": [17, 18], "kernel": [9, 8], "stride": 2,
    "padding": 1, "dilation": 2, "bias": True, "dtype": "float64", "device": "cuda",
    "memory_format": "channels_last", "wrt": "weight", "fill": "integer", "seed": 1, "threads": 2,
}  # fmt: skip
RUN_CHANGES: dict[str, Any] = {
    "methods": ["explicit"], "baseline": "explicit", "timeout_s": 61.0, "deterministic": "check",
    "measure__name": "quick", "measure__enabled": True, "measure__looks": [6, 12], "measure__half_width": 0.03,
    "measure__min_time_s": 0.3, "measure__max_time_s": 9.0, "measure__sample_s": 0.02, "measure__gpu_sample_s": 0.02,
    "measure__warmup_calls": 4, "measure__warmup_s": 0.2, "measure__gpu_warmup_s": 0.2, "measure__margin": 0.02,
    "measure__memory": False, "measure__processes": 6,
    "measure__samples": False, "reference__max_flops": 1e9, "reference__max_bytes": 1e8,
}  # fmt: skip


@pytest.mark.parametrize("key", CHANGES)
def test_what_is_computed_names_the_configuration(key: str) -> None:
    changed = make_spec(**{key: CHANGES[key]})
    assert changed.config_id != make_spec().config_id
    assert changed.run_key != make_spec().run_key


def test_groups_and_output_padding_name_it_too() -> None:
    plain = {"out_channels": 4, "stride": 2}
    names = {make_spec(**plain, **more).config_id for more in ({}, {"groups": 2}, {"output_padding": 1})}
    assert len(names) == 3


@pytest.mark.parametrize("key", RUN_CHANGES)
def test_how_it_is_measured_decides_the_run_alone(key: str) -> None:
    changed = make_spec(**{key: RUN_CHANGES[key]})
    assert changed.config_id == make_spec().config_id
    assert changed.run_key != make_spec().run_key


def test_labels_change_nothing() -> None:
    labelled = make_spec(labels={"network": "vgg16"})
    assert (labelled.config_id, labelled.run_key) == (make_spec().config_id, make_spec().run_key)
    assert json.loads(labelled.columns()["labels"]) == {"network": "vgg16"}
    assert make_spec().columns()["labels"] is None


@given(specs())
def test_columns_are_the_tables(spec: Spec) -> None:
    row = spec.columns()
    assert row.keys() <= COLUMNS.keys()
    assert all(value is None or type(value) is COLUMNS[name].type for name, value in row.items())
    assert {name: row[name] for name in OWN} == {name: getattr(spec, name) for name in OWN}
    assert (row["config_id"], row["run_key"]) == (spec.config_id, spec.run_key)


def test_a_spec_is_checked_whatever_makes_it() -> None:
    with pytest.raises(InvalidValue, match="seed=-1"):
        replace(make_spec(), seed=-1)
    broken = {**make_spec().to_dict(), "wrt": "bias"}
    with pytest.raises(IllegalCase, match="needs bias=true"):
        Spec.from_dict(broken)
