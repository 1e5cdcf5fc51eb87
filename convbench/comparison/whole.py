"""What the cells of a run share: a baseline or a method that changed as a whole, told from a machine that did.

Where both runs name the same environment, the baseline's times are compared with those of the control, a fixed matrix
product that was timed in the same rounds (`control_s`): what the control shows as well is the machine's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from ..facts.record import Record
from ..facts.units import count
from .change import ENOUGH, Change, LogRatio, added, log_ratio_se, t_quantile
from .result import CellKey, Finding, Judgement

NOTICEABLE = 1.10
"""From this factor on, a change that decides nothing is still worth a line."""

UNEVEN = 0.2
"""A machine that runs at another speed does not slow all code alike. Share of the change of the machine's speed (as a
log ratio) that counts as standard deviation of what all cells have in common. Between twelve runs of the same code,
where the baseline's time moved by 0.4 to 0.6, ratios moved by 0.072 in the median; by 0.2 to 0.4: 0.020; by less than
0.01: 0.008 (docs/compare.md)."""

OF_TIMES, OF_RATIOS = 0.01, 0.004
"""Standard deviation, between two runs of the same code, of what all times have in common against the control, and of
what all ratios of a method have in common: in twelve runs the latter's median moved by at most 0.007."""

FEW = 6.0
"""Degrees of freedom of the difference of two runs' times, of four processes each."""

WHOLE = 0.5
"""Share of the margin beyond which a method as a whole is slower: the chance of where its code lies in memory, which
the margin is for, is another in every cell and averages out."""

EVERY = "all configurations"
"""What stands in place of a configuration's name where a method is meant as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift(LogRatio):
    """What so many cells have in common: above 0 where NEW takes longer. `machine`: the change of the control's time,
    None where a run has none. `own`: the standard error of a single cell, in the median."""

    cells: int
    own: float
    machine: float | None = None

    @classmethod
    def of(cls, changes: Sequence[tuple[float, float]], between: float, machine: float | None = None) -> Shift:
        """The median of the cells' changes, of which each has a standard error.

        `between`: standard deviation of their common change between two runs. They scatter as far as they are seen to,
        and at least as far as their own errors say.
        """
        logs = [log for log, _ in changes]
        centre = median(logs)
        seen = 1.4826 * median(abs(log - centre) for log in logs)
        scatter = 1.2533 * max(seen, median(se for _, se in changes)) / math.sqrt(len(logs))
        se, freedom = added((scatter, max(1.0, len(logs) - 1.0)), (between, math.inf))
        return cls(
            log=centre, se=se, freedom=freedom, cells=len(logs), own=median(se for _, se in changes), machine=machine
        )

    @property
    def surely(self) -> float:
        """The lower end as if the cells' errors were one and the same.

        A process goes over all cells within a minute or so. What the host does meanwhile is in all of their times, and
        the next process's are others: in 45 comparisons of the same code, times against the control moved by up to
        0.24, by 0.9 times the cells' own standard error in the median and twice at most (docs/compare.md).
        """
        se, freedom = added((self.se, self.freedom), (self.own, FEW))
        return min(self.low, self.log - t_quantile(freedom) * se)

    def plus(self, other: Shift) -> Shift:
        """Both together, where they are independent."""
        se, freedom = added((self.se, self.freedom), (other.se, other.freedom))
        return replace(self, log=self.log + other.log, se=se, freedom=freedom)

    def told(self, than: str) -> str:
        """`1.20× slower … (95%: 1.16 to 1.24)`."""
        word, sign = ("slower", 1) if self.log >= 0 else ("faster", -1)
        low, high = sorted((sign * self.low, sign * self.high))
        ends = f"95%: {math.exp(low):.2f} to {math.exp(high):.2f}"
        return f"{math.exp(sign * self.log):.2f}× {word} {than} ({ends}; {count(self.cells, 'cell')})"


Pairs = Mapping[CellKey, tuple[Record, Record]]


@dataclass(frozen=True, slots=True)
class Whole:
    """The common change of each baseline's times, and of each method's ratios to its baseline."""

    baselines: Mapping[str, Shift]
    methods: Mapping[tuple[str, str], Shift]

    @classmethod
    def of(cls, here: Pairs, changes: Mapping[CellKey, Change]) -> Whole:
        """`here`: the cells of which both runs name the same environment; `changes`: those of all ratios."""
        baselines = {}
        for name in dict.fromkeys(key.method for key in here if key.method == key.baseline):
            own = [pair for key, pair in here.items() if key.method == key.baseline == name]
            if (shift := _against_control(own)) is not None:
                baselines[name] = shift
        moved = [abs(shift.machine or 0.0) for shift in baselines.values()]
        between = math.hypot(OF_RATIOS, UNEVEN * max(moved, default=0.0))
        methods = {}
        for pair in dict.fromkeys((key.method, key.baseline) for key in changes):
            ratios = [(change.log, change.se) for key, change in changes.items() if (key.method, key.baseline) == pair]
            if len(ratios) >= ENOUGH:
                methods[pair] = Shift.of(ratios, between)
        return cls(baselines, methods)

    def faster(self, baseline: str, margin: float) -> Shift | None:
        """The change of a baseline that became faster as a whole by more than the margin, else None."""
        shift = self.baselines.get(baseline)
        found = shift is not None and shift.machine is not None and shift.high < -margin
        return shift if found else None

    def report(self, margin: float, result: Judgement) -> None:
        """Adds what is true of a baseline or a method as a whole."""
        for name, shift in self.baselines.items():
            _report_baseline(name, shift, margin, result)
        for (method, baseline), shift in self.methods.items():
            if shift.low <= WHOLE * margin:
                continue
            rival = self.faster(baseline, margin)
            finding = _finding("slower", method, baseline, f"as a whole {shift.told('against the baseline')}", shift)
            if rival is not None and shift.plus(rival).low <= WHOLE * margin:
                text = f"{finding.text}, which became faster by itself: {rival.told('than the control says')}"
                result.advice.append(_finding("advisory", method, baseline, text, shift))
            else:
                result.failures.append(finding)


def _against_control(own: Sequence[tuple[Record, Record]]) -> Shift | None:
    """How much longer a baseline's calls take, against the control where both runs have it."""
    times = [(old, new) for old, new in own if old.get("time_s") and new.get("time_s")]
    if not times:
        return None
    controlled = [pair for pair in times if all(row.get("control_s") for row in pair)]
    if 2 * len(controlled) < len(times):
        return Shift.of([_longer(*pair) for pair in times], OF_TIMES)
    machine = [math.log(new["control_s"] / old["control_s"]) for old, new in controlled]
    longer = [_longer(*pair) for pair in controlled]
    against = [(log - moved, se) for (log, se), moved in zip(longer, machine, strict=True)]
    return Shift.of(against, math.hypot(OF_TIMES, UNEVEN * median(map(abs, machine))), median(machine))


def _longer(old: Record, new: Record) -> tuple[float, float]:
    """How much longer a cell's calls take, as a log ratio, and its standard error as far as the rows say."""
    seen = [log_ratio_se(row, "time_s", "time_low_s", "time_high_s") for row in (old, new)]
    se = math.hypot(*(one.se for one in seen if one is not None))
    return math.log(new["time_s"] / old["time_s"]), se


def _report_baseline(name: str, shift: Shift, margin: float, result: Judgement) -> None:
    """A baseline that changed as a whole; where that cannot be told from the machine, that."""
    if shift.machine is None:
        if shift.log > math.log(NOTICEABLE):
            result.unexplained = (
                f"{name}'s own times are {shift.told('than in BASE')}, and the runs have no control that tells a "
                "slower machine from slower code"
            )
        return
    machine = f"the machine, by its control, {math.exp(abs(shift.machine)):.2f}× {_word(shift.machine)}"
    if abs(shift.machine) > math.log(NOTICEABLE):
        result.notes.append(f"{machine} than in BASE; that is taken out of the times")
    text = f"as a whole {shift.told('than the control says')}"
    if shift.surely > margin:
        result.failures.append(_finding("slower", name, name, text, shift))
    elif shift.high < -margin:
        result.improvements.append(_finding("faster", name, name, text, shift))
    elif shift.log > math.log(NOTICEABLE):
        result.unexplained = f"{name} is {text}, but {machine}: too much to tell the one from the other"


def _word(log: float) -> str:
    return "slower" if log >= 0 else "faster"


def _finding(kind: str, method: str, baseline: str, text: str, shift: Shift) -> Finding:
    row = {"config_id": EVERY, "method": method, "baseline": baseline, "status": "ok"}
    what = "ratio" if method != baseline else "time"
    change = Change(what=what, log=shift.log, se=shift.se, freedom=shift.freedom)
    return Finding(kind, CellKey(EVERY, method, baseline), row, text, change)
