"""Two sides that were measured in alternating pairs, judged against each other: pure logic on a duet's rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from ..facts.record import Record
from .change import LEVEL, Change, log_ratio_se, with_q
from .regressions import note_new, outcome_changed
from .result import CellKey, Finding, Judgement, Policy

OF_OLD = 6
"""Pairs of processes in a duet's rows of a version that did not say how many."""

BASE, NEW = "@a", "@b"
"""How the two sides' names of a method end."""


@dataclass(frozen=True, slots=True)
class Sides:
    """What is known of the two sides beside their rows.

    `controls`: methods whose code is the same on both sides, so that a difference between them is the machine's.
    `absent`: methods that BASE does not have, each with the sentence that says why.
    """

    controls: frozenset[str] = frozenset()
    absent: Mapping[str, str] = field(default_factory=dict)


def is_duet(rows: Sequence[Record]) -> bool:
    """Whether the rows are those of a duet: every one is a side's (`explicit@a`, `explicit@b`)."""
    return bool(rows) and all(row["method"].endswith((BASE, NEW)) for row in rows)


def judge_pairs(rows: Sequence[Record], policy: Policy, sides: Sides | None = None) -> Judgement:
    """Side b (NEW) against side a (BASE), cell by cell; see docs/duet.md for the rules."""
    sides = sides or Sides()
    result = Judgement(policy.margin, absent=dict(sides.absent))
    steady: dict[CellKey, Record] = {}
    for key, (old, new) in _cells(rows, result).items():
        result.rows[key] = new
        if key.method in sides.absent:
            note_new(key, new, result)
            continue
        if key.method not in sides.controls:
            result.cells += 1
            # What BASE could not run has nothing to lose: a change that mends it passes.
            result.measured += new["status"] == "ok"
        if not outcome_changed(key, old, new, result):
            steady[key] = new
    if result.cells:
        result.notes += sides.absent.values()
    if policy.speed:
        _judge_speed(steady, policy, sides.controls, result)
    return result


def _cells(rows: Sequence[Record], result: Judgement) -> dict[CellKey, tuple[Record, Record]]:
    """Both rows of each cell; of a cell measured more than once a wrong gradient counts, else the most samples."""
    found: dict[tuple[str, str, str, str], dict[str, Record]] = {}
    for row in rows:
        name, side = row["method"][: -len(NEW)], row["method"][-len(NEW) :]
        unit = (row["config_id"], row.get("run_key", ""), row.get("labels", ""), name)
        found.setdefault(unit, {})[side] = row
    whole = {unit: pair for unit, pair in found.items() if len(pair) == len((BASE, NEW))}
    cells: dict[CellKey, tuple[Record, Record]] = {}
    for unit, pair in sorted(whole.items(), key=lambda item: _weight(item[1][NEW])):
        cells[CellKey(unit[0], unit[-1], f"{unit[-1]}{BASE}")] = (pair[BASE], pair[NEW])
    if len(cells) < len(whole):
        result.notes.append(
            f"{len(whole) - len(cells)} further pairs of cells measured more than once; of each cell a wrong gradient "
            "counts, else the pair with the most samples"
        )
    return {key: cells[key] for key in dict.fromkeys(CellKey(u[0], u[-1], f"{u[-1]}{BASE}") for u in whole)}


def base_cells(rows: Sequence[Record]) -> dict[CellKey, Record]:
    """BASE's rows by the cells that `judge_pairs` judges."""
    old = [(row, row["method"].removesuffix(BASE)) for row in rows if row["method"].endswith(BASE)]
    return {
        CellKey(row["config_id"], name, row["method"]): row for row, name in sorted(old, key=lambda o: _weight(o[0]))
    }


def _weight(row: Record) -> tuple[bool, int]:
    return row.get("accuracy") == "fail", row.get("samples", 0)


def pair_change(new: Record) -> Change | None:
    """How much slower side b is, by the ratio over its pairs of processes; None where it has no interval."""
    ratio = log_ratio_se({"processes": OF_OLD, **new}, "speedup", "speedup_low", "speedup_high")
    return None if ratio is None else Change(what="pair", log=-ratio.value, se=ratio.se, freedom=ratio.freedom)


def _judge_speed(cells: Mapping[CellKey, Record], policy: Policy, controls: frozenset[str], result: Judgement) -> None:
    """One Benjamini–Hochberg correction over all cells that are judged, another over the controls."""
    timed = {key: pair_change(row) for key, row in cells.items() if "time_s" in row}
    margin = math.log1p(policy.margin)
    moved = _moved({k: c for k, c in timed.items() if k.method in controls and c is not None}, margin, result)
    judged = {key: change for key, change in timed.items() if key.method not in controls and change is not None}
    blind = [key for key, change in timed.items() if key.method not in controls and change is None]
    result.asked, result.timed, result.changes = len(judged) + len(blind), len(judged), judged
    text = "its ratio has no interval (it was interrupted): nothing was compared"
    result.advice += [Finding("advisory", key, cells[key], text) for key in blind]
    _resolve(judged, blind, margin, result)
    for (key, change), q in with_q(judged, [c.p_above(margin) for c in judged.values()]):
        if q <= LEVEL and change.low > margin:
            _report(Finding("slower", key, cells[key], str(change), change, q), moved, result)
    for (key, change), q in with_q(judged, [c.p_below(-margin) for c in judged.values()]):
        if q <= LEVEL and change.high < -margin:
            result.improvements.append(Finding("faster", key, cells[key], str(change), change, q))


def _report(finding: Finding, moved: float, result: Judgement) -> None:
    """A slowdown is a failure where all of it is beyond what the controls moved by, and else in doubt."""
    assert finding.change is not None
    if finding.change.low > moved:
        result.failures.append(finding)
        return
    text = f"{finding.text}; what is the same on both sides moved by up to {math.exp(moved):.2f}× as well"
    result.doubtful.append(replace(finding, kind="doubtful", text=text))


def _moved(controls: Mapping[CellKey, Change], margin: float, result: Judgement) -> float:
    """By how much, as a log ratio, controls moved that cannot have: 0 where none is beyond the margin."""
    found = 0.0
    for sign in (1, -1):
        sided = {key: replace(change, log=sign * change.log) for key, change in controls.items()}
        for (_, change), q in with_q(sided, [c.p_above(margin) for c in sided.values()]):
            if q <= LEVEL and change.low > margin:
                found = max(found, change.high)
    if found:
        result.notes.append(
            f"{' and '.join(sorted({key.method for key in controls}))}, the same on both sides, came out up to "
            f"{math.exp(found):.2f}× apart: the machine is at work on something else, and slowdowns below that are not "
            "believed"
        )
    return found


def _resolve(judged: Mapping[CellKey, Change], blind: Sequence[CellKey], margin: float, result: Judgement) -> None:
    """The smallest slowdown that half of the judged cells could have shown, of all methods and of each."""
    shown = {key: change.shows(margin, LEVEL / len(judged)) for key, change in judged.items()}
    shown |= dict.fromkeys(blind, math.inf)
    if not shown:
        return
    result.resolution = math.exp(median(shown.values()))
    for method in dict.fromkeys(key.method for key in shown):
        result.resolutions[method] = math.exp(median(log for key, log in shown.items() if key.method == method))
