"""Which words name a type of device, and where the file of each is; no device is loaded here."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import Any

from .values import InvalidValue

GROUP = "convbench.devices"
"""The entry points by which an installed package registers a type of device: its word = module:class."""

OWN = {
    "cpu": "convbench.devices.cpu:Cpu",
    "cuda": "convbench.devices.cuda:cuda",
    "xpu": "convbench.devices.xpu:Xpu",
    "mps": "convbench.devices.mps:Mps",
}
"""Word → module:class of what comes with convbench. No other package can take these words."""

SINGLE = ("cpu", "mps")
"""Of these a machine has one, which has no number."""

DEVICE = re.compile(r"([a-z][a-z0-9_]*)(:\d+)?")


def places() -> dict[str, str]:
    """Word → module:class of every type of device that is known here."""
    return {**OWN, **{entry.name: entry.value for entry in entry_points(group=GROUP) if entry.name not in OWN}}


def word_of(device: str) -> str:
    """The type of a device: `cuda` of `cuda:1`."""
    return device.partition(":")[0]


def place_of(device: str) -> str | None:
    """module:class of the type that `device` names; None where no type has that word."""
    word = word_of(device)
    return OWN.get(word) or places().get(word)


def check_device(value: Any) -> str:
    """`value` where it names a device of a known type; raises InvalidValue, which lists them, otherwise."""
    match = DEVICE.fullmatch(value) if isinstance(value, str) else None
    if match and place_of(match[0]) and not (match[2] and match[1] in SINGLE):
        return match[0]
    hint = "; did you mean cuda?" if str(value).lower() in ("gpu", "nvidia") else ""
    allowed = ", ".join(word if word in SINGLE else f"{word}, {word}:N" for word in places())
    raise InvalidValue("device", f"device={value!r} is not known; allowed: {allowed}{hint}")
