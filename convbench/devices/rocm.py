"""AMD's GPUs, which torch calls cuda."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..facts.measure import Measure
from ..timing.clocks import Clock
from .nvidia import VARIABLES, Nvidia
from .smi import AMD

if TYPE_CHECKING:
    from ..timing.event_clock import EventClock

INFINITY_CACHE_BYTES = 2**28
"""Of an MI300, in front of its memory and behind the L2 cache, which is all that torch tells; the largest in use."""


class Rocm(Nvidia):
    title = "ROCm"
    sharing = AMD
    has_nvml = False

    def _why_not(self, warned: list[str]) -> str:
        return "torch finds no usable ROCm device"

    def facts(self) -> dict[str, Any]:
        import torch

        return {
            **super().facts(),
            "hip": torch.version.hip,
            "architecture": getattr(torch.cuda.get_device_properties(self.name), "gcnArchName", None),
            # hipBLASLt computes in TF32 only where this says so, whatever torch's switches say.
            "tf32_in_hipblaslt": os.environ.get("HIPBLASLT_ALLOW_TF32") == "1",
        }

    def variables(self) -> tuple[str, ...]:
        return (
            *VARIABLES,
            "HIPBLASLT_ALLOW_TF32",
            "PYTORCH_HIP_ALLOC_CONF",
            "AMD_SERIALIZE_KERNEL",
            "HIP_LAUNCH_BLOCKING",
        )

    def driver(self) -> str | None:
        """The kernel module's version."""
        try:
            return Path("/sys/module/amdgpu/version").read_text().strip()
        except OSError:
            return None

    def cache_bytes(self) -> float:
        return max(INFINITY_CACHE_BYTES, super().cache_bytes())

    def computes_tf32(self) -> bool:
        """Not unless hipBLASLt is told to, and then not everywhere."""
        return False

    def _on_stream(self, kind: type[EventClock], measure: Measure) -> Clock:
        # The sleep of gfx11 and later counts a clock of 100 MHz, which is not the one that torch tells.
        waiting = ("HIP_LAUNCH_BLOCKING", "CUDA_LAUNCH_BLOCKING")
        return kind(self.name, measure, cache_bytes=INFINITY_CACHE_BYTES, counts_cycles=False, waiting=waiting)
