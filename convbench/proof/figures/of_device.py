"""What a device is and has."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from ...devices import device_of, missing_device
from ...devices.smi import version_of
from ...facts.spec import Switches
from ...measurement import environment
from ..traits import Traits


def traits(device: str) -> dict[str, Any]:
    """The fields of Traits."""
    on = device_of(device)
    interface: Any = on.interface()
    free = interface.mem_get_info(device)[0] if hasattr(interface, "mem_get_info") else None
    known = torch.profiler.kineto_available() and hasattr(torch.profiler.ProfilerActivity, on.activity or "")
    return asdict(
        Traits(
            environment=environment.collect(device, Switches()),
            events=interface is not None,
            sleeps=hasattr(interface, "_sleep"),
            graphs=hasattr(interface, "CUDAGraph"),
            is_host=on.is_host,
            has_float64=on.has_float64,
            nvml=on.has_nvml,
            activity=on.activity if known else None,
            tf32=on.computes_tf32(),
            triton=version_of("triton") if on.has_triton else None,
            shapes=on.work.shapes,
            cache_bytes=on.cache_bytes(),
            free_bytes=free,
        )
    )


def missing(device: str) -> str | None:
    """Why it cannot be used here, or None."""
    return missing_device(device)
