"""The random stream of the notebook that convbench began with (torch 0.3), and the figures it printed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


class Stream:
    """torch 0.3's CPU generator: one MT19937, drawn from in order. All in float64."""

    def __init__(self, seed: int) -> None:
        self._raw: Any = np.random.RandomState(seed)

    def _uint32(self, count: int) -> npt.NDArray[np.uint64]:
        return np.asarray(self._raw.randint(0, 2**32, size=count, dtype=np.uint32)).astype(np.uint64)

    def normal(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Standard normal values by Box and Muller, cosine first; an odd count drops the last sine.

        A 53-bit uniform takes two raw draws, the high word first: ((hi ≪ 32 | lo) mod 2⁵³)·2⁻⁵³.
        """
        count = math.prod(shape)
        raw = self._uint32(4 * ((count + 1) // 2)).reshape(-1, 2)
        uniform = (((raw[:, 0] << np.uint64(32)) | raw[:, 1]) % np.uint64(2**53)).astype(np.float64) * 2.0**-53
        u, v = uniform[0::2], uniform[1::2]
        radius = np.sqrt(-2 * np.log1p(-v))
        pairs = np.stack([radius * np.cos(2 * np.pi * u), radius * np.sin(2 * np.pi * u)], axis=1)
        return pairs.reshape(-1)[:count].reshape(shape)

    def uniform(self, shape: tuple[int, ...], bound: float) -> npt.NDArray[np.float64]:
        """Uniform in ±bound; one raw draw each, of which the low 24 bits count."""
        raw = self._uint32(math.prod(shape)) & np.uint64(2**24 - 1)
        return ((raw.astype(np.float64) * 2.0**-24) * (2 * bound) - bound).reshape(shape)
