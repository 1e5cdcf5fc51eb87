"""Every setting of a configuration, once. What names, records, fingerprints and says settings follows from this table.

A new setting takes three places: a line here, its value in conf/config.yaml, and the code that obeys it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .case import AXES, COLUMN_PREFIX


class Identity(Enum):
    """Whether `config_id` depends on a setting. A setting added later must be IF_UNUSUAL, with a usual value that never
    changes, so that it does not rename the configurations that older runs measured."""

    ALWAYS = "always"
    IF_UNUSUAL = "if unusual"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Setting:
    """`owner` is the part of a Spec that holds it: case, spec, switch (a global one of the libraries underneath) or
    measure. `type` is that of its columns, `written` what a person may write; `usual` goes without saying.

    `said` puts a value into words, `head` heads a narrow column, `letter` is for a case's short name. `observed`: its
    column says what was done instead of what was asked for, and is empty where nothing was timed.
    """

    name: str
    owner: str
    type: type
    meaning: str
    usual: Any = None
    said: Callable[[Any], str] | None = None
    written: Any = None
    head: str = ""
    letter: str = ""
    identity: Identity = Identity.IF_UNUSUAL
    observed: bool = False

    @property
    def per_axis(self) -> bool:
        return self.name in COLUMN_PREFIX

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's columns that hold it: kernel → kernel_d, kernel_h, kernel_w."""
        return tuple(f"{COLUMN_PREFIX[self.name]}_{a}" for a in AXES) if self.per_axis else (self.name,)

    def say(self, value: Any) -> str:
        """`value` in words; by itself where the table has none, a flag with its name."""
        if self.said is not None:
            return self.said(value)
        return f"{self.name} {'on' if value else 'off'}" if self.type is bool else str(value)

    @property
    def fingerprint(self) -> bool:
        """Whether absolute times under two of its values are those of two environments."""
        return self.owner == "switch" or self.name == "device"


def _after(word: str) -> Callable[[Any], str]:
    return lambda value: f"{word} {value}"


def _before(word: str) -> Callable[[Any], str]:
    return lambda value: f"{value} {word}"


def _switch(word: str) -> Callable[[Any], str]:
    return lambda value: f"{word} {'on' if value else 'off'}"


ALWAYS, NEVER = Identity.ALWAYS, Identity.NEVER

_TABLE = (
    Setting("op", "case", str, "the forward operation", identity=ALWAYS),
    Setting("batch", "case", int, "N", said=_after("batch"), identity=ALWAYS),
    Setting("in_channels", "case", int, "C_in", said=_before("in"), head="in", identity=ALWAYS),
    Setting("out_channels", "case", int, "C_out", said=_before("out"), head="out", identity=ALWAYS),
    Setting("size", "case", int, "input size", written=Any, identity=ALWAYS),
    Setting("kernel", "case", int, "kernel size", None, _after("kernel"), Any, letter="k", identity=ALWAYS),
    Setting("stride", "case", int, "stride", 1, _after("stride"), Any, letter="s", identity=ALWAYS),
    Setting("padding", "case", int, "padding", 0, _after("padding"), Any, letter="p", identity=ALWAYS),
    Setting("dilation", "case", int, "dilation", 1, _after("dilation"), Any, letter="d", identity=ALWAYS),
    Setting("groups", "case", int, "groups", 1, _after("groups"), letter="g", identity=ALWAYS),
    Setting(
        "output_padding", "case", int, "output padding", 0, _after("output padding"), Any, "out pad", "op", ALWAYS
    ),
    Setting(
        "bias", "case", int, "1 with a bias, 0 without", False, lambda v: "bias" if v else "no bias", bool,
        identity=ALWAYS,
    ),
    Setting("dtype", "spec", str, "element type of all tensors", identity=ALWAYS),
    Setting("device", "spec", str, "where it ran", identity=ALWAYS),
    Setting(
        "memory_format", "spec", str, "contiguous or channels_last", "contiguous", head="layout", identity=ALWAYS
    ),
    Setting("wrt", "spec", str, "which gradient, several as a+b; or output", None, _after("wrt"), Any, identity=ALWAYS),
    Setting(
        "order", "spec", int, "1: gradient; 2: gradient of the gradient", 1,
        lambda v: "gradient of the gradient" if v == 2 else "first order",
    ),
    Setting(
        "fill", "spec", str, "the data: a kind, several joined by +, or a file", "normal", _before("data"),
        identity=ALWAYS,
    ),
    Setting(
        "fixed_weight", "spec", bool, "the weight keeps the values that a method was prepared on", False,
        lambda v: "fixed weight" if v else "any weight", head="fixed w",
    ),
    Setting("seed", "spec", int, "seed of the data and of the sampling", 0, _after("seed"), identity=ALWAYS),
    Setting(
        "threads", "switch", int, "CPU threads", 1, lambda v: f"{v} thread{'' if v == 1 else 's'}", identity=ALWAYS
    ),
    Setting("tf32", "switch", bool, "TF32 allowed", False, _switch("TF32")),
    Setting(
        "cudnn_benchmark", "switch", bool, "cuDNN searches for its fastest algorithm", False,
        _switch("cuDNN's search"), head="cudnn bench",
    ),
    Setting(
        "deterministic", "switch", bool, "deterministic algorithms requested", False, _switch("deterministic"), Any,
        head="determ.",
    ),
    Setting("onednn", "switch", bool, "oneDNN allowed", True, _switch("oneDNN")),
    Setting(
        "allocator", "switch", str, "freed memory: system (as the C library does) or retain (kept in the process)",
        "system", _after("allocator"),
    ),
    Setting("time", "measure", str, "device or wall time", "device", lambda v: f"{v} time", observed=True),
    Setting("cache", "measure", str, "hot or cold caches", "hot", _before("caches"), observed=True),
    Setting(
        "cuda_graph", "measure", bool, "replayed as a CUDA graph", False, _switch("CUDA graph"), observed=True
    ),
    Setting(
        "measure", "measure", str, "the measurement preset and its changes", "default", lambda v: f"measure={v}",
        identity=NEVER,
    ),
)  # fmt: skip

SETTINGS = {setting.name: setting for setting in _TABLE}
"""By name, in the order in which they are shown and stand in the table."""


def owned(*owners: str) -> tuple[Setting, ...]:
    """The settings that these parts of a Spec hold."""
    return tuple(setting for setting in SETTINGS.values() if setting.owner in owners)


CONFIGURATION = tuple(
    column for setting in SETTINGS.values() if setting.identity is not NEVER for column in setting.columns
)
"""Columns that together say what was computed and under which settings, apart from the method."""
