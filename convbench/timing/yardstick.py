"""How fast the machine is: a fixed piece of work that is no convolution and none of torch's, timed in every round."""

from __future__ import annotations

from statistics import median
from time import perf_counter_ns

SIDE = 64
"""Rows and columns of the matrices: OpenBLAS multiplies up to 64³ with one thread, whatever it may use."""

PARTS, PART_S = 5, 2e-4
"""A sample is the median of so many parts of about this many seconds: 1 ms in a round of four methods' 40."""


class Yardstick:
    """A product of two fixed matrices in numpy; its time changes with the machine's speed and not with torch."""

    def __init__(self) -> None:
        import numpy as np

        values = np.random.default_rng(0).standard_normal((2, SIDE, SIDE)).astype(np.float32)
        self._left, self._right = values[0].copy(), values[1].copy()
        self._out = np.empty((SIDE, SIDE), np.float32)
        self._dot = np.dot
        self._calls = 1
        self._calls = max(1, int(PART_S / min(self._part() for _ in range(20))))
        self.seen: list[float] = []

    def sample(self) -> None:
        """Takes note of one more sample."""
        self.seen.append(median(self._part() for _ in range(PARTS)))

    @property
    def time_s(self) -> float | None:
        """Seconds of one product, in the median of the samples; None where there are none."""
        return median(self.seen) if self.seen else None

    def _part(self) -> float:
        dot, left, right, out = self._dot, self._left, self._right, self._out
        start = perf_counter_ns()
        for _ in range(self._calls):
            dot(left, right, out)
        return (perf_counter_ns() - start) * 1e-9 / self._calls
