"""What a setting's value may be, and the error that says what was given and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

LARGEST = 2**31 - 1


class InvalidValue(ValueError):
    """A setting that cannot be used.

    `key` is the setting's name and the message says what was given, what is allowed, and why.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class IllegalCase(InvalidValue):
    """Values that are fine each on their own but describe no convolution together."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean kernel?` or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def whole_number(key: str, value: Any, lowest: int) -> int:
    """`value` as an int ≥ lowest; raises InvalidValue otherwise (a bool is not a number here)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue(key, f"{key}={value!r} is not a whole number; give an integer ≥ {lowest}")
    if not lowest <= value <= LARGEST:
        raise InvalidValue(key, f"{key}={value} is out of range; give an integer from {lowest} to {LARGEST}")
    return value


def one_of(key: str, value: Any, allowed: Sequence[str]) -> str:
    """`value` where it is one of `allowed`; raises InvalidValue, which lists them, otherwise."""
    if value not in allowed:
        raise InvalidValue(key, f"{key}={value!r} is not known; allowed: {', '.join(allowed)}")
    return str(value)


def number(key: str, value: Any, lowest: float) -> float:
    """`value` as a float ≥ lowest; raises InvalidValue otherwise (neither NaN nor a bool is a number here)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= lowest:
        raise InvalidValue(key, f"{key}={value!r} must be a number ≥ {lowest}")
    return float(value)
