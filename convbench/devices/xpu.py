"""Intel's GPUs. Nothing here has met one yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..facts.measure import Measure
from ..timing.clocks import Clock
from .device import Accelerator, Sharing, Switch


def _listed() -> list[str]:
    """Without a tool to ask, jobs share what ZE_AFFINITY_MASK names."""
    return []


class Xpu(Accelerator):
    title = "XPU"
    sharing: ClassVar[Sharing | None] = Sharing(("ZE_AFFINITY_MASK",), _listed)
    fingerprint = ("gpu", "driver")
    has_triton = True
    activity = "XPU"

    def facts(self) -> dict[str, Any]:
        import torch

        properties = torch.xpu.get_device_properties(self.name)
        names = {
            "gpu": "name",
            "gpu_memory_bytes": "total_memory",
            "driver": "driver_version",
            "platform": "platform_name",
        }
        return {fact: getattr(properties, name, None) for fact, name in names.items()}

    def switches(self) -> Mapping[str, Switch]:
        """oneDNN computes here, which has its own TF32."""
        import torch

        parts = (torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]

        def read() -> tuple[str, ...]:
            return tuple(part.fp32_precision for part in parts)

        def write(wanted: bool | tuple[str, ...]) -> None:
            values = wanted if isinstance(wanted, tuple) else ("tf32" if wanted else "ieee",) * len(parts)
            for part, value in zip(parts, values, strict=True):
                part.fp32_precision = value

        return {"tf32": Switch(read, write)}

    def interface(self) -> Any | None:
        import torch

        return torch.xpu

    def clock(self, measure: Measure) -> Clock:
        import torch

        from ..timing.event_clock import EventClock

        return EventClock(self.name, measure, torch.xpu)

    def wall_clock(self, measure: Measure) -> Clock:
        import torch

        from ..timing.wall_clock import WallClock

        return WallClock(self.name, measure, torch.xpu)
