"""The progress of jobs that run elsewhere (other processes, a cluster), read from the part files they write."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

from ..facts.record import FAILED, Record
from ..results.store import decode_head, part_files
from .progress import Progress

LOOK_S = 2.0
"""Time between two looks at the part files; a shared file system is no place to poll."""
ELAPSED = re.compile(rb'"elapsed_s":([0-9.eE+-]+)')


class Follower:
    """Feeds a Progress with the rows that part files in `out` gain from now on.

    As a context manager it looks every LOOK_S seconds, in a thread, and once more at the end. A
    configuration counts as done with its first row from its last process; how many rows follow is not known here.
    """

    def __init__(self, out: Path, progress: Progress, every_s: float = LOOK_S) -> None:
        self._out = out
        self._progress = progress
        self._every_s = every_s
        self._read = {path: path.stat().st_size for path in part_files(out)}
        self._units: set[str] = set()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look_often, name="following", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._left.set()
        self._thread.join()
        self.look()

    def _look_often(self) -> None:
        while not self._left.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """Reads what has been added since the last look; half a line waits for its other half."""
        for path in part_files(self._out):
            try:
                with path.open("rb") as file:
                    file.seek(self._read.get(path, 0))
                    for line in file:
                        if not line.endswith(b"\n"):
                            break
                        self._read[path] = self._read.get(path, 0) + len(line)
                        self._take(line)
            except OSError:
                # Merged away or not visible on this machine yet: the next look, or the table, has it.
                continue

    def _take(self, line: bytes) -> None:
        head = decode_head(line)
        if head is None:
            return
        first = head.unit not in self._units and not head.left
        if first:
            self._units.add(head.unit)
        found = ELAPSED.search(line)
        elapsed_s = float(found[1]) if found else 0.0
        if first or head.wrong or head.status in FAILED or elapsed_s > self._progress.tally.slowest_s:
            row: Record = json.loads(line)
            self._progress.finished(row, [row], elapsed_s, int(first))
