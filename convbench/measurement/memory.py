"""Memory that waits between forward and backward; untimed. What one call takes at most, its device knows."""

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
