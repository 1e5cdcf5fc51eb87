"""What earlier processes found of configurations that further ones are still to measure, where it stands in part files.

A sweep of ten thousand configurations keeps ten thousand places in memory, and no rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..facts.record import COLUMNS, Record
from ..facts.spec import Spec
from ..timing.samples import Samples
from .lines import Line, decode
from .parts import SAMPLES, part_files, reading

UNIT = re.compile(rb'"unit":"([0-9a-f-]+)"')


class Place(NamedTuple):
    """A line of a part file."""

    path: Path
    offset: int
    length: int

    def read(self) -> dict[str, Any]:
        """What the line holds; nothing where it is damaged or gone."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return decode(file.read(self.length)) or {}
        except OSError:
            return {}


class Earlier(NamedTuple):
    """The rows of a configuration's arms so far, and the samples of the processes that they are of."""

    rows: list[Record]
    samples: list[Samples]


class Unfinished:
    """The places of the rows and samples of configurations that have processes left."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._rows: dict[str, dict[str, Place]] = {}
        self._samples: dict[str, Place] | None = None

    def note(self, line: Line, place: Place) -> None:
        """Takes note of a row, or forgets the configuration's where it is the last that there will be."""
        if line.left:
            self._rows.setdefault(line.unit, {})[line.method] = place
        else:
            self.forget(line.unit)

    def note_samples(self, unit: str, place: Place) -> None:
        self._found()[unit] = place

    def forget(self, unit: str) -> None:
        self._rows.pop(unit, None)
        if self._samples is not None:
            self._samples.pop(unit, None)

    def earlier(self, spec: Spec, processes: int) -> Earlier | None:
        """What the first `processes` processes found; None where it cannot all be read, so that they run again."""
        unit = spec.key.unit
        places = self._rows.get(unit, {})
        rows = [_row(places[arm].read()) for arm in spec.arms if arm in places]
        place = self._found().get(unit)
        held = place.read().get("samples", ()) if place is not None else ()
        samples = [s for s in map(Samples.from_dict, held) if s.process < processes]
        whole = len(rows) == len(spec.arms) and all(rows) and len({s.process for s in samples}) == processes
        return Earlier(rows, samples) if whole else None

    def _found(self) -> dict[str, Place]:
        """The latest samples of every unfinished configuration; looked for once, when the first is wanted."""
        if self._samples is None:
            self._samples = {}
            for path in part_files(self._out, SAMPLES):
                offset = 0
                with reading(path) as file:
                    for raw in file:
                        found = UNIT.search(raw[:120])
                        if found and (unit := found[1].decode()) in self._rows:
                            self._samples[unit] = Place(path, offset, len(raw))
                        offset += len(raw)
        return self._samples


def _row(values: Mapping[str, Any]) -> Record:
    return {name: value for name, value in values.items() if name in COLUMNS and value is not None}


def places(path: Path, end: int, lines: Sequence[bytes]) -> list[Place]:
    """Where lines stand that were just appended to a file, which ends at `end` with them."""
    out = []
    offset = end - sum(map(len, lines))
    for line in lines:
        out.append(Place(path, offset, len(line)))
        offset += len(line)
    return out
