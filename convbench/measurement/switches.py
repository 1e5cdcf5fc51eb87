"""The global switches of torch that a configuration asks for: set and restored in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..facts.spec import Switches


@contextmanager
def switched(switches: Switches) -> Iterator[None]:
    """Threads, TF32, cuDNN's search, determinism and oneDNN as `switches` says; what was before on leaving."""
    before, matmul_before = _read()
    _set(switches, switches.tf32)
    try:
        yield
    finally:
        _set(before, matmul_before)


def _read() -> tuple[Switches, bool]:
    """What is in force, TF32 in cuDNN as `tf32`; and TF32 in matrix products, which torch leaves off by itself."""
    found = Switches(
        threads=torch.get_num_threads(),
        tf32=torch.backends.cudnn.allow_tf32,
        cudnn_benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        onednn=bool(torch.backends.mkldnn.enabled),
    )
    return found, torch.backends.cuda.matmul.allow_tf32


def _set(switches: Switches, matmul_tf32: bool) -> None:
    """Touches only what differs: torch.use_deterministic_algorithms alone imports the compiler, for seconds."""
    now, matmul_now = _read()
    if now.threads != switches.threads:
        torch.set_num_threads(switches.threads)
    if now.tf32 != switches.tf32:
        torch.backends.cudnn.allow_tf32 = switches.tf32
    if matmul_now != matmul_tf32:
        torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
    if now.cudnn_benchmark != switches.cudnn_benchmark:
        torch.backends.cudnn.benchmark = switches.cudnn_benchmark
    if now.deterministic != switches.deterministic:
        torch.use_deterministic_algorithms(switches.deterministic)
    if now.onednn != switches.onednn:
        torch.backends.mkldnn.enabled = switches.onednn  # type: ignore[assignment]
