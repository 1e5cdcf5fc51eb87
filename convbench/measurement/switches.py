"""The global switches of torch that a configuration asks for: set and restored in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

from ..devices import device_of
from ..devices.device import Switch
from ..facts.settings import owned
from ..facts.spec import Switches
from . import allocator


class _Tf32(NamedTuple):
    """Whether TF32 is allowed, by both of torch's interfaces: the older flags (None where torch refuses to tell, since
    they contradict the newer words) and the words for cuDNN's convolutions, its recurrences and matrix products."""

    flags: tuple[bool | None, ...]
    words: tuple[str, ...]


_CUDNN: Any = torch.backends.cudnn
FLAGGED: tuple[Any, ...] = (_CUDNN, torch.backends.cuda.matmul)
WORDED: tuple[Any, ...] = (
    (_CUDNN.conv, _CUDNN.rnn, torch.backends.cuda.matmul) if hasattr(torch._C, "_get_fp32_precision_getter") else ()
)
"""What a torch before 2.9, as a duet may have on one side, does not have."""


def _tf32() -> _Tf32:
    return _Tf32(tuple(map(_flag, FLAGGED)), tuple(part.fp32_precision for part in WORDED))


def _flag(backend: Any) -> bool | None:
    try:
        return bool(backend.allow_tf32)
    except RuntimeError:
        return None


def _set_tf32(wanted: bool | _Tf32) -> None:
    """The flags first, which set some of the words; a word that is left at none would take a wider one's value."""
    if isinstance(wanted, bool):
        word = "tf32" if wanted else "ieee"
        wanted = _Tf32((wanted,) * len(FLAGGED), (word,) * len(WORDED))
    for backend, flag in zip(FLAGGED, wanted.flags, strict=True):
        if flag is not None:
            backend.allow_tf32 = flag
    for part, word in zip(WORDED, wanted.words, strict=True):
        part.fp32_precision = word


_FILLING: Any = getattr(torch.utils, "deterministic", SimpleNamespace(fill_uninitialized_memory=False))
"""Before torch 2.2 nothing was filled."""


def _deterministic() -> tuple[bool, bool]:
    """Whether deterministic algorithms are requested, and whether torch then fills what torch.empty returns."""
    return torch.are_deterministic_algorithms_enabled(), _FILLING.fill_uninitialized_memory


def _set_deterministic(wanted: bool | tuple[bool, bool]) -> None:
    """Without the filling, where they are asked for: it is no part of an algorithm, and takes longer than many a
    convolution. torch.use_deterministic_algorithms alone imports the compiler, for seconds."""
    on, fills = wanted if isinstance(wanted, tuple) else (wanted, _deterministic()[1] and not wanted)
    if on != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(on)
    _FILLING.fill_uninitialized_memory = fills


def _set_cudnn_benchmark(value: bool) -> None:
    torch.backends.cudnn.benchmark = value


def _set_onednn(value: bool) -> None:
    torch.backends.mkldnn.enabled = value  # type: ignore[assignment]


SWITCHES = {
    "threads": Switch(torch.get_num_threads, torch.set_num_threads),
    "tf32": Switch(_tf32, _set_tf32),
    "cudnn_benchmark": Switch(lambda: torch.backends.cudnn.benchmark, _set_cudnn_benchmark),
    "deterministic": Switch(_deterministic, _set_deterministic),
    "allocator": Switch(allocator.read, allocator.set_to),
    "onednn": Switch(lambda: bool(torch.backends.mkldnn.enabled), _set_onednn),
}
"""One for each setting that a `switch` holds (facts/settings.py)."""


@contextmanager
def switched(switches: Switches, device: str = "cpu") -> Iterator[None]:
    """The switches as `switches` says, with what `device` adds to them, and what was before on leaving; KeyError for
    one that is not in SWITCHES."""
    names = [setting.name for setting in owned("switch")]
    further = device_of(device).switches()
    wanted = [(SWITCHES[name], getattr(switches, name)) for name in names]
    wanted += [(switch, getattr(switches, name)) for name, switch in further.items()]
    before = [(switch, switch.read()) for switch, _ in wanted]
    try:
        for switch, value in wanted:
            switch.set(value)
        yield
    finally:
        for switch, value in before:
            switch.set(value)
