"""Time that passed while this process could not see it pass: stopped, frozen or starved, as its child may have been."""

from __future__ import annotations

import math
import time

PAUSE_S = 1.0
"""Who wakes up by so much later than it wanted to was not merely waiting for its turn."""
LOOKS = 10
"""Looks within a deadline: a pause is noticed unless it is shorter than a tenth of what is allowed."""


class Pauses:
    """Tells from when on a deadline counts: `since` is when the last pause of this process ended."""

    def __init__(self) -> None:
        self.since = -math.inf
        self._looked = time.monotonic()

    def waited(self, wanted_s: float) -> None:
        """Takes note of a wait that was to last `wanted_s` at most."""
        now = time.monotonic()
        if now - self._looked > wanted_s + PAUSE_S:
            self.since = now
        self._looked = now

    def passed_s(self, started: float) -> float:
        """Seconds since `started` that count."""
        return time.monotonic() - max(started, self.since)
