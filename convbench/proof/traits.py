"""What a check must know of a device before it can say whether it applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Traits:
    """`environment`: of measurement/environment.py. `events`, `sleeps`, `graphs`: what its interface has (Device).
    `shapes`: of Device.work. `activity`, `nvml`, `tf32`, `triton`: likewise; `triton` is a version, None where it is
    not installed or cannot time it. `free_bytes`: of its memory, None where that is not known."""

    environment: Mapping[str, Any]
    events: bool
    sleeps: bool
    graphs: bool
    is_host: bool
    has_float64: bool
    nvml: bool
    activity: str | None
    tf32: bool
    triton: str | None
    shapes: Sequence[Sequence[int]]
    cache_bytes: float
    free_bytes: int | None = None

    @property
    def name(self) -> str:
        """Of the model."""
        return str(self.environment.get("gpu") or self.environment.get("cpu"))

    def case(self, number: int) -> list[str]:
        """The words of one of its shapes."""
        batch, channels, size, out, kernel = self.shapes[number]
        return [
            "op=conv2d", f"batch={batch}", f"in_channels={channels}", f"out_channels={out}", f"size={size}",
            f"kernel={kernel}", f"padding={kernel // 2}",
        ]  # fmt: skip
