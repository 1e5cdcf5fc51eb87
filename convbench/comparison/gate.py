"""Decides whether a run regressed against an older one: pure logic on rows, nothing is read or printed here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import NamedTuple

from scipy.stats import false_discovery_control

from ..facts.exits import Exit
from ..facts.record import VERDICTS, Record
from .change import Between, Change, Estimate, log_ratio_se, seen_between, seen_in_times


class Key(NamedTuple):
    """Names a cell in every run. A method has a cell for every baseline that it was measured against."""

    config_id: str
    method: str
    baseline: str

    @classmethod
    def of(cls, row: Record) -> Key:
        return cls(row["config_id"], row["method"], row.get("baseline", ""))


LEVEL = 0.05
"""Share of false alarms among the slowdowns that are reported (the q-value's limit)."""

COARSE = 1.25
"""Where half of a method's cells could not have shown a slowdown of this size beyond the margin, there was no
comparison worth the name."""

NOTICEABLE = 1.10
"""From this factor on, a change that decides nothing is still worth a line."""

UNEVEN = 0.2
"""A machine that runs at another speed does not slow all code alike. Share of the change of the baseline's own time
(as a log ratio, in the same environment) that counts as standard deviation of a ratio. Between twelve runs of the
same code, where that time moved by 0.4 to 0.6, ratios moved by 0.072 in the median; by 0.2 to 0.4: 0.020; by less
than 0.01: 0.008 (docs/compare.md)."""

ENOUGH_TIMES = 10
"""From so many cells on, the times themselves tell how far the machine's speed wanders between runs."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`margin`: slowdowns up to this are nobody's business. `spread`: standard deviation of a log ratio between two
    processes that run the same code (memory layout and the like; docs/compare.md has the measurement), the
    least that is assumed where the runs themselves show less. `speed`: False judges accuracy and status alone.
    """

    margin: float = 0.03
    spread: float = 0.01
    speed: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One cell that is worth a line. `kind` is one of KINDS, `text` says what happened, `change` by how much."""

    kind: str
    key: Key
    row: Record
    text: str
    change: Change | None = None
    q: float | None = None


KINDS = (
    *("vanished", "unmeasured", "accuracy", "untimed", "slower", "doubtful"),
    *("advisory", "faster", "better", "cleared"),
)


@dataclass(slots=True)
class GateResult:
    """What comparing two runs gave. `failures` make it a regression; `advice` does not.

    `cells`: common to both runs; `measured`: those that are ok in both; `asked`: those of them that BASE has a time
    of; `timed`: those judged by speed. `resolution`: the smallest slowdown, as a factor, that half of the cells with
    paired ratios could have shown, infinite where half of them have no interval; `resolutions`: the same by method.
    `changes`: how much slower each of the judged cells is. `doubtful`: suspects that a second measurement could neither
    confirm nor clear. `fresh`: rows of cells that only the new run has. `rows`: the new run's rows by cell.
    """

    margin: float
    cells: int = 0
    measured: int = 0
    asked: int = 0
    timed: int = 0
    resolution: float | None = None
    resolutions: dict[str, float] = field(default_factory=dict)
    changes: dict[Key, Change] = field(default_factory=dict)
    doubtful: list[Finding] = field(default_factory=list)
    failures: list[Finding] = field(default_factory=list)
    advice: list[Finding] = field(default_factory=list)
    improvements: list[Finding] = field(default_factory=list)
    fresh: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: dict[Key, Record] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """regression; nothing (no cell that is ok in both runs, or times of which none could be compared); untrusted
        (too coarse, or a suspect is left in doubt); or good."""
        if self.cells and self.failures:
            return "regression"
        if self.coarse or self.doubtful:
            return "untrusted"
        return "good" if self.measured and (self.timed or not self.asked) else "nothing"

    @property
    def coarse(self) -> list[str]:
        """Methods of which half of the cells could not have shown a slowdown that anybody would care about."""
        return [method for method, seen in self.resolutions.items() if seen > COARSE * (1 + self.margin)]

    @property
    def exit_code(self) -> Exit:
        codes = {"regression": Exit.WRONG, "nothing": Exit.UNTRUSTED, "untrusted": Exit.UNTRUSTED, "good": Exit.GOOD}
        return codes[self.verdict]


def judge(base: Sequence[Record], new: Sequence[Record], policy: Policy) -> GateResult:
    """The new run against the base run, cell by cell; see docs/compare.md for the rules."""
    result = GateResult(policy.margin)
    old_cells = _cells(base, "BASE", result)
    new_cells = _matched(_cells(new, "NEW", result), old_cells)
    result.rows = new_cells
    common = [key for key in old_cells if key in new_cells]
    result.cells = len(common)
    result.measured = sum(old_cells[key]["status"] == new_cells[key]["status"] == "ok" for key in common)
    for key, row in new_cells.items():
        if key not in old_cells:
            _note_new(key, row, result)
    if not common:
        return result
    for key, row in old_cells.items():
        if key not in new_cells:
            result.failures.append(Finding("vanished", key, row, "is in BASE and not in NEW"))
    pairs = {key: (old_cells[key], new_cells[key]) for key in common}
    steady = {key: pair for key, pair in pairs.items() if not _outcome_changed(key, *pair, result)}
    if policy.speed:
        _judge_speed(steady, policy, result)
    return result


def _cells(rows: Sequence[Record], run: str, result: GateResult) -> dict[Key, Record]:
    """Rows by cell; of a cell measured more than once a wrong gradient counts, else the row with the most samples."""
    cells: dict[Key, Record] = {}
    for row in sorted(rows, key=lambda row: (row.get("accuracy") == "fail", row.get("samples", 0))):
        cells[Key.of(row)] = row
    if len(cells) < len(rows):
        result.notes.append(
            f"{run} holds {len(rows) - len(cells)} further rows of cells measured more than once; "
            "of each cell a wrong gradient counts, else the row with the most samples"
        )
    return {key: cells[key] for row in rows if (key := Key.of(row)) in cells}


def _matched(new: Mapping[Key, Record], old: Mapping[Key, Record]) -> dict[Key, Record]:
    """The new cells, under the old cell's name where a method's only baseline has become another."""
    gone = _by_method(key for key in old if key not in new)
    come = _by_method(key for key in new if key not in old)
    renamed = {come[name][0]: gone[name][0] for name in come if len(come[name]) == 1 and len(gone.get(name, ())) == 1}
    return {renamed.get(key, key): row for key, row in new.items()}


def _by_method(keys: Iterable[Key]) -> dict[tuple[str, str], list[Key]]:
    found: dict[tuple[str, str], list[Key]] = {}
    for key in keys:
        found.setdefault((key.config_id, key.method), []).append(key)
    return found


def _note_new(key: Key, row: Record, result: GateResult) -> None:
    """A cell that only the new run has; a wrong gradient is a failure there as well."""
    result.fresh.append(row)
    if row.get("accuracy") == "fail":
        result.failures.append(Finding("accuracy", key, row, f"is new, and its accuracy is fail{_reason(row)}"))


def _reason(row: Record) -> str:
    return f": {row['reason']}" if "reason" in row else ""


def _outcome_changed(key: Key, old: Record, new: Record, result: GateResult) -> bool:
    """Whether status or accuracy settle the cell, so that nobody asks for its speed; adds findings to `result`."""
    was, now = old["status"], new["status"]
    before, after = old.get("accuracy"), new.get("accuracy")
    reason = _reason(new)
    if after == "fail" and before != "fail":
        text = f"accuracy was {before or 'not judged'} and is fail{reason}"
        result.failures.append(Finding("accuracy", key, new, text))
        return True
    if was != "ok" and now == "ok":
        result.improvements.append(Finding("better", key, new, f"status was {was} and is ok"))
    elif was == "ok" and now != "ok":
        result.failures.append(Finding("unmeasured", key, new, f"status was ok and is {now}{reason}"))
    elif was != now:
        result.advice.append(Finding("advisory", key, new, f"status was {was} and is {now}"))
    if was != "ok" or now != "ok":
        return True
    if before == after:
        return before == "fail"
    if after is None or (before is not None and VERDICTS.index(after) > VERDICTS.index(before)):
        result.failures.append(
            Finding("accuracy", key, new, f"accuracy was {before} and is {after or 'not judged'}{reason}")
        )
        return True
    result.improvements.append(Finding("better", key, new, f"accuracy was {before or 'not judged'} and is {after}"))
    return False


def _judge_speed(pairs: Mapping[Key, tuple[Record, Record]], policy: Policy, result: GateResult) -> None:
    """Paired ratios where there are any, times for the rest; one Benjamini–Hochberg correction over all of them."""
    changes: dict[Key, Change] = {}
    blind: list[Key] = []
    for key, (old, new) in pairs.items():
        lost = _lost_timing(old, new)
        if lost:
            result.failures.append(Finding("untimed", key, new, lost))
        elif (change := ratio_change(old, new)) is not None:
            changes[key] = change
        elif "speedup" in old and key.method != key.baseline:
            blind.append(key)
            run = "BASE" if _ratio(old) is None else "NEW"
            text = f"its speedup has no interval in {run} (too few pairs fitted into the time): nothing was compared"
            result.advice.append(Finding("advisory", key, new, text))
    times = _time_changes({k: p for k, p in pairs.items() if k not in changes and k not in blind}, result)
    result.asked = sum("time_s" in old for old, _ in pairs.values())
    result.timed = len(changes) + len(times)
    margin = math.log1p(policy.margin)
    slower = {**_widened(changes, 1, policy), **times}
    faster = {**_widened(changes, -1, policy), **times}
    result.changes = slower
    if changes or blind:
        shown = {key: slower[key].shows(margin, LEVEL / result.timed) for key in changes} | dict.fromkeys(
            blind, math.inf
        )
        result.resolution = math.exp(median(shown.values()))
        for method in dict.fromkeys(key.method for key in shown):
            own_cells = [log for key, log in shown.items() if key.method == method]
            result.resolutions[method] = math.exp(median(own_cells))
    own = _own_changes(pairs)
    for (key, change), q in _with_q(slower, [c.p_above(margin) for c in slower.values()]):
        if q <= LEVEL and change.low > margin:
            _report(Finding("slower", key, pairs[key][1], str(change), change, q), own.get(key), result)
    for (key, change), q in _with_q(faster, [c.p_below(-margin) for c in faster.values()]):
        if q <= LEVEL and change.high < -margin:
            _report(Finding("faster", key, pairs[key][1], str(change), change, q), own.get(key), result)


def _report(finding: Finding, own: tuple[float, float] | None, result: GateResult) -> None:
    """Notes a change, as advice where the method's own time went the other way: the baseline's has changed then.

    `own` is the change of that time, outright and against the common change of the baselines' times.
    """
    slower = finding.kind == "slower"
    if own is not None and (max(own) <= 0 if slower else min(own) >= 0):
        text = f"{finding.text}, but its own time is {math.exp(own[0]):.2f}× that of BASE: the baseline's has changed"
        result.advice.append(replace(finding, kind="advisory", text=text))
    else:
        (result.failures if slower else result.improvements).append(finding)


def _own_changes(pairs: Mapping[Key, tuple[Record, Record]]) -> dict[Key, tuple[float, float]]:
    """Log change of the time of each cell with a ratio, outright and against the baselines' median change, where both
    runs name the same environment."""
    here = {k: p for k, p in pairs.items() if _same_environment(*p) and all(row.get("time_s") for row in p)}
    found = {key: math.log(new["time_s"] / old["time_s"]) for key, (old, new) in here.items()}
    yardsticks = [change for key, change in found.items() if key.method == key.baseline]
    common = median(yardsticks) if yardsticks else 0.0
    return {k: (c, c - common) for k, c in found.items() if k.method != k.baseline}


def _with_q(changes: Mapping[Key, Change], p_values: Sequence[float]) -> Iterator[tuple[tuple[Key, Change], float]]:
    """Each change with its Benjamini–Hochberg q-value."""
    return zip(changes.items(), map(float, false_discovery_control(p_values)) if p_values else (), strict=True)


def _widened(changes: Mapping[Key, Change], side: int, policy: Policy) -> dict[Key, Change]:
    """The changes with what differs between runs in their errors, method by method."""
    least = math.sqrt(2) * policy.spread
    methods: dict[str, list[Change]] = {}
    for key, change in changes.items():
        methods.setdefault(key.method, []).append(change)
    between = {method: seen_between(own, side, least) for method, own in methods.items()}
    return {key: change.widened(between[key.method]) for key, change in changes.items()}


def _lost_timing(old: Record, new: Record) -> str | None:
    """Why a cell that BASE timed cannot be judged in NEW; None if it can be or BASE did not time it."""
    if "time_s" in old and "time_s" not in new:
        return "was timed in BASE and is not in NEW (measure=none?); --accuracy-only compares without times"
    if "speedup" in old and "speedup" not in new:
        return f"had a ratio to baseline={old.get('baseline')} in BASE and has none in NEW"
    if "speedup" in old and old.get("baseline") != new.get("baseline"):
        return f"was measured against baseline={old.get('baseline')} and now against {new.get('baseline')}"
    return None


def _ratio(row: Record) -> Estimate | None:
    return log_ratio_se(row, "speedup", "speedup_low", "speedup_high")


def ratio_change(old: Record, new: Record) -> Change | None:
    """The slowdown of a cell by its paired ratios, log(speedup in BASE / speedup in NEW); None where one lacks."""
    if old["method"] == old.get("baseline"):
        return None
    was, now = _ratio(old), _ratio(new)
    if was is None or now is None:
        return None
    change = Change.of("ratio", was.value - now.value, was, now)
    if not _same_environment(old, new):
        return change
    baseline_s = [row["time_s"] * row["speedup"] for row in (old, new)]
    return change.widened(Between(UNEVEN * abs(math.log(baseline_s[1] / baseline_s[0]))))


def _time_changes(pairs: Mapping[Key, tuple[Record, Record]], result: GateResult) -> dict[Key, Change]:
    """Changes of absolute times, for cells without a paired ratio (the baseline's own among them).

    Between two runs a machine's speed wanders, so that the cells' common change is taken out and the spread
    of the rest, robustly estimated, counts as noise (a t distribution with 3 degrees of freedom: it has
    heavy tails). A cell must have changed both outright and against the common change. Only cells measured
    in the same environment are judged; of the others, slowdowns beyond NOTICEABLE become advice.
    """
    found: dict[Key, Change] = {}
    for key, (old, new) in pairs.items():
        was, now = (log_ratio_se(row, "time_s", "time_low_s", "time_high_s") for row in (old, new))
        if was is not None and now is not None:
            found[key] = Change.of("time", now.value - was.value, was, now)
    here = {k: c for k, c in found.items() if _same_environment(*pairs[k])}
    judged = here if len(here) >= ENOUGH_TIMES else {}
    for key, change in found.items():
        if key not in judged and change.low > math.log(NOTICEABLE):
            text = f"{change}; advisory, because times of different runs are not paired"
            result.advice.append(Finding("advisory", key, pairs[key][1], text, change))
    if not judged:
        return {}
    common = median(change.log for change in judged.values())
    between = seen_in_times([change.log - common for change in judged.values()])
    if abs(common) > math.log(NOTICEABLE):
        result.notes.append(
            f"times without a paired ratio are {math.exp(common):.2f}× those of BASE in the median: "
            "the machine's clock or load has changed"
        )
    return {key: change.against(common).widened(between) for key, change in judged.items()}


def _same_environment(old: Record, new: Record) -> bool:
    return "environment_id" in old and old["environment_id"] == new.get("environment_id")
