"""Memory of one gradient: what waits between forward and backward, and what one call takes at most; untimed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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


class _Reads(TorchDispatchMode):
    """Records the storages that operations read and that none of them made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self.read: dict[int, torch.UntypedStorage] = {}
        self._made: dict[int, torch.UntypedStorage] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self._made:
                    self.read[storage.data_ptr()] = storage
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self.read:
                    # Kept, so that no later storage can reuse the address.
                    self._made[storage.data_ptr()] = storage
        return out


def held_bytes(call: Callable[[], Any], grad_output: torch.Tensor) -> int | None:
    """Bytes that a method without autograd needs from the forward pass on: what `call` reads except `grad_output`.

    Storages count once and whole, as in `saved_bytes`. None where no torch operation can be seen, as in a
    kernel launched past torch's dispatcher.
    """
    with _Reads() as reads:
        call()
    if reads.operations == 0:
        return None
    reads.read.pop(grad_output.untyped_storage().data_ptr(), None)
    return sum(storage.nbytes() for storage in reads.read.values())


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
