"""Configurations for tests: the notebook's case, measured not at all, with any setting replaced."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from hypothesis import assume, settings
from hypothesis import strategies as st

from convbench.facts.measure import Measure
from convbench.facts.settings import owned
from convbench.facts.spec import ReferenceLimits, Spec
from convbench.facts.values import IllegalCase, InvalidValue

COMMITTED: dict[str, Any] = yaml.safe_load((Path(__file__).parent.parent / "conf" / "config.yaml").read_text("utf-8"))

NOTEBOOK: dict[str, Any] = {
    **{setting.name: COMMITTED.get(setting.name, setting.usual) for setting in owned("case", "spec", "switch")},
    "methods": ["autograd", "explicit"],
    "baseline": COMMITTED["baseline"],
    "timeout_s": 60.0,
    **{f"measure.{f.name}": f.default for f in fields(Measure)},
    **{f"reference.{f.name}": f.default for f in fields(ReferenceLimits)},
    "measure.name": "none",
    "measure.enabled": False,
}

TIMES_AS_MANY = int(os.environ.get("CONVBENCH_EXAMPLES", "1"))
"""`make test-slow` tries three times as many examples of what takes torch some milliseconds each."""


def examples(count: int) -> settings:
    return settings(max_examples=count * TIMES_AS_MANY)


MEASURED: dict[str, Any] = {"measure__name": "default", "measure__enabled": True}
"""Settings that time the configuration, for `make_spec`."""


def make_spec(**settings: Any) -> Spec:
    """The notebook's configuration with `settings` replaced; `measure__x` stands for the key `measure.x`."""
    return Spec.of({**NOTEBOOK, **{key.replace("__", "."): value for key, value in settings.items()}})


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Settings of a small legal convolution of any kind: groups, dilation, unequal axes, output_padding and all."""
    dims = draw(st.sampled_from([1, 2, 2, 3]))
    transposed = draw(st.booleans())
    groups = draw(st.sampled_from([1, 1, 2, 3]))

    def axes(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=dims, max_size=dims))

    settings: dict[str, Any] = {
        "op": f"conv{'_transpose' if transposed else ''}{dims}d",
        "batch": draw(st.sampled_from([0, 1, 1, 2, 3])),
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "size": axes(1, 7 if dims < 3 else 4),
        "kernel": axes(1, 4 if dims < 3 else 3),
        "stride": axes(1, 3),
        "padding": axes(0, 4),
        "dilation": axes(1, 3),
        "groups": groups,
        "bias": draw(st.booleans()),
        "output_padding": axes(0, 2) if transposed else 0,
        "seed": draw(st.integers(0, 99)),
    }
    try:
        make_spec(**settings)
    except IllegalCase:
        assume(False)
    return settings


@st.composite
def specs(draw: st.DrawFn, /, **fixed: Any) -> Spec:
    """A legal configuration: a case of `cases` with a gradient, an order, a dtype, a layout and a kind of data."""
    settings = draw(cases())
    choices: dict[str, list[Any]] = {
        "wrt": ["input", "weight", "bias", "output", "grad_output"],
        "order": [1, 1, 2],
        "dtype": ["float64", "float32", "bfloat16", "float16"],
        "memory_format": ["contiguous", "channels_last"],
        "fill": ["normal", "integer"],
    }
    for key, values in choices.items():
        settings[key] = fixed[key] if key in fixed else draw(st.sampled_from(values))
    try:
        return make_spec(**{**settings, **fixed})
    except InvalidValue:
        assume(False)
        raise
