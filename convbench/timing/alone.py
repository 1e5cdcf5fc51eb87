"""What an arm's calls take when no other arm's are between them: what arms do to each other shows in the difference.

They share the caches, the C library's memory and the processor's clock. A method that returns 1.6 MB touched 761 new
pages a call by itself and 152 between calls of another, and the other took 68% longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from . import sample_size
from .tally import Tally

SAMPLES = 6
"""After one that is left out: their median lies between the smallest and the largest in 96.9%."""

SHARE = 0.2
"""Of `max_time_s` that these samples may take, of all arms together."""


def wanted(parts: int, seen: Tally) -> bool:
    """Whether others can show in more than the first part of a sample, which the median leaves out: where its parts are
    few, or where a call touches new pages."""
    touches = seen.minor_faults is not None and seen.minor_faults >= seen.calls
    return touches or parts < sample_size.PARTS


def fits(seen: Tally, arms: int, max_time_s: float) -> bool:
    """Whether there is time for it."""
    return (SAMPLES + 1) * seen.spent_s / max(seen.samples, 1) <= SHARE * max_time_s / arms


def columns(seconds: Sequence[float]) -> dict[str, Any]:
    """`alone_s` and the ends of its interval, from the seconds per call of SAMPLES samples in a row."""
    return {"alone_s": median(seconds), "alone_low_s": min(seconds), "alone_high_s": max(seconds)}
