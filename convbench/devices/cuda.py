"""What torch calls cuda: NVIDIA's GPUs or AMD's, as this torch was built."""

from __future__ import annotations

import sys

from .nvidia import Nvidia
from .rocm import Rocm
from .smi import version_of


def cuda(name: str) -> Nvidia:
    return (Rocm if is_rocm() else Nvidia)(name)


def is_rocm() -> bool:
    """Whether this torch is AMD's; by its version's name where it is not imported, as in a launcher's job."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "rocm" in (version_of("torch") or "")
    return getattr(getattr(torch, "version", None), "hip", None) is not None
