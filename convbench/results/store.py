"""What a folder's part files already hold, and the one place that names everything about them.

`DIR/parts/*.jsonl` has one JSON object per line, one line per row, and one file per process that writes.
A line begins with its own CRC-32, so that torn and damaged lines are told from rows; they are skipped.
Rows of a later line replace those of an earlier one with the same unit and method.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from ..facts.record import FAILED, Record, is_wrong
from ..facts.spec import Spec
from .folder import locked, prepare, refused
from .lines import Line, decode, decode_head, encode, encode_samples, run_keys_in
from .origin import generation_of, lost_generation
from .parts import ROWS, SAMPLES, Part, keep_environment, part_files, reading
from .passes import Earlier, Place, Unfinished, places

__all__ = [
    "ROWS",
    "SAMPLES",
    "Earlier",
    "Entry",
    "Index",
    "Line",
    "Part",
    "decode",
    "decode_head",
    "encode",
    "encode_samples",
    "keep_environment",
    "locked",
    "part_files",
    "passes_left",
    "places",
    "prepare",
    "refused",
    "settled",
    "unfinished",
]


class Entry(NamedTuple):
    """What is known of one method of one unit. `left`: further processes that are still to measure the unit."""

    method: str
    code: str
    status: str
    wrong: bool
    left: int = 0


class Index:
    """What the part files of a folder hold: for every unit its methods and their statuses, some 200 bytes each.

    A row counts as not measured where it is unknown whether it is the last of its unit and method: it stands in two
    files of which neither is known to be later, or what may have replaced it is damaged or gone.
    Raises InvalidValue for a part file that cannot be read.
    """

    def __init__(self, out: Path) -> None:
        self._units: dict[str, tuple[Entry, ...]] = {}
        self._shared: dict[Any, Any] = {}
        self._unfinished = Unfinished(out)
        lost = lost_generation(out)
        for generation, files in groupby(part_files(out), key=generation_of):
            self._scan_all(list(files))
            if generation <= lost:
                self._units.clear()

    def _scan_all(self, files: Sequence[Path]) -> None:
        """Takes in files of one generation, of which none is known to be later than another."""
        last: dict[tuple[str, str], Path | None] = {}
        for path in files:
            for line, place in self._lines(path):
                if len(files) > 1:
                    key = (line.unit, line.method)
                    if last.setdefault(key, path) != path:
                        last[key] = None
                        self._put(line.unit, [e for e in self._units.get(line.unit, ()) if e.method != line.method])
                        continue
                self._add(line.unit, [Entry(line.method, line.code, line.status, line.wrong, line.left)])
                self._unfinished.note(line, place)

    def _lines(self, path: Path) -> Iterator[tuple[Line, Place]]:
        """The rows of a file and their places; what a damaged line may have replaced is forgotten before the next."""
        damaged, end = b"", 0
        with reading(path) as file:
            for raw in file:
                line = decode_head(raw)
                end += len(raw)
                if line is None:
                    damaged += raw
                    continue
                self._doubt(damaged)
                damaged = b""
                yield line, Place(path, end - len(raw), len(raw))
        # A line without an end was being written when its writer died, before it counted as measured.
        self._doubt(damaged if damaged.endswith(b"\n") else b"")

    def _doubt(self, damaged: bytes) -> None:
        """Forgets the configurations that damaged lines name; all of them where they name none."""
        keys = run_keys_in(damaged)
        if damaged and not keys:
            self._units.clear()
        elif damaged:
            for unit in [unit for unit in self._units if unit.partition("-")[0] in keys]:
                del self._units[unit]

    def add(self, unit: str, rows: Iterable[Record], codes: Mapping[str, str], left: int = 0) -> None:
        """Takes note of rows that were appended; they replace those of the same methods."""
        self._add(unit, [Entry(r["method"], codes[r["method"]], r["status"], is_wrong(r), left) for r in rows])

    def passed(self, lines: Iterable[tuple[bytes, Place]], samples: Place | None) -> None:
        """Takes note of where the rows and samples of a configuration stand that has processes left, or has no more."""
        for raw, place in lines:
            if line := decode_head(raw):
                self._unfinished.note(line, place)
                if samples is not None and line.left:
                    self._unfinished.note_samples(line.unit, samples)

    def earlier(self, spec: Spec, processes: int) -> Earlier | None:
        """What the first `processes` processes found of a configuration; None where that cannot be read."""
        return self._unfinished.earlier(spec, processes)

    def _add(self, unit: str, entries: Iterable[Entry]) -> None:
        known = {entry.method: entry for entry in self._units.get(unit, ())}
        known.update((entry.method, entry) for entry in entries)
        self._put(unit, known.values())

    def _put(self, unit: str, entries: Iterable[Entry]) -> None:
        value = tuple(self._shared.setdefault(entry, entry) for entry in entries)
        self._units[unit] = self._shared.setdefault(value, value)

    @property
    def rows(self) -> int:
        """How many rows the table must have at least."""
        return sum(map(len, self._units.values()))

    def entries(self, spec: Spec, codes: Mapping[str, str]) -> list[Entry] | None:
        """The rows of all arms of a configuration, measured with the code of today; None if one is missing."""
        known = {entry.method: entry for entry in self._units.get(spec.key.unit, ())}
        found = [known.get(arm) for arm in spec.arms]
        complete = [e for e in found if e is not None and e.code == codes[e.method]]
        return complete if len(complete) == len(found) else None


def settled(entries: Sequence[Entry] | None, retry: str) -> bool:
    """Whether nothing needs measuring. `skipped` always does: the device may be there now, and asking costs nothing."""
    return entries is not None and not unfinished(entries) and not _again(entries, retry)


def unfinished(entries: Sequence[Entry] | None) -> int:
    """How many further processes are to measure a configuration that has rows; 0 where it has none."""
    return max((entry.left for entry in entries), default=0) if entries else 0


def passes_left(entries: Sequence[Entry] | None, retry: str | None) -> int | None:
    """As `unfinished`; None where the configuration is measured anew, in all of its processes.

    `retry` is None where this very run has measured it.
    """
    anew = entries is None or (retry is not None and _again(entries, retry))
    return None if anew else unfinished(entries)


def _again(entries: Sequence[Entry], retry: str) -> bool:
    again = ("skipped", *FAILED) if retry == "failed" else ("skipped",)
    return any(entry.status in again for entry in entries)
