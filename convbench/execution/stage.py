"""What a child process is doing right now, in a page of memory that its parent can read without asking."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

IDLE, START = "idle", "start"
"""Phases outside a method: no configuration accepted; accepted, and nothing begun."""

GUEST = "guest "
"""How a phase begins in which a child waits for a method that runs in a process of its own."""

CUT_OFF = 79
"""Exit status of a child that cannot answer any more."""

_LAYOUT = struct.Struct("=dh22s")
_UNNAMED = -1
_F_SEAL_FUTURE_WRITE = 0x10  # linux/fcntl.h; Python's fcntl has no name for it


class Mark(NamedTuple):
    """`started`: time.monotonic() of the process that marked; `method`: index among the methods, −1 for none."""

    started: float
    method: int
    phase: str


class Stage:
    """One page shared by the parent and a child: 32 bytes that name what runs and since when.

    Writing takes well under a microsecond and no system call, so that it may stand beside timed regions;
    it stays readable when the writer is dead.
    """

    def __init__(self, fd: int | None = None) -> None:
        self.fd = anonymous_file(mmap.PAGESIZE) if fd is None else fd
        self._page = mmap.mmap(self.fd, mmap.PAGESIZE)
        self._indices: dict[str, int] = {}

    def methods(self, names: Sequence[str]) -> None:
        """Numbers the methods that `__call__` may name."""
        self._indices = {name: i for i, name in enumerate(names)}

    def __call__(self, method: str, phase: str) -> None:
        """Marks that `method` ("" for work that belongs to none) now executes `phase`; its time starts anew."""
        # The time goes first: a reader in between sees too late a start and waits, instead of too early a one.
        _LAYOUT.pack_into(self._page, 0, time.monotonic(), self._indices.get(method, _UNNAMED), phase.encode())

    def read(self) -> Mark:
        started, method, phase = _LAYOUT.unpack_from(self._page, 0)
        return Mark(started, method, phase.rstrip(b"\0").decode(errors="replace"))

    def seal(self) -> None:
        """Lets nobody write to the page from here on but those who have it already, where Linux is asked.

        A method that writes into every open descriptor then changes nothing here.
        """
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            if hasattr(fcntl, "F_ADD_SEALS"):
                fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE)

    def close(self) -> None:
        self._page.close()
        os.close(self.fd)


def anonymous_file(size: int) -> int:
    """A descriptor of a new file of `size` bytes without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("convbench", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd
