"""What comparing two runs gives: cells, findings and a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..facts.exits import Exit
from ..facts.record import Record
from .change import Change

COARSE = 1.25
"""Where half of a method's cells could not have shown a slowdown of this size beyond the margin, there was no
comparison worth the name."""


class CellKey(NamedTuple):
    """Names a cell in every run. A method has a cell for every baseline that it was measured against."""

    config_id: str
    method: str
    baseline: str

    @classmethod
    def of(cls, row: Record) -> CellKey:
        return cls(row["config_id"], row["method"], row.get("baseline", ""))


ALONE = 0.01
"""Standard deviation between processes of the same code that a row of a single one cannot have in its interval."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`margin`: slowdowns up to this are ignored. `spread`: standard deviation of a log ratio between two
    processes that run the same code (memory layout and the like; docs/compare.md has the measurement), the
    least that is assumed where the runs themselves show less; None: ALONE where a row is of a single process.
    `speed`: False judges accuracy and status alone.
    """

    margin: float = 0.03
    spread: float | None = None
    speed: bool = True

    def beyond(self, row: Record) -> float:
        """The standard deviation between processes that a row's interval does not hold."""
        if self.spread is not None:
            return self.spread
        return ALONE if row.get("processes", 1) <= 1 else 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One cell that is worth a line. `kind` is one of KINDS, `text` says what happened, `change` by how much."""

    kind: str
    key: CellKey
    row: Record
    text: str
    change: Change | None = None
    q: float | None = None


KINDS = (
    *("vanished", "unmeasured", "accuracy", "impossible", "untimed", "slower", "drifted", "doubtful"),
    *("advisory", "faster", "better", "cleared"),
)


@dataclass(slots=True)
class Judgement:
    """What comparing two runs gave. `failures` make it a regression; `advice` does not.

    `cells`: common to both runs; `measured`: those that are ok in both; `asked`: those of them that BASE has a time
    of; `timed`: those judged by speed. `resolution`: the smallest slowdown, as a factor, that half of the cells with
    paired ratios could have shown, infinite where half of them have no interval; `resolutions`: the same by method.
    `changes`: how much slower each of the judged cells is. `doubtful`: suspects that a second measurement could neither
    confirm nor clear. `fresh`: rows of cells that only the new run has. `rows`: the new run's rows by cell. `no_base`:
    why there is no BASE, which is no fault; `absent`: methods that BASE does not have, with a sentence each.
    `unexplained`: a common change of all times that may be the machine's as well as the code's, in a sentence.
    `drifted`: cells of another environment whose times all became noticeably longer, where most of them did.
    """

    margin: float
    no_base: str | None = None
    drifted: int = 0
    unexplained: str | None = None
    cells: int = 0
    measured: int = 0
    asked: int = 0
    timed: int = 0
    resolution: float | None = None
    resolutions: dict[str, float] = field(default_factory=dict)
    changes: dict[CellKey, Change] = field(default_factory=dict)
    doubtful: list[Finding] = field(default_factory=list)
    failures: list[Finding] = field(default_factory=list)
    advice: list[Finding] = field(default_factory=list)
    improvements: list[Finding] = field(default_factory=list)
    fresh: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: dict[CellKey, Record] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """regression; nothing (no cell that is ok in both runs, or times of which none could be compared); untrusted
        (too coarse, or a suspect is left in doubt); elsewhere (all slower, in another environment); unexplained
        (all slower, by the code or by the machine); first (nothing to
        compare with, as is to be expected); or good."""
        if self.failures and (self.cells or self.absent):
            return "regression"
        if self.coarse or self.doubtful:
            return "untrusted"
        if self.drifted:
            return "elsewhere"
        if self.unexplained:
            return "unexplained"
        if self.no_base or (self.absent and not self.cells):
            return "first"
        return "good" if self.measured and (self.timed or not self.asked) else "nothing"

    @property
    def coarse(self) -> list[str]:
        """Methods of which half of the cells could not have shown a slowdown of practical size."""
        return [method for method, seen in self.resolutions.items() if seen > COARSE * (1 + self.margin)]

    @property
    def exit_code(self) -> Exit:
        codes = {
            "regression": Exit.WRONG,
            **dict.fromkeys(("nothing", "untrusted", "elsewhere", "unexplained"), Exit.UNTRUSTED),
        }
        return codes.get(self.verdict, Exit.GOOD)
