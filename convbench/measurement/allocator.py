"""What the C library does with memory that is freed: gives it back to the system, or keeps it in the process.

glibc maps large blocks one by one and unmaps them when they are freed, and it trims its heap: the next call touches new
pages. allocator=retain lets it do neither (mallopt(3): M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD).
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
"""malloc.h's."""

NEVER = 2**31 - 1

WORDS = {
    "retain": {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: NEVER, M_TOP_PAD: 2**26},
    "system": {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 2**17, M_TOP_PAD: 2**17, M_MMAP_THRESHOLD: 2**17},
}
"""What mallopt is told; for `system` glibc's values at its start. It adapts them while nobody has set them, and never
again after: a process that has retained memory should measure nothing else."""

_now = ["system"]


def missing(wanted: str) -> str | None:
    """Why this process cannot have it; None where it can."""
    if wanted == "system" or hasattr(ctypes.CDLL(None), "mallopt"):
        return None
    return f"allocator={wanted} needs glibc, whose mallopt this system's C library does not have; give allocator=system"


def read() -> str:
    """What was set last."""
    return _now[0]


def set_to(wanted: str) -> None:
    """Sets it for the whole process, and does nothing where it is so already."""
    if wanted == _now[0]:
        return
    library = ctypes.CDLL(None)
    for name, value in WORDS[wanted].items():
        library.mallopt(name, value)
    _now[0] = wanted
