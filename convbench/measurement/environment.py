"""What a measurement ran on: hardware, versions and switches, and a fingerprint that two runs can be compared by."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .._version import __version__
from ..devices import device_of
from ..facts.settings import SETTINGS
from ..facts.spec import Switches

MACHINE = ("cpu", "cores", "gpu", "driver", "cuda", "cudnn", "torch")
FINGERPRINT = (*MACHINE, *(setting.name for setting in SETTINGS.values() if setting.fingerprint))
"""What makes absolute times comparable; never the clock, the host's name or the load. A device adds its own."""


LATER = {"allocator": "system"}
"""Settings that came to the fingerprint later, and their values that rename no older environment."""

VARIABLES = ("ATEN_", "DNNL_", "ONEDNN_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "GLIBC_TUNABLES")
"""How environment variables begin that choose the libraries' instructions, threads and memory; and LD_PRELOAD."""

_NO_VALUE = object()


def collect(device: str, switches: Switches) -> dict[str, Any]:
    """The environment of one device under these switches; `environment_id` is its fingerprint. Imports torch."""
    kind = device.partition(":")[0]
    on = device_of(device)
    found = {**_machine(), **on.facts(), "device": kind, **asdict(switches)}
    usual = {key: found.get(key) for key in FINGERPRINT if found.get(key) != LATER.get(key, _NO_VALUE)}
    # What a device adds counts where it says anything, so that a new name among them renames no older environment.
    own = {key: found[key] for key in on.fingerprint if found.get(key)}
    # So do limits: which variables are set, and how many cores of the machine's there are for this process.
    own |= {"variables": found["variables"]} if found["variables"] else {}
    own |= {"usable_cores": found["usable_cores"]} if found["usable_cores"] != found["cores"] else {}
    identity = json.dumps(usual | own, sort_keys=True)
    return {"environment_id": hashlib.sha256(identity.encode()).hexdigest()[:12], **found}


@functools.cache
def _machine() -> dict[str, Any]:
    import numpy
    import torch

    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "convbench": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torch_config": [line.strip(" -") for line in torch.__config__.show().splitlines()[1:] if line.strip()],
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": os.cpu_count() if affinity is None else len(affinity),
        "affinity": affinity,
        "variables": variables(),
        "memory_bytes": _memory_bytes(),
        "executable": Path(sys.executable).name,
    }


def variables() -> str | None:
    """Those of VARIABLES that are set, as a shell would have them; None where none is. What only logs is not told, nor
    in which folders files lie."""
    names = [n for n in sorted(os.environ) if n.startswith(VARIABLES) or n == "LD_PRELOAD"]
    said = {name: re.sub(r"[^\s:=]*/", "", os.environ[name]) for name in names if not name.endswith("VERBOSE")}
    return " ".join(f"{name}={value}" for name, value in said.items()) or None


def cpu_model() -> str:
    """The processor's name; the architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    name = facts.get("model name", platform.machine())
    # Virtual machines hide the model's name; family and model tell generations apart.
    numbers = [facts[key] for key in ("cpu family", "model", "stepping") if key in facts]
    return f"{name} ({'.'.join(numbers)})" if numbers else name


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
