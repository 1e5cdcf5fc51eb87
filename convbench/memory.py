"""Memory of one gradient: what waits between forward and backward, and what one call takes at most; untimed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks


def saved_bytes(forward: Callable[[], Any]) -> int:
    """Bytes of the distinct storages that `forward` hands to autograd for its backward.

    Two views of one storage count once, and all of it: that is what stays alive. The operands of the
    convolution are among them; a function that records no graph saves nothing and gives 0.
    """
    storages: dict[int, int] = {}
    kept = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        kept.append(storage)  # so that no later storage can reuse the address
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storages.values())


def peak_bytes(call: Callable[[], Any], device: str) -> int | None:
    """Largest number of bytes that one call holds beyond what was allocated before it, its result included.

    CUDA: the caching allocator's own peak, so without cuDNN workspaces that are not taken from it. CPU: the
    running sum of torch's allocations and frees during the call, so without a library's private scratch
    memory. None where torch was built without its profiler.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
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
