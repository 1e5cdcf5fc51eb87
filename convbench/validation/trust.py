"""Whether timings from a machine can be trusted: what many tries at a known answer say, in figures and a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from ..facts.statistics import Interval, quantile, speed_verdict
from . import unlike
from .evidence import AGREEMENT, UNCOVERED, Proof, Try, covers, percent, plausible, signed

FALSE_ALARMS, MISSED = 0.05, 0.05
"""Allowed rates: intervals of a method against itself that exclude 1, and injected slowdowns not called slower."""

FEWEST_TRIES = 10
"""With fewer, a slowdown that is missed in every third try would still pass the binomial test, so nothing is proved."""

RIVAL = "torch.utils.benchmark"


@dataclass(frozen=True, slots=True)
class Scatter:
    """|log ratio| of a method against itself over all tries, and the wall time of one try: how far off a timer is."""

    timer: str
    median: float
    p90: float
    largest: float
    pair_s: float


@dataclass(slots=True)
class Trust:
    """What the tries say. `resolution` is the half-width, as a share, that nine in ten intervals of a method against
    itself stay within, over so many `processes`; `within` is that of one process's pairs."""

    proofs: list[Proof] = field(default_factory=list)
    scatter: list[Scatter] = field(default_factory=list)
    resolution: float = math.nan
    finds_from: float = math.nan
    processes: int = 1
    within: float = math.nan
    tries: int = 0
    timed_share: float = math.nan

    @property
    def trusted(self) -> bool:
        return self.tries >= FEWEST_TRIES and all(proof.holds is not False for proof in self.proofs)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "trusted": self.trusted, "sentence": sentence(self)}


def judge(tries: Sequence[Try], margin: float, further: Sequence[Proof] = ()) -> Trust:
    """Judges at least one try. `further` are proofs that do not follow from tries, such as another timer's."""
    out = Trust(tries=len(tries), timed_share=median([t.timed_share for t in tries]))
    out.proofs = [
        _same_is_same(tries, margin),
        _slowdown_is_found(tries, margin),
        _interval_covers(tries),
        *unlike.proofs(tries),
        # Each timer's quietest try: whatever else ran, the shortest median is the least disturbed one. Of the Timer's
        # two goes at each one counts, since the smallest of twice as many is smaller by itself.
        timer_agrees(RIVAL, min(t.own_s for t in tries), min(t.rival_s[0] for t in tries)),
        *further,
    ]
    out.scatter = [
        _scatter("convbench, paired", [t.same.estimate for t in tries], median([t.pair_s for t in tries])),
        _scatter(
            "torch.utils.benchmark",
            [t.rival_s[0] / t.rival_s[1] for t in tries],
            median([t.rival_pair_s for t in tries]),
        ),
    ]
    out.within = out.resolution = quantile([half_width(t.same) for t in tries], 0.9)
    if over_processes := [half_width(same) for same in unlike.over_processes(tries, 0)]:
        out.resolution, out.processes = quantile(over_processes, 0.9), len({t.process for t in tries})
    out.finds_from = finds_from(out.resolution, margin)
    return out


def finds_from(resolution: float, margin: float) -> float:
    """The smallest slowdown that intervals of this half-width show: seen from their far end it is beyond the margin."""
    return (1 + margin) * math.exp(2 * math.log1p(resolution)) - 1 if math.isfinite(resolution) else math.inf


def half_width(interval: Interval) -> float:
    """(high / low)^½ − 1; infinite where the interval is unknown."""
    if interval.low is None or interval.high is None:
        return math.inf
    return math.sqrt(interval.high / interval.low) - 1


def sentence(judgement: Trust) -> str:
    """The conclusion in plain words."""
    if any(proof.name == unlike.OWN_CORE and proof.holds is False for proof in judgement.proofs):
        return (
            "Timings from this machine cannot be trusted now: while methods were timed, other processes had the core "
            "for more than a third of the time; stop other work and validate again."
        )
    if judgement.tries < FEWEST_TRIES:
        fitted = "1 trial" if judgement.tries == 1 else f"{judgement.tries} trials"
        return (
            f"Only {fitted} fitted into the time, too few to tell whether timings from this machine can be trusted; "
            "give validate a larger budget_s."
        )
    if judgement.trusted:
        return (
            "Timings from this machine can be trusted: the ratio of identical code is known to "
            f"±{percent(judgement.resolution)} {_of_processes(judgement)} in about "
            f"{judgement.processes * judgement.scatter[0].pair_s:.1f} s for two methods, and slowdowns of "
            f"{percent(judgement.finds_from)} or more are detected."
        )
    broken = [proof.name for proof in judgement.proofs if proof.holds is False]
    if broken == [SLOWDOWN] and math.isinf(judgement.resolution):
        return (
            "This machine is too noisy or too slow: in many trials fewer pairs fitted into the time than an interval "
            "needs; give validate a larger budget_s."
        )
    if broken == [SLOWDOWN]:
        return (
            "This machine is too noisy for small differences: its intervals are honest, but nine in ten only "
            f"reached ±{percent(judgement.resolution)} {_of_processes(judgement)}, so that only slowdowns of "
            f"{percent(judgement.finds_from)} or more are detected; stop other work, or give validate a larger "
            "budget_s: a try may take a 25th of it."
        )
    return (
        f"Timings from this machine cannot be trusted: {_and(broken)} failed; stop other work, fix the processor's "
        "clock or pin the process to a core, and validate again."
    )


def _of_processes(judgement: Trust) -> str:
    return f"from {judgement.processes} fresh processes" if judgement.processes > 1 else "within one process"


SAME, SLOWDOWN, COVERAGE = "a method against itself", "an injected slowdown", "the interval's coverage"


def _same_is_same(tries: Sequence[Try], margin: float) -> Proof:
    every = [t.same for t in tries] + [t.planted.same for t in tries if t.planted]
    alarms = sum(not covers(same, 1.0) for same in every)
    verdicts = sum(speed_verdict(same.low, same.high, margin) in ("faster", "slower") for same in every)
    holds = plausible(alarms, len(every), FALSE_ALARMS) and verdicts == 0
    seen = f"{alarms} of {len(every)} intervals exclude 1; {verdicts} called faster or slower"
    return Proof(SAME, f"at most {percent(FALSE_ALARMS)} exclude 1, no verdict", seen, holds)


def _slowdown_is_found(tries: Sequence[Try], margin: float) -> Proof:
    """By the interval over processes where there are several, as a row of the table has it."""
    over_processes = unlike.over_processes(tries, 1)
    seen = over_processes or [t.slowed for t in tries]
    found = sum(speed_verdict(one.low, one.high, margin) == "slower" for one in seen)
    slowdown = percent(median([1 / t.truth - 1 for t in tries]))
    each = f", of {len({t.process for t in tries})} processes each" if over_processes else ""
    return Proof(
        SLOWDOWN,
        f"{slowdown} called slower in at least {percent(1 - MISSED)}",
        f"called slower in {found} of {len(seen)}{each}",
        plausible(len(seen) - found, len(seen), MISSED),
    )


def _interval_covers(tries: Sequence[Try]) -> Proof:
    missed = sum(not covers(t.slowed, t.truth) for t in tries)
    return Proof(
        COVERAGE,
        f"at least {percent(1 - UNCOVERED)} cover the true ratio",
        f"{len(tries) - missed} of {len(tries)} do",
        plausible(missed, len(tries), UNCOVERED),
    )


def timer_agrees(timer: str, own_s: float, their_s: float) -> Proof:
    """Whether another timer found the same seconds per call."""
    agrees = abs(math.log(own_s / their_s)) <= math.log1p(AGREEMENT)
    return _agreement(timer, f"ours is {signed(own_s / their_s - 1)}", agrees)


def not_asked(timer: str, why: str) -> Proof:
    """In place of a timer that is not there."""
    return _agreement(timer, f"not asked: {why}", None)


def _agreement(timer: str, seen: str, holds: bool | None) -> Proof:
    return Proof(f"agreement with {timer}", f"medians within {percent(AGREEMENT)}", seen, holds)


def _scatter(timer: str, ratios: Sequence[float], pair_s: float) -> Scatter:
    sizes = [abs(math.log(r)) for r in ratios]
    return Scatter(timer, median(sizes), quantile(sizes, 0.9), max(sizes), pair_s)


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
