"""Untimed calls of a method that is right: for the memory columns, for the names of kernels, for a profiler outside."""

from __future__ import annotations

import time
from typing import Any

from .devices import device_of
from .facts import kernels
from .facts.spec import Spec
from .facts.wrt import OUTPUT
from .measurement import memory
from .measurement.problem import Problem
from .methods.own import Prepare, uses_autograd
from .timing.clocks import Arm


def memory_columns(arm: Arm, prepare: Prepare, made: Problem) -> dict[str, int | None]:
    """The memory columns: what autograd's forward saves; for others, what the call reads that existed before it.

    In the device's context: a Triton kernel is launched on the current device, wherever its operands are."""
    with device_of(made.spec.device).context():
        return _columns(arm, prepare, made)


def kernel_columns(arm: Arm, device: str) -> dict[str, Any]:
    """What one call runs on the device, and for how long that is at work on it."""
    used = device_of(device)
    with used.context(), arm.context():
        found = used.kernels(arm.call)
    return (
        {"kernels": None, "busy_s": None}
        if found is None
        else {
            "kernels": kernels.told(found.names),
            "busy_s": found.busy_s,
        }
    )


def marked_call(arm: Arm, spec: Spec) -> None:
    """One call that a profiler outside can tell from all others, after those that warm it up."""
    used = device_of(spec.device)
    with used.context(), arm.context():
        for _ in range(spec.measure.warmup_calls):
            arm.call()
        used.synchronize()
        with used.marked(f"{arm.name} {spec.config_id}") as wanted_s:
            end = time.perf_counter() + wanted_s
            arm.call()
            while time.perf_counter() < end:
                arm.call()


def _columns(arm: Arm, prepare: Prepare, made: Problem) -> dict[str, int | None]:
    saved: int | None
    if made.wrt == OUTPUT:  # nothing waits for a backward pass
        saved = None
    elif uses_autograd(prepare):
        saved = memory.saved_bytes(lambda: prepare(made))
    else:
        with arm.context():
            saved = memory.held_bytes(arm.call, made.grad_output)
    with arm.context():
        return {"saved_bytes": saved, "peak_bytes": device_of(made.spec.device).peak_bytes(arm.call)}
