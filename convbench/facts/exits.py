"""What the program's exit code says; scripts are built on the numbers."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Where several hold, WRONG beats UNMEASURED."""

    GOOD = 0
    WRONG = 1
    """A wrong gradient, or a regression."""
    MISTAKE = 2
    """The command line or a file is at fault."""
    UNMEASURED = 3
    """Some configurations could not be measured, or were skipped under strict=true."""
    UNTRUSTED = 4
    """Nothing to compare with, or an environment that cannot be trusted."""
    BROKEN = 5
    """A fault of convbench itself: a traceback says which."""


def interrupted(signal: int) -> int:
    """The exit code of a program that a signal has ended, as shells count: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + signal
