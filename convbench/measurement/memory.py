"""Memory that waits between forward and backward; untimed. What one call takes at most, its device knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


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


ALLOCATIONS = {
    *("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"),
    *("zeros", "zeros_like", "new_zeros", "ones", "ones_like", "new_ones", "full", "full_like", "new_full"),
}
"""Operations that make memory and compute nothing, and read nothing of what they are like."""

CONSTANTS = ("zero_", "fill_")


class _Reads(TorchDispatchMode):
    """Records the storages that operations read and that none of them made.

    `unseen`: an operation read, from memory that one had only allocated, what none had written: something wrote there
    that does not pass through torch's dispatcher, as Triton's kernels and those of extensions do not.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.unseen = False
        self.read: dict[int, torch.UntypedStorage] = {}
        self._made: dict[int, torch.UntypedStorage] = {}
        self._empty: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        read, written = _operands(func, args, kwargs or {})
        out = func(*args, **(kwargs or {}))
        given = {storage.data_ptr() for storage in (*read, *written)}
        new = [storage for storage in _storages(out) if storage.data_ptr() not in given]
        if name not in ALLOCATIONS and (new or not _may_be_view(func)):
            self._note(name, read, written)
        for storage in new:
            # Kept, so that no later storage can reuse the address.
            self._made[storage.data_ptr()] = storage
            if name in ALLOCATIONS:
                self._empty.add(storage.data_ptr())
        return out

    def _note(self, name: str, read: list[torch.UntypedStorage], written: list[torch.UntypedStorage]) -> None:
        # What is written to and was there before is held as well.
        for storage in (*read, *written):
            if storage.data_ptr() not in self._made:
                self.read[storage.data_ptr()] = storage
        self.unseen |= any(storage.data_ptr() in self._empty for storage in read)
        if name not in CONSTANTS:
            self._empty -= {storage.data_ptr() for storage in written}

    def saw(self, result: Any) -> bool:
        """Whether the result was computed by what was seen, and nothing unseen had a part in it."""
        made = all(s.data_ptr() in self._made and s.data_ptr() not in self._empty for s in _storages(result))
        return made and not self.unseen


def _storages(values: Any) -> list[torch.UntypedStorage]:
    """Of the tensors among `values` that hold anything."""
    return [v.untyped_storage() for v in tree_flatten(values)[0] if isinstance(v, torch.Tensor) and v.numel()]


def _may_be_view(func: Any) -> bool:
    """Whether what it returns may be the memory that it was given, neither read nor written. (`to` and `contiguous`
    may as well copy.)"""
    aliases = [returned.alias_info for returned in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def _operands(func: Any, args: Any, kwargs: Any) -> tuple[list[torch.UntypedStorage], list[torch.UntypedStorage]]:
    """The storages that an operation reads, and those that it writes to."""
    named = {**dict(zip((a.name for a in func._schema.arguments), args, strict=False)), **kwargs}
    writes = {a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write}
    read = _storages([value for name, value in named.items() if name not in writes])
    return read, _storages([value for name, value in named.items() if name in writes])


def held_bytes(call: Callable[[], Any], grad_output: torch.Tensor) -> int | None:
    """Bytes that a method without autograd needs from the forward pass on: what `call` reads except `grad_output`.

    Storages count once and whole, as in `saved_bytes`. None where not all of the work can be seen, as in a kernel
    launched past torch's dispatcher.
    """
    with _Reads() as reads:
        result = call()
    if not reads.saw(result):
        return None
    reads.read.pop(grad_output.untyped_storage().data_ptr(), None)
    return sum(storage.nbytes() for storage in reads.read.values())
