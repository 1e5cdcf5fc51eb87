"""NVIDIA's GPUs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..facts.measure import Measure
from ..timing.clocks import Clock
from .device import REPEATS, Device, Underneath, Work
from .smi import NVIDIA, version_of

if TYPE_CHECKING:
    from ..timing.event_clock import EventClock

LEAST_DRIVER = {13: 580, 12: 525, 11: 450}
"""CUDA's major version → the oldest driver that runs it, by its release notes."""

VARIABLES = (
    "NVIDIA_TF32_OVERRIDE",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
    "CUBLAS_WORKSPACE_CONFIG",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Environment variables that change results or times on a device; those that are set are facts of it."""

FLAGS = {
    "cudnn_benchmark_limit": ("cudnn", "benchmark_limit"),
    "fp16_reduced_precision": ("cuda.matmul", "allow_fp16_reduced_precision_reduction"),
    "bf16_reduced_precision": ("cuda.matmul", "allow_bf16_reduced_precision_reduction"),
    "fp16_accumulation": ("cuda.matmul", "allow_fp16_accumulation"),
}
"""Fact → where it is in torch.backends. What torch sets by itself is in USUAL, and no part of a fingerprint."""

USUAL = {
    "cudnn_benchmark_limit": 10,
    "fp16_reduced_precision": True,
    "bf16_reduced_precision": True,
    "fp16_accumulation": False,
}


class Nvidia(Device):
    title = "CUDA"
    # A second of float64 on the consumer models, which have one such unit to 64 of float32.
    work = Work(reference_flops=1e12)
    sharing = NVIDIA
    fingerprint = ("environment_variables", "unusual_flags", "triton")
    has_triton = True
    has_nvml = True
    activity = "CUDA"

    def missing(self) -> str | None:
        import torch

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            available = torch.cuda.is_available()
        if not available:
            return f"no {self.title}: {self._why_not([str(w.message) for w in said])}"
        count = torch.cuda.device_count()
        return None if self.index < count else f"no {self.name}: torch finds {count} {self.title} device(s)"

    def _why_not(self, warned: list[str]) -> str:
        """torch's own reason, and what would fit where the driver is too old for it."""
        import torch

        if torch.version.cuda is None:
            return "this torch is built without CUDA"
        driver, wanted = nvidia_driver(), int(torch.version.cuda.partition(".")[0])
        known = f"driver {driver or 'not found'}, torch {torch.__version__} built for CUDA {torch.version.cuda}"
        said = _first_sentence(_refusal() or "".join(warned[:1]) or "torch finds no usable CUDA device")
        least = LEAST_DRIVER.get(wanted)
        if driver is None or least is None or int(driver.partition(".")[0]) >= least:
            return f"{said} ({known})"
        fitting = next((cuda for cuda, oldest in LEAST_DRIVER.items() if _major(driver) >= oldest), None)
        remedy = f"install a torch that is built for CUDA {fitting}, or " if fitting else ""
        return f"{said} ({known}, which needs driver {least} or newer: {remedy}update the driver)"

    def synchronize(self) -> None:
        import torch

        # Before its first use there is nothing to wait for, and asking would set it up or fail for want of it.
        if torch.cuda.is_initialized():
            torch.cuda.synchronize(self.name)

    def context(self) -> AbstractContextManager[Any]:
        import torch

        return torch.cuda.device(self.name)

    def facts(self) -> dict[str, Any]:
        import torch

        properties = torch.cuda.get_device_properties(self.name)
        return {
            "gpu": properties.name,
            "gpu_memory_bytes": properties.total_memory,
            "gpu_multiprocessors": properties.multi_processor_count,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "driver": self.driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "triton": version_of("triton"),
            **flags(),
            "environment_variables": {name: os.environ[name] for name in self.variables() if name in os.environ},
            "unusual_flags": {name: value for name, value in flags().items() if value not in (None, USUAL[name])},
        }

    def variables(self) -> tuple[str, ...]:
        return VARIABLES

    def driver(self) -> str | None:
        return nvidia_driver()

    def cache_bytes(self) -> float:
        import torch

        return float(getattr(torch.cuda.get_device_properties(self.name), "L2_cache_size", 0)) or super().cache_bytes()

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        """The caching allocator's own peak, so without cuDNN workspaces that are not taken from it."""
        import torch

        torch.cuda.synchronize(self.name)
        torch.cuda.reset_peak_memory_stats(self.name)
        before = torch.cuda.memory_allocated(self.name)
        call()
        torch.cuda.synchronize(self.name)
        return torch.cuda.max_memory_allocated(self.name) - before

    def kernels(self, call: Callable[[], Any]) -> Underneath | None:
        from .kernels import launched

        return launched(call, self.synchronize)

    def interface(self) -> Any | None:
        import torch

        return torch.cuda

    def computes_tf32(self) -> bool:
        """Since Ampere."""
        import torch

        return torch.cuda.get_device_capability(self.name) >= (8, 0)

    def marked(self, name: str) -> AbstractContextManager[float]:
        from .marks import on_cuda

        return on_cuda(name, self.synchronize)

    def clock(self, measure: Measure) -> Clock:
        from ..timing.event_clock import EventClock

        return self._on_stream(EventClock, measure)

    def wall_clock(self, measure: Measure) -> Clock:
        from ..timing.wall_clock import WallClock

        return self._on_stream(WallClock, measure)

    def _on_stream(self, kind: type[EventClock], measure: Measure) -> Clock:
        return kind(self.name, measure, waiting=("CUDA_LAUNCH_BLOCKING",))

    def fastest(self, call: Callable[[], Any]) -> float:
        import torch

        call()
        self.synchronize()
        with self.context():
            events = [torch.cuda.Event(enable_timing=True) for _ in range(REPEATS + 1)]
            events[0].record()
            for event in events[1:]:
                call()
                event.record()
            torch.cuda.synchronize()
            return float(min(a.elapsed_time(b) for a, b in pairwise(events))) * 1e-3


def flags() -> dict[str, Any]:
    """FLAGS with their values; None for one that this torch does not have."""
    import torch

    backends = {"cudnn": torch.backends.cudnn, "cuda.matmul": torch.backends.cuda.matmul}
    return {fact: getattr(backends[where], name, None) for fact, (where, name) in FLAGS.items()}


def nvidia_driver() -> str | None:
    """The driver's version, from Linux or, where that does not tell (WSL, Windows), from NVML."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return _nvml_driver()
    words = text.splitlines()[0].split()
    return next((w for w in words if w[0].isdigit() and "." in w), None)


def _nvml_driver() -> str | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        said = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError:
        return None
    return said.decode() if isinstance(said, bytes) else str(said)


def _refusal() -> str | None:
    """What torch raises when it is told to set CUDA up."""
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error)
    return None


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence; torch's reasons go on with links."""
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def _major(version: str) -> int:
    return int(version.partition(".")[0])
