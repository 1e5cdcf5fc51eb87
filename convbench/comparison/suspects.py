"""What a second measurement of the suspects says: pure logic on rows, like the first judgement's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..facts.record import FAILED, Record
from .change import processes_differ
from .regressions import judge
from .result import CellKey, Finding, Judgement, Policy
from .whole import EVERY


def suspects(result: Judgement) -> list[Finding]:
    """The failures that a second measurement could clear: slowdowns, and configurations that died or were late."""
    cells = [f for f in result.failures if f.key.config_id != EVERY]
    return [f for f in cells if f.kind == "slower" or (f.kind == "unmeasured" and f.row["status"] in FAILED)]


def confirm(result: Judgement, base: Sequence[Record], again: Sequence[Record], policy: Policy) -> Judgement:
    """`result` with every suspect confirmed, cleared or left in doubt by the rows measured `again`.

    A suspect stands if its new row, judged against BASE among the suspects alone, fails; one that was not measured
    again, or in another environment than before, stands as well. It is cleared if the new interval excludes the first
    slowdown; where it holds that too, it is doubtful. BASE may have seen a single process, so that what the fresh
    ones differ by counts as its error.
    """
    doubted = {finding.key: finding for finding in suspects(result)}
    fresh = {CellKey.of(row): row for row in again}
    usable = {k: r for k, r in fresh.items() if k in doubted and _comparable(result.rows[k], r)}
    second = _judged_again(result, base, usable, policy)
    standing = {finding.key: finding for finding in second.failures}
    out = replace(result, failures=[], advice=list(result.advice), notes=list(result.notes), doubtful=[])
    stand = 0
    for finding in result.failures:
        if finding.key not in usable:
            out.failures.append(finding)
        elif finding.key in standing:
            stand += 1
            text = f"{finding.text}; measured again: {standing[finding.key].text}"
            out.failures.append(replace(finding, text=text))
        elif finding.kind == "slower" and not _excluded(finding, second):
            text = f"{finding.text}; measured again, but not closely enough to tell"
            out.doubtful.append(replace(finding, kind="doubtful", text=text))
        else:
            out.advice.append(replace(finding, kind="cleared", text=f"{finding.text}; not so when measured again"))
    doubtful = len(out.doubtful)
    outcome = f"{stand} stand, {len(usable) - stand - doubtful} do not" + (f", {doubtful} in doubt" if doubtful else "")
    out.notes.append(f"measured again in fresh processes: {len(usable)} of {len(doubted)} suspects; {outcome}")
    return out


def _judged_again(
    result: Judgement, base: Sequence[Record], usable: Mapping[CellKey, Record], policy: Policy
) -> Judgement:
    """The suspects alone, by their ratios; by their times among all the others, which tell how far times wander."""
    old = [processes_differ(row, usable[key]) for row in base if (key := CellKey.of(row)) in usable]
    second = judge(old, list(usable.values()), policy, (base, list(usable.values())))
    whole = judge(base, [usable.get(key, row) for key, row in result.rows.items()], policy)
    times = {key: change for key, change in whole.changes.items() if key in usable and change.what == "time"}
    second.changes |= times
    second.failures += [finding for finding in whole.failures if finding.key in times and finding.kind == "slower"]
    return second


def _excluded(finding: Finding, second: Judgement) -> bool:
    """Whether the second measurement's interval lies below the first slowdown."""
    change = second.changes.get(finding.key)
    return finding.change is not None and change is not None and change.high < finding.change.log


def _comparable(first: Record, again: Record) -> bool:
    """A row of a process that died may not know its environment."""
    return first.get("environment_id", again.get("environment_id")) == again.get("environment_id")
