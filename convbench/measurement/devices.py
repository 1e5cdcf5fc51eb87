"""What convbench asks of a device, for each type that it knows; a clock is the other half, see timing/clocks.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ..timing.cpu_clock import last_level_cache_bytes


class Device(Protocol):
    """One device, by the name that a person writes: `cpu`, `cuda`, `cuda:1`."""

    def missing(self) -> str | None:
        """Why it cannot be used here, or None if it can."""

    def synchronize(self) -> None:
        """Waits until it has done what it was given; raises RuntimeError when it does not answer any more."""

    def facts(self) -> dict[str, Any]:
        """Model, driver and the like, for the environment."""

    def cache_bytes(self) -> int:
        """Size of the last cache before its memory."""

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        """Largest number of bytes that one call holds beyond what was allocated before it, its result included."""


@dataclass(frozen=True, slots=True)
class Cpu:
    name: str

    def missing(self) -> str | None:
        return None

    def synchronize(self) -> None:
        pass

    def facts(self) -> dict[str, Any]:
        return {}

    def cache_bytes(self) -> int:
        return last_level_cache_bytes()

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        """By the running sum of torch's allocations and frees, so without a library's private scratch memory. None
        where torch was built without its profiler."""
        if not torch.profiler.kineto_available():
            return None
        with torch.autograd.profiler.profile(profile_memory=True) as profile:
            result = call()
        del result
        events = [e for e in profile.kineto_results.events() if e.name() == "[memory]"]
        held = peak = 0
        for event in sorted(events, key=lambda e: e.start_ns()):
            held += event.nbytes()
            peak = max(peak, held)
        return peak


@dataclass(frozen=True, slots=True)
class Cuda:
    name: str

    def missing(self) -> str | None:
        if not torch.cuda.is_available():
            unbuilt = torch.version.cuda is None
            why = "this torch is built without CUDA" if unbuilt else "torch finds no usable CUDA device"
            return f"no CUDA: {why}"
        count = torch.cuda.device_count()
        number = int(self.name.partition(":")[2] or 0)
        return None if number < count else f"no {self.name}: torch finds {count} CUDA device(s)"

    def synchronize(self) -> None:
        # Before its first use there is nothing to wait for, and asking would set it up or fail for want of it.
        if torch.cuda.is_initialized():
            torch.cuda.synchronize(self.name)

    def facts(self) -> dict[str, Any]:
        properties = torch.cuda.get_device_properties(self.name)
        return {
            "gpu": properties.name,
            "gpu_memory_bytes": properties.total_memory,
            "gpu_multiprocessors": properties.multi_processor_count,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "driver": _nvidia_driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }

    def cache_bytes(self) -> int:
        return int(torch.cuda.get_device_properties(self.name).L2_cache_size)

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        """The caching allocator's own peak, so without cuDNN workspaces that are not taken from it."""
        torch.cuda.synchronize(self.name)
        torch.cuda.reset_peak_memory_stats(self.name)
        before = torch.cuda.memory_allocated(self.name)
        call()
        torch.cuda.synchronize(self.name)
        return torch.cuda.max_memory_allocated(self.name) - before


DEVICES: dict[str, Callable[[str], Device]] = {"cpu": Cpu, "cuda": Cuda}
"""Type of device → its class, made with a device's name."""


def device_of(name: str) -> Device:
    """The device of this name; KeyError for a type that is not in DEVICES."""
    return DEVICES[name.partition(":")[0]](name)


def missing_device(name: str) -> str | None:
    """Why this device cannot be used here, or None if it can."""
    kind = name.partition(":")[0]
    return device_of(name).missing() if kind in DEVICES else f"no {kind}: convbench knows {' and '.join(DEVICES)}"


def _nvidia_driver() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    words = text.splitlines()[0].split()
    return next((w for w in words if w[0].isdigit() and "." in w), None)
