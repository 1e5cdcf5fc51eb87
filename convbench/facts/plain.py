"""Text from files and exceptions as a terminal and a spreadsheet may be shown it."""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters, the tab and the end of a line aside, and those that turn the direction of text around."""
FORMULA_CELL = r"^('*[=+\-@\t\r])"
"""A cell that a spreadsheet takes for a formula, or that was one and has its apostrophes. Written to a CSV file, which
people open, it gets one more, and loses one when it is read again."""
NEUTRALISED = re.compile(r"^'('*[=+\-@\t\r])")


def printable(text: str) -> str:
    """`text` with its control characters spelt out: an escape sequence is then read and not obeyed."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown_as_text(cell: str) -> str:
    """A text for a CSV file: no spreadsheet takes it for a formula. `as_written` is the inverse."""
    return re.sub(FORMULA_CELL, r"'\1", cell)


def as_written(cell: str) -> str:
    return NEUTRALISED.sub(r"\1", cell)
