"""Which cells became slower or faster: paired ratios where there are any, absolute times for the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from ..facts.record import Record
from .change import LEVEL, Between, Change, Estimate, log_ratio_se, seen_between, seen_in_times, with_q
from .moderation import moderated
from .result import CellKey, Finding, Judgement, Policy
from .whole import NOTICEABLE, UNEVEN, Whole

ENOUGH_TIMES = 10
"""From so many cells on, the times themselves tell how far the machine's speed wanders between runs."""

STEADY, UNEVEN_BEYOND = 0.1, 0.3
"""Of runs of several processes, which have seen a machine at several speeds: where the baseline's time moved by more
than STEADY (as a log ratio), this share of the rest counts as standard deviation of a ratio's change. Of single
processes it is UNEVEN of the whole. By how much ratios of the same code moved is in docs/compare.md."""


def judge_speed(
    pairs: Mapping[CellKey, tuple[Record, Record]],
    known: tuple[Sequence[Record], Sequence[Record]],
    policy: Policy,
    result: Judgement,
) -> None:
    """Paired ratios where there are any, times for the rest; one Benjamini–Hochberg correction over all of them.

    `known`: all rows of BASE and of NEW, which tell how far their processes lie apart.
    """
    changes: dict[CellKey, Change] = {}
    before, after = (_ratios([pair[side] for pair in pairs.values()], rows) for side, rows in enumerate(known))
    blind: list[CellKey] = []
    for key, (old, new) in pairs.items():
        lost = _lost_timing(old, new)
        if lost:
            result.failures.append(Finding("untimed", key, new, lost))
        elif (change := _ratio_change(old, new, before, after, policy)) is not None:
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
    slower = {**_widened(changes, 1), **times}
    faster = {**_widened(changes, -1), **times}
    result.changes = slower
    if changes or blind:
        shown = {key: slower[key].shows(margin, LEVEL / result.timed) for key in changes} | dict.fromkeys(
            blind, math.inf
        )
        result.resolution = math.exp(median(shown.values()))
        for method in dict.fromkeys(key.method for key in shown):
            own_cells = [log for key, log in shown.items() if key.method == method]
            result.resolutions[method] = math.exp(median(own_cells))
    whole = Whole.of({k: p for k, p in pairs.items() if _same_environment(*p)}, changes)
    whole.report(margin, result)
    own = _Own(_own_changes(pairs), whole, margin)
    for (key, change), q in with_q(slower, [c.p_above(margin) for c in slower.values()]):
        if q <= LEVEL and change.low > margin:
            _report(Finding("slower", key, pairs[key][1], str(change), change, q), own, result)
    for (key, change), q in with_q(faster, [c.p_below(-margin) for c in faster.values()]):
        if q <= LEVEL and change.high < -margin:
            _report(Finding("faster", key, pairs[key][1], str(change), change, q), own, result)


@dataclass(frozen=True, slots=True)
class _Own:
    """How the methods' own times changed, outright and against the common change of the baselines', and what changed
    as a whole."""

    changes: Mapping[CellKey, tuple[float, float]]
    whole: Whole
    margin: float

    def baselines(self, finding: Finding) -> str | None:
        """Why a changed ratio is the baseline's doing and not the method's; None where it is not."""
        own, slower = self.changes.get(finding.key), finding.kind == "slower"
        if own is not None and (max(own) <= 0 if slower else min(own) >= 0):
            return f"but its own time is {math.exp(own[0]):.2f}× that of BASE: the baseline's has changed"
        rival = self.whole.faster(finding.key.baseline, self.margin)
        if (
            slower
            and rival is not None
            and finding.change is not None
            and finding.change.low + rival.log <= self.margin
        ):
            return f"but {finding.key.baseline} is, as a whole, {rival.told('than the control says')}"
        return None


def _report(finding: Finding, own: _Own, result: Judgement) -> None:
    """Notes a change, as advice where the baseline's time explains it."""
    slower = finding.kind == "slower"
    if (why := own.baselines(finding)) is not None:
        result.advice.append(replace(finding, kind="advisory", text=f"{finding.text}, {why}"))
    else:
        (result.failures if slower else result.improvements).append(finding)


def _own_changes(pairs: Mapping[CellKey, tuple[Record, Record]]) -> dict[CellKey, tuple[float, float]]:
    """Log change of the time of each cell with a ratio, outright and against the baselines' median change, where both
    runs name the same environment."""
    here = {k: p for k, p in pairs.items() if _same_environment(*p) and all(row.get("time_s") for row in p)}
    found = {key: math.log(new["time_s"] / old["time_s"]) for key, (old, new) in here.items()}
    yardsticks = [change for key, change in found.items() if key.method == key.baseline]
    common = median(yardsticks) if yardsticks else 0.0
    return {k: (c, c - common) for k, c in found.items() if k.method != k.baseline}


def _widened(changes: Mapping[CellKey, Change], side: int) -> dict[CellKey, Change]:
    """The changes with what differs between runs in their errors, method by method."""
    methods: dict[str, list[Change]] = {}
    for key, change in changes.items():
        methods.setdefault(key.method, []).append(change)
    between = {method: seen_between(own, side) for method, own in methods.items()}
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


Ratios = Mapping[CellKey, Estimate]
"""A run's paired ratios, by cell."""


def _ratios(rows: Sequence[Record], known: Sequence[Record]) -> Ratios:
    """The rows' paired ratios; the errors of several processes as all `known` rows tell them, method by method."""
    out = {key: one for own in _ratios_by_method(rows).values() for key, one in own.items()}
    seen = _ratios_by_method([row for row in known if _teaches(row)])
    for method, own in _ratios_by_method([row for row in rows if _teaches(row)]).items():
        out.update(moderated(own, list(seen.get(method, {}).values())))
    return out


def _teaches(row: Record) -> bool:
    """Whether a row's error is Student's over processes and nothing else.

    Of one process it is that of order statistics, and where others disturbed it, or its processes have two speeds,
    other cells know nothing of it.
    """
    return row.get("processes", 1) > 1 and not row.get("disturbed") and row.get("speedup_mode_low") is None


def _ratios_by_method(rows: Sequence[Record]) -> dict[str, dict[CellKey, Estimate]]:
    found: dict[str, dict[CellKey, Estimate]] = {}
    for row in rows:
        if row["method"] != row.get("baseline") and (ratio := _ratio(row)) is not None:
            found.setdefault(row["method"], {})[CellKey.of(row)] = ratio
    return found


def _ratio_change(old: Record, new: Record, before: Ratios, after: Ratios, policy: Policy) -> Change | None:
    """The slowdown of a cell by its paired ratios, log(speedup in BASE / speedup in NEW); None where one lacks."""
    was, now = before.get(CellKey.of(old)), after.get(CellKey.of(new))
    if was is None or now is None:
        return None
    between = Between(math.hypot(policy.beyond(old), policy.beyond(new)))
    change = Change.of("ratio", was.value - now.value, was, now).widened(between)
    if not _same_environment(old, new):
        return change
    baseline_s = [row["time_s"] * row["speedup"] for row in (old, new)]
    moved = abs(math.log(baseline_s[1] / baseline_s[0]))
    several = all(row.get("processes", 1) > 1 for row in (old, new))
    return change.widened(Between(UNEVEN_BEYOND * max(0.0, moved - STEADY) if several else UNEVEN * moved))


def _time_changes(pairs: Mapping[CellKey, tuple[Record, Record]], result: Judgement) -> dict[CellKey, Change]:
    """Changes of absolute times, for cells without a paired ratio (the baseline's own among them).

    Between two runs a machine's speed wanders, so that the cells' common change is taken out and the spread
    of the rest, robustly estimated, counts as noise (a t distribution with 3 degrees of freedom: it has
    heavy tails). A cell must have changed both outright and against the common change. Only cells measured
    in the same environment are judged; of the others, slowdowns beyond NOTICEABLE become advice.
    """
    found: dict[CellKey, Change] = {}
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
    result.drifted = _drifted({k: c for k, c in found.items() if _elsewhere(*pairs[k])})
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


def _elsewhere(old: Record, new: Record) -> bool:
    """Whether two rows are known to be of different environments."""
    return "environment_id" in old and "environment_id" in new and not _same_environment(old, new)


def _drifted(changes: Mapping[CellKey, Change]) -> int:
    """How many cells of another environment are noticeably slower, where most are and none is faster; else 0.

    Their times cannot be judged one by one, but a baseline that is slower everywhere must not pass for unchanged.
    """
    slower = sum(change.log > math.log(NOTICEABLE) for change in changes.values())
    faster = any(change.high < -math.log(NOTICEABLE) for change in changes.values())
    return slower if not faster and 2 * slower > len(changes) else 0
