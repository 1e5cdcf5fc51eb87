"""Apple's GPUs, which have no float64: references are computed on the CPU. Nothing here has met one yet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .device import Accelerator


class Mps(Accelerator):
    title = "MPS"
    fingerprint = ("macos",)
    has_float64 = False

    def synchronize(self) -> None:
        import torch

        torch.mps.synchronize()

    def facts(self) -> dict[str, Any]:
        import platform

        import torch

        return {"macos": platform.mac_ver()[0], "gpu_memory_bytes": torch.mps.recommended_max_memory()}

    def context(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        """torch keeps no peak there."""
        return None
