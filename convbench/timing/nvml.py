"""Clock and throttle reasons of an NVIDIA device through nvidia-ml-py; without that package nothing is known."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

REASONS = {
    0x04: "power_cap",
    0x08: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "power_brake",
    0x100: "display_clock",
}
"""Bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h) that slow a device down; idle (1) and clocks that the user
has set (2) do not count."""

UNSEEN = {"throttle": None, "clock_mhz": None, "highest_mhz": None}
"""What is known of a device that was not looked at."""

SHOWN_SHARE = 0.1
"""A reason seen in fewer of the reads than this is not worth a word."""


class Nvml:
    """Reads one device; collects what it saw until asked. Of a MIG slice, which has no clock of its own, the whole."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle
        self._highest = self._highest_clock()
        self._clocks: list[float] = []
        self._reasons: Counter[str] = Counter()
        # The older name is all that bindings before 12.535 have.
        older = "nvmlDeviceGetCurrentClocksThrottleReasons"
        self._read_reasons = getattr(library, "nvmlDeviceGetCurrentClocksEventReasons", getattr(library, older, None))

    def read(self) -> None:
        """Takes one look at the device; a driver that refuses leaves what was seen before."""
        try:
            bits = self._read_reasons(self._handle) if self._read_reasons else 0
            clock = self._library.nvmlDeviceGetClockInfo(self._handle, self._library.NVML_CLOCK_SM)
        except self._library.NVMLError:
            return
        self._clocks.append(float(clock))
        self._reasons.update(name for bit, name in REASONS.items() if bits & bit)

    def _highest_clock(self) -> float | None:
        try:
            return float(self._library.nvmlDeviceGetMaxClockInfo(self._handle, self._library.NVML_CLOCK_SM))
        except (AttributeError, self._library.NVMLError):
            return None

    def seen(self) -> dict[str, Any]:
        """`throttle`: the reasons seen in a tenth of the reads or more, or `none`; `clock_mhz`: the median SM clock;
        `highest_mhz`: what it reaches at most."""
        reads = len(self._clocks)
        if not reads:
            return dict(UNSEEN)
        named = sorted(name for name, count in self._reasons.items() if count >= SHOWN_SHARE * reads)
        return {"throttle": ", ".join(named) or "none", "clock_mhz": median(self._clocks), "highest_mhz": self._highest}


def open_device(uuid: str) -> Nvml | None:
    """The device with this UUID, as torch writes it (CUDA_VISIBLE_DEVICES shifts indexes); None without NVML."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return Nvml(pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"))
    except pynvml.NVMLError:
        return _whole_of(pynvml, uuid)


def _whole_of(library: Any, uuid: str) -> Nvml | None:
    """The device that holds the MIG slice with this UUID."""
    try:
        slice_ = library.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")
        return Nvml(library, library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(slice_))
    except (AttributeError, library.NVMLError):
        return None
