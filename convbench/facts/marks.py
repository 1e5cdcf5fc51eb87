"""Marks beside an interval: what a reader must know before believing it, in one character each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MARKS = {"disturbed": "!", "mean_differs": "^"}
"""Columns that are true where there is something to say, and how it is marked; each has a finding that explains it."""


def marks(row: Mapping[str, Any]) -> str:
    """`*` where the timing did not reach the requested precision, and those of MARKS."""
    return ("*" if row.get("converged") is False else "") + "".join(m for c, m in MARKS.items() if row.get(c) is True)
