"""The global switches of torch that a configuration asks for: set and restored in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from ..facts.settings import owned
from ..facts.spec import Switches


class Switch(NamedTuple):
    """How a switch is read and set. `read` gives whatever `set` needs to bring the same state back."""

    read: Callable[[], Any]
    set: Callable[[Any], None]


def _tf32() -> tuple[bool, bool]:
    """In cuDNN and in matrix products: torch allows it in the one and leaves it off in the other by itself."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def _set_tf32(value: bool | tuple[bool, bool]) -> None:
    wanted = value if isinstance(value, tuple) else (value, value)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = wanted


def _set_cudnn_benchmark(value: bool) -> None:
    torch.backends.cudnn.benchmark = value


def _set_onednn(value: bool) -> None:
    torch.backends.mkldnn.enabled = value  # type: ignore[assignment]


SWITCHES = {
    "threads": Switch(torch.get_num_threads, torch.set_num_threads),
    "tf32": Switch(_tf32, _set_tf32),
    "cudnn_benchmark": Switch(lambda: torch.backends.cudnn.benchmark, _set_cudnn_benchmark),
    "deterministic": Switch(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "onednn": Switch(lambda: bool(torch.backends.mkldnn.enabled), _set_onednn),
}
"""One for each setting that a `switch` holds (facts/settings.py)."""


@contextmanager
def switched(switches: Switches) -> Iterator[None]:
    """The switches as `switches` says, and what was before on leaving; KeyError for one that is not in SWITCHES."""
    names = [setting.name for setting in owned("switch")]
    before = {name: SWITCHES[name].read() for name in names}
    try:
        for name in names:
            _set(name, getattr(switches, name))
        yield
    finally:
        for name, value in before.items():
            _set(name, value)


def _set(name: str, value: Any) -> None:
    """Touches only what differs: torch.use_deterministic_algorithms alone imports the compiler, for seconds."""
    switch = SWITCHES[name]
    now = switch.read()
    if now not in (value, (value, value)):
        switch.set(value)
