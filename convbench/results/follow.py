"""Rows as other processes append them, for whoever watches a sweep that runs elsewhere."""

from __future__ import annotations

from pathlib import Path

from ..facts.record import COLUMNS, Record
from .store import ROWS, decode

READ_SIZE = 1 << 24


class Follower:
    """Hands out each row of a folder's part files once, those that are there already first.

    A line that is still being written is left for the next time.
    """

    def __init__(self, out: Path) -> None:
        self._parts = out / "parts"
        self._offsets: dict[str, int] = {}

    def rows(self) -> list[Record]:
        """The rows that were added since the last call."""
        found: list[Record] = []
        for path in sorted(self._parts.glob(f"*{ROWS}")):
            offset = self._offsets.get(path.name, 0)
            with path.open("rb") as file:
                file.seek(offset)
                text = file.read(READ_SIZE)
            whole = text[: text.rfind(b"\n") + 1]
            self._offsets[path.name] = offset + len(whole)
            lines = (decode(line) for line in whole.splitlines(keepends=True))
            found += [{k: v for k, v in line.items() if k in COLUMNS and v is not None} for line in lines if line]
        return found
