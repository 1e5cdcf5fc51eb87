"""What convbench asks of a device: one file for each type, registered by the word that a person writes.

Nothing here imports torch when it is imported: the process that hands GPUs out to jobs does without it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from ..facts.devices import place_of, places, word_of
from .device import Device, Work


def device_of(name: str) -> Device:
    """The device of this name (`cpu`, `cuda`, `cuda:1`); KeyError for a type that is not known."""
    return _type(word_of(name))(name)


@functools.cache
def _type(word: str) -> Callable[[str], Device]:
    place = place_of(word)
    if place is None:
        raise KeyError(word)
    module, _, name = place.partition(":")
    found: Callable[[str], Device] = getattr(importlib.import_module(module), name)
    return found


@functools.cache
def warm(name: str) -> None:
    """Has a device load what it loads at its first use, once in a process."""
    device_of(name).warm_up()


def missing_device(name: str) -> str | None:
    """Why this device cannot be used here, or None if it can."""
    if place_of(name) is None:
        return f"no {word_of(name)}: convbench knows {', '.join(places())}"
    return device_of(name).missing()


def block_of(kind: str) -> int:
    """Elements to work on at a time where tensors of torch's device type `kind` are."""
    return device_of(kind).work.block if place_of(kind) else Work().block
