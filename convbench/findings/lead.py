"""The figures that answer the first question, whether a training step would be faster; a call's where none did.

They are a configuration's, not a row's: a method that cannot be the backward of an autograd.Function has none beside
methods that can.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..facts.timed_as import BACKWARD, of
from ..results.rows import Mask, Rows


def in_training(rows: Rows) -> Mask:
    """Rows of the configurations that were timed as a training step has them."""
    known = rows.known(of("time_s", BACKWARD))
    if not known.any():
        return known
    timed = np.zeros(int(rows.configuration.max(initial=-1)) + 1, bool)
    timed[rows.configuration[known]] = True
    found: Mask = timed[rows.configuration]
    return found


def numbers(rows: Rows, name: str) -> npt.NDArray[np.float64]:
    """A column of figures, of the leading way of timing."""
    where = in_training(rows)
    calls = rows.numbers(name)
    return np.where(where, rows.numbers(of(name, BACKWARD)), calls) if where.any() else calls


def equal(rows: Rows, name: str, *wanted: str | bool) -> Mask:
    """Where such a column holds one of `wanted`."""
    where = in_training(rows)
    calls = rows.equal(name, *wanted)
    return np.where(where, rows.equal(of(name, BACKWARD), *wanted), calls) if where.any() else calls
