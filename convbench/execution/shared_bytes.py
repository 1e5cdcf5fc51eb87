"""Memory that a process fills with results and that whoever asked for them reads: bytes, and nothing else."""

from __future__ import annotations

import contextlib
import mmap
import os

from .stage import anonymous_file

_F_SEAL_SHRINK = 0x2  # linux/fcntl.h; Python's fcntl names it from 3.9 on, and on Linux alone


class SharedBytes:
    """Some slots of equal size in a file without a name; it grows and never shrinks."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = anonymous_file(mmap.PAGESIZE) if fd is None else fd
        self._pages: mmap.mmap | None = None
        self._slot_bytes = 0
        if fd is None:
            # Whoever reads a page that the other side has cut off is killed. Only Linux has seals.
            with contextlib.suppress(ImportError, AttributeError, OSError):
                import fcntl

                fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _F_SEAL_SHRINK)

    def hold(self, slot_bytes: int, slots: int) -> None:
        """Makes room for `slots` of `slot_bytes` each; what was in them is lost."""
        # Slots begin on pages, so that any dtype is aligned.
        self._slot_bytes = max(1, -(-slot_bytes // mmap.PAGESIZE)) * mmap.PAGESIZE
        needed = self._slot_bytes * slots
        if os.fstat(self.fd).st_size < needed:
            os.ftruncate(self.fd, needed)
        if self._pages is None or len(self._pages) < needed:
            self._pages = mmap.mmap(self.fd, os.fstat(self.fd).st_size)

    def slot(self, number: int, size: int) -> memoryview:
        """The first `size` bytes of a slot, to be read or written."""
        assert self._pages is not None
        start = number * self._slot_bytes
        return memoryview(self._pages)[start : start + size]

    def close(self) -> None:
        self._pages = None
        os.close(self.fd)
