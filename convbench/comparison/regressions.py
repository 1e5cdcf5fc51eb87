"""Decides whether a run regressed against an older one: pure logic on rows, nothing is read or printed here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..facts.record import IMPOSSIBLE, VERDICTS, Record
from .result import CellKey, Finding, Judgement, Policy
from .speed import judge_speed


def judge(
    base: Sequence[Record],
    new: Sequence[Record],
    policy: Policy,
    known: tuple[Sequence[Record], Sequence[Record]] | None = None,
) -> Judgement:
    """The new run against the base run, cell by cell; see docs/compare.md for the rules.

    `known`: all rows of BASE and of NEW where these are only some of them: they tell how far processes lie apart.
    """
    result = Judgement(policy.margin)
    old_cells = _cells(base, "BASE", result)
    new_cells = _matched(_cells(new, "NEW", result), old_cells)
    result.rows = new_cells
    common = [key for key in old_cells if key in new_cells]
    result.cells = len(common)
    result.measured = sum(old_cells[key]["status"] == new_cells[key]["status"] == "ok" for key in common)
    for key, row in new_cells.items():
        if key not in old_cells:
            note_new(key, row, result)
    if not common:
        return result
    for key, row in old_cells.items():
        if key not in new_cells:
            result.failures.append(Finding("vanished", key, row, "is in BASE and not in NEW"))
    pairs = {key: (old_cells[key], new_cells[key]) for key in common}
    steady = {key: pair for key, pair in pairs.items() if not outcome_changed(key, *pair, result)}
    if policy.speed:
        judge_speed(steady, known or (base, new), policy, result)
    return result


def _cells(rows: Sequence[Record], run: str, result: Judgement) -> dict[CellKey, Record]:
    """Rows by cell; of a cell measured more than once a wrong gradient counts, else the row with the most samples."""
    cells: dict[CellKey, Record] = {}
    for row in sorted(rows, key=lambda row: (row.get("accuracy") == "fail", row.get("samples", 0))):
        cells[CellKey.of(row)] = row
    if len(cells) < len(rows):
        result.notes.append(
            f"{run} holds {len(rows) - len(cells)} further rows of cells measured more than once; "
            "of each cell a wrong gradient counts, else the row with the most samples"
        )
    return {key: cells[key] for row in rows if (key := CellKey.of(row)) in cells}


def _matched(new: Mapping[CellKey, Record], old: Mapping[CellKey, Record]) -> dict[CellKey, Record]:
    """The new cells, under the old cell's name where a method's only baseline has become another."""
    gone = _by_method(key for key in old if key not in new)
    come = _by_method(key for key in new if key not in old)
    renamed = {come[name][0]: gone[name][0] for name in come if len(come[name]) == 1 and len(gone.get(name, ())) == 1}
    return {renamed.get(key, key): row for key, row in new.items()}


def _by_method(keys: Iterable[CellKey]) -> dict[tuple[str, str], list[CellKey]]:
    found: dict[tuple[str, str], list[CellKey]] = {}
    for key in keys:
        found.setdefault((key.config_id, key.method), []).append(key)
    return found


def note_new(key: CellKey, row: Record, result: Judgement) -> None:
    """A cell that only the new run has; a wrong gradient is a failure there as well."""
    result.fresh.append(row)
    if row.get("accuracy") == "fail":
        result.failures.append(Finding("accuracy", key, row, f"is new, and its accuracy is fail{_reason(row)}"))
    elif row.get("speed") == IMPOSSIBLE:
        result.failures.append(Finding(IMPOSSIBLE, key, row, f"is new, and its time is impossible{_reason(row)}"))


def _reason(row: Record) -> str:
    return f": {row['reason']}" if "reason" in row else ""


def outcome_changed(key: CellKey, old: Record, new: Record, result: Judgement) -> bool:
    """Whether status or accuracy decide the cell, whatever its speed; adds findings to `result`."""
    was, now = old["status"], new["status"]
    before, after = old.get("accuracy"), new.get("accuracy")
    reason = _reason(new)
    if after == "fail" and before != "fail":
        text = f"accuracy was {before or 'not judged'} and is fail{reason}"
        result.failures.append(Finding("accuracy", key, new, text))
        return True
    if new.get("speed") == IMPOSSIBLE:
        if old.get("speed") != IMPOSSIBLE:
            result.failures.append(Finding(IMPOSSIBLE, key, new, f"its time is impossible{reason}"))
        return True
    if was != "ok" and now == "ok":
        result.improvements.append(Finding("better", key, new, f"status was {was} and is ok"))
    elif was == "ok" and now != "ok":
        result.failures.append(Finding("unmeasured", key, new, f"status was ok and is {now}{reason}"))
    elif was != now:
        result.advice.append(Finding("advisory", key, new, f"status was {was} and is {now}"))
    if was != "ok" or now != "ok" or old.get("speed") == IMPOSSIBLE:
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
