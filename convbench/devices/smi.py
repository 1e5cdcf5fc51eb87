"""What the vendors' command-line tools say of a machine's GPUs, and its packages of themselves; without torch."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess

from .device import Sharing


def _said(*command: str) -> str:
    """What a tool prints; nothing where it is not installed, fails or does not answer."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def nvidia_names() -> list[str]:
    """The GPUs by their numbers; of one that is split into MIG slices, the slices by their UUIDs."""
    names: list[str] = []
    whole = None
    for line in _said("nvidia-smi", "-L").splitlines():
        if number := re.match(r"GPU (\d+):", line):
            whole = number[1]
            names.append(whole)
        elif slice_ := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line):
            if names[-1:] == [whole]:
                names.pop()
            names.append(slice_[1])
    return names


def nvidia_processes(name: str) -> list[str]:
    """`python (pid 123)` of each process that computes on the GPU of this number or UUID."""
    query = ("--query-compute-apps=pid,process_name", "--format=csv,noheader")
    rows = (line.split(",", 1) for line in _said("nvidia-smi", "-i", name, *query).splitlines() if "," in line)
    return [f"{process.strip()} (pid {pid.strip()})" for pid, process in rows]


def amd_names() -> list[str]:
    """The GPUs by their numbers."""
    said = _said("rocm-smi", "--showid", "--json")
    try:
        return sorted((key.removeprefix("card") for key in json.loads(said) if re.fullmatch(r"card\d+", key)), key=int)
    except ValueError:
        return []


NVIDIA = Sharing(("CUDA_VISIBLE_DEVICES",), nvidia_names, nvidia_processes)
AMD = Sharing(("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"), amd_names)


def version_of(package: str) -> str | None:
    """Of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
