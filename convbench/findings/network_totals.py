"""What a network's layers take together: by each method, and by the best right method of each layer.

A list of cases says how often each of its lines occurs (its label `count`), so that Σ count · time is what the whole
network takes of what was measured. A layer that a method does not compute, or gets wrong, takes the baseline's time.

Intervals are made of the lines' own 95% intervals, which are independent of each other, by squares of their half-widths
(MOVER: Zou and Donner, "Construction of confidence limits about effect measures", 2008). Ratios come from the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..facts.record import Record, is_wrong

BEST = "best of each layer"
"""What the choice of a method for every line is called among the methods."""


class Estimate(NamedTuple):
    """A value with the ends of its 95% interval, which are None where they are unknown."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Line:
    """One line of the list: its `name`, how many layers it stands for, and the rows of its methods (`led` figures)."""

    name: str
    wrt: str
    count: int
    rows: dict[str, Record]


@dataclass(frozen=True)
class MethodTotal:
    """`time` in seconds, `speedup` against the baseline. `own` lines are computed by the method, `wrong` ones and the
    `others` (not covered, failed) by the baseline."""

    method: str
    time: Estimate
    speedup: Estimate
    own: int
    wrong: int
    others: int


@dataclass(frozen=True)
class Switch:
    """A line for which another method is faster than the baseline: seconds that it saves in the whole network."""

    line: Line
    method: str
    speedup: Estimate
    gain_s: float


@dataclass(frozen=True)
class Total:
    """One network under one setting. `left_out`: lines for which the baseline has no time, which count nowhere.

    `methods`: the baseline first. `best`: for every line the method that is faster than the baseline by the verdict, of
    several the one with the highest lower end of its interval, else the baseline; `switches` are those, by their gain.
    """

    network: str
    setting: tuple[tuple[str, Any], ...]
    baseline: str
    lines: tuple[Line, ...]
    left_out: int
    methods: tuple[MethodTotal, ...]
    best: MethodTotal
    switches: tuple[Switch, ...]

    @property
    def layers(self) -> int:
        return sum(line.count for line in self.lines)

    @property
    def wrt(self) -> tuple[str, ...]:
        """The gradients that are in it, as the lines name them."""
        return tuple(dict.fromkeys(line.wrt for line in self.lines))


def total_of(network: str, setting: Sequence[tuple[str, Any]], baseline: str, lines: Iterable[Line]) -> Total | None:
    """The totals of some lines; None where the baseline was timed for none of them."""
    lines = tuple(lines)
    timed = tuple(line for line in lines if usable(line.rows.get(baseline)))
    if not timed:
        return None
    names = dict.fromkeys(method for line in timed for method in line.rows if method != baseline)
    switches = [switch for line in timed if (switch := _best(line, baseline)) is not None]
    chosen = {id(switch.line): switch.method for switch in switches}
    best = _method_total(BEST, timed, baseline, [chosen.get(id(line)) for line in timed])
    return Total(
        network=network,
        setting=tuple(setting),
        baseline=baseline,
        lines=timed,
        left_out=len(lines) - len(timed),
        methods=tuple(
            _method_total(name, timed, baseline, [name if usable(line.rows.get(name)) else None for line in timed])
            for name in (baseline, *names)
        ),
        best=_cautious(best, timed, baseline, chosen),
        switches=tuple(sorted(switches, key=lambda switch: -switch.gain_s)),
    )


def usable(row: Record | None) -> bool:
    """Whether a method may stand for a line: it is right there, and was timed."""
    if row is None or row.get("status") != "ok" or is_wrong(row):
        return False
    return row.get("time_s") is not None and row.get("accuracy") is not None


def _best(line: Line, baseline: str) -> Switch | None:
    def low(method: str) -> float:
        return float(line.rows[method].get("speedup_low") or 0.0)

    faster = [m for m, row in line.rows.items() if m != baseline and usable(row) and row.get("speed") == "faster"]
    if not faster:
        return None
    method = max(faster, key=low)
    row = line.rows[method]
    gain = line.count * (line.rows[baseline]["time_s"] - row["time_s"])
    return Switch(line, method, _ratio(row), gain)


def _ratio(row: Record) -> Estimate:
    return Estimate(row["speedup"], row.get("speedup_low"), row.get("speedup_high"))


def _method_total(name: str, lines: Sequence[Line], baseline: str, by: Sequence[str | None]) -> MethodTotal:
    """`by`: the method of each line, None for the baseline in its place."""
    own = sum(method is not None for method in by)
    wrong = sum(method is None and is_wrong(line.rows.get(name, {})) for line, method in zip(lines, by, strict=True))
    return MethodTotal(
        method=name,
        time=_summed([(line.count, line.rows[method or baseline]) for line, method in zip(lines, by, strict=True)]),
        speedup=_speedup(lines, baseline, by),
        own=own,
        wrong=0 if name == BEST else wrong,
        others=len(lines) - own - wrong,
    )


def _summed(parts: Sequence[tuple[int, Record]]) -> Estimate:
    """Σ count · time."""
    value = sum(count * row["time_s"] for count, row in parts)
    if any(row.get("time_low_s") is None or row.get("time_high_s") is None for _, row in parts):
        return Estimate(value, None, None)
    below = math.hypot(*(count * (row["time_s"] - row["time_low_s"]) for count, row in parts))
    above = math.hypot(*(count * (row["time_high_s"] - row["time_s"]) for count, row in parts))
    return Estimate(value, value - below, value + above)


def _speedup(lines: Sequence[Line], baseline: str, by: Sequence[str | None]) -> Estimate:
    """Σ cB / Σ cB/s, where B is the baseline's time and s the speedup in pairs, 1 where the baseline stands in.

    Its reciprocal is a mean of 1/s, weighted by the lines' shares of the baseline's time: the half-width of each 1/s
    counts by the share, that of B by how far the line is from the mean.
    """
    if all(method in (None, baseline) for method in by):
        return Estimate(1.0, 1.0, 1.0)
    whole = sum(line.count * line.rows[baseline]["time_s"] for line in lines)
    parts: list[tuple[float, Estimate, Record]] = []
    for line, method in zip(lines, by, strict=True):
        row = line.rows[baseline]
        share = line.count * row["time_s"] / whole
        switched = method is not None and method != baseline
        parts.append((share, _ratio(line.rows[method]) if switched and method else Estimate(1.0, 1.0, 1.0), row))
    mean = sum(share / ratio.value for share, ratio, _ in parts)
    below, above = [], []
    for share, (value, low, high), row in parts:
        if low is None or high is None or row.get("time_low_s") is None:
            return Estimate(1 / mean, None, None)
        time = row["time_s"]
        weight = share * abs(1 / value - mean) * max(time - row["time_low_s"], row["time_high_s"] - time) / time
        below += [share * (1 / value - 1 / high), weight]
        above += [share * (1 / low - 1 / value), weight]
    return Estimate(1 / mean, 1 / (mean + math.hypot(*above)), 1 / max(mean - math.hypot(*below), 1e-12))


def _cautious(best: MethodTotal, lines: Sequence[Line], baseline: str, chosen: dict[int, str]) -> MethodTotal:
    """The best with the lower end of its speedup where every chosen method is at its own lower end at once.

    Whoever chooses by a measurement favours what was measured too fast, in every line again, and such errors do not
    cancel out.
    """
    whole = sum(line.count * line.rows[baseline]["time_s"] for line in lines)
    slow = 0.0
    for line in lines:
        method, time = chosen.get(id(line)), line.rows[baseline]["time_s"]
        low = 1.0 if method is None else line.rows[method].get("speedup_low")
        if low is None:
            return best
        slow += line.count * time / low
    value, low, high = best.speedup
    least = whole / slow if low is None else min(low, whole / slow)
    return MethodTotal(best.method, best.time, Estimate(value, least, high), best.own, 0, best.others)
