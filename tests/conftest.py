"""What every test relies on: repeatable examples, one thread per process, GPU tests skipped where there is no GPU."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# torch's thread pool spins; with several test processes on two cores that costs more than it brings.
# Set before anything imports torch, and inherited by every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# oneDNN 3.12's kernels for AMX give wrong bfloat16 convolutions where the kernel is wide and there is padding
# (docs/findings.md); the right methods of these tests would not be right there.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")

# A shell without job control starts its background jobs with SIGINT ignored, which children inherit; the tests
# of interrupts would then wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every run: a failure in CI is then the failure that a developer sees. No deadline,
# because a shared machine pauses a test for longer than any sensible one.
settings.register_profile(
    "convbench", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("convbench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests marked `campaign` unless they are asked for, and those marked `gpu` where there is no CUDA device.

    torch is imported only if there are any of these.
    """
    for item in items if not os.environ.get("CONVBENCH_CAMPAIGNS") else ():
        if item.get_closest_marker("campaign"):
            item.add_marker(pytest.mark.skip(reason="takes many minutes; `make campaigns` runs it"))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
