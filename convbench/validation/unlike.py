"""What `validate` proves beyond one short kernel in one process: unlike calls, fresh processes, a core of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from ..facts.statistics import Interval, processes_interval
from .evidence import COUNTED, UNCOVERED, Planted, Proof, Try, percent, plausible, signed

TOUCHED = 0.1
"""Share by which what empties the caches may lengthen a call's time, or seem to: it is measured a second later."""

OWN_SHARE = 0.6
"""CPU time over wall time inside timed regions at least. Where others have the core for longer, calls that are longer
than a time slice take as long as the scheduler likes, whatever their ratios do."""


UNEQUAL, ACROSS, OWN_CORE = "calls of unequal length", "intervals over processes", "a core of its own"
BESIDE = "beside what empties the caches"


def proofs(tries: Sequence[Try]) -> list[Proof]:
    """What can be told of unlike calls, of several processes and of the core, where that was tried."""
    planted = [t.planted for t in tries if t.planted]
    shares = [t.own_share for t in tries if t.own_share is not None]
    beside = [p.beside_s / p.call_s for p in planted if p.beside_s is not None]
    out = [_unequal_hold(planted)] if planted else []
    if any(t.process for t in tries):
        out.append(_processes_hold(tries))
    if beside:
        seen = f"{signed(median(beside) - 1)} in the median of {len(beside)}"
        holds = abs(math.log(median(beside))) <= math.log1p(TOUCHED)
        out.append(Proof(BESIDE, f"times within {percent(TOUCHED)} of those without it", seen, holds))
    if shares:
        seen = f"{percent(median(shares))} in the median, at least {percent(min(shares))}"
        expected = f"CPU time is at least {percent(OWN_SHARE)} of wall time"
        out.append(Proof(OWN_CORE, expected, seen, median(shares) >= OWN_SHARE))
    return out


def _unequal_hold(planted: Sequence[Planted]) -> Proof:
    missed = sum(not p.holds for p in planted)
    disturbed = sum(p.disturbed for p in planted)
    counts = " and ".join(map(str, sorted({p.k for p in planted})))
    return Proof(
        UNEQUAL,
        f"of {counts} calls against one at least {percent(1 - UNCOVERED)} hold the counted ratio",
        f"{len(planted) - missed} of {len(planted)} do, {disturbed} disturbed",
        plausible(missed, len(planted), UNCOVERED),
    )


def _processes_hold(tries: Sequence[Try]) -> Proof:
    """Whether intervals of fresh processes, by one try of each, hold the truth; as measure=default makes them."""
    expected = f"at least {percent(1 - UNCOVERED)} cover the true ratio"
    processes = {t.process for t in tries}
    found = [covers for group in _groups(tries) for covers in _over_processes(group)]
    if not found:
        return Proof(ACROSS, expected, "no trial was made in every process", None)
    missed = found.count(False)
    seen = f"{len(found) - missed} of {len(found)} do, of {len(processes)} processes each"
    return Proof(ACROSS, expected, seen, plausible(missed, len(found), UNCOVERED))


def _groups(tries: Sequence[Try]) -> list[list[Try]]:
    """The tries that were made in every process, where there are several."""
    processes = {t.process for t in tries}
    groups: dict[int, list[Try]] = {}
    for one in tries:
        groups.setdefault(one.number, []).append(one)
    return [group for group in groups.values() if len(group) == len(processes) > 1]


def over_processes(tries: Sequence[Try], which: int) -> list[Interval]:
    """Of each try that was made in all of several processes, the interval over them: of the method against itself (0)
    or against itself slowed down (1)."""
    logs = [processes_interval([math.log(t.figures[which]) for t in group]) for group in _groups(tries)]
    return [Interval(*(None if end is None else math.exp(end) for end in one)) for one in logs]  # type: ignore[arg-type]


def _over_processes(group: Sequence[Try]) -> list[bool]:
    """Of the same try in every process: whether each known ratio is in the interval over them."""
    known = [([t.figures[0] for t in group], 0.0), ([t.figures[1] / t.truth for t in group], 0.0)]
    if all(t.planted for t in group):
        known.append(([t.planted.figure * t.planted.k for t in group if t.planted], COUNTED))
    held = []
    for ratios, tolerated in known:
        found = processes_interval([math.log(r) for r in ratios])
        held.append(found.low is None or found.high is None or found.low - tolerated <= 0 <= found.high + tolerated)
    return held
