"""What is hunted for, and what a configuration's rows say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..facts import units
from ..facts.record import IMPOSSIBLE
from ..facts.values import InvalidValue, did_you_mean

ENDED = ("crash", "timeout", "error")
"""Statuses of a method that gave no result: its process died, it hung, or it raised."""

KEPT = 0.7
"""The share of a ratio that has to be there still when a place is made simpler."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """A method that does what is hunted for. `value` is how much of it there is, with its interval where it has one;
    `rival` is the method that is compared with, `said` what is the matter, in a sentence without an end."""

    method: str
    said: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    rival: str | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """`least`: the smallest value that counts; None for what is either so or not."""

    name: str
    meaning: str
    least: float | None = None

    @property
    def timed(self) -> bool:
        return self.name == "slow"

    def hits(self, rows: Sequence[Row], baseline: str) -> list[Hit]:
        """Of one configuration's rows, those that are what is hunted for."""
        if self.timed:
            found = self.slowness(rows, baseline)
            return [found] if found is not None and self.counts(found) else []
        return [hit for row in rows if (hit := self._of_row(row)) is not None and self.counts(hit)]

    def counts(self, hit: Hit) -> bool:
        """Whether there is enough of it, as far as its interval tells."""
        sure = hit.value if hit.low is None else hit.low
        return self.least is None or (sure is not None and sure >= self.least)

    def kept(self, hit: Hit, before: Hit) -> bool:
        """Whether a simpler place still does what was found: a ratio that has shrunk has another cause, as that of two
        calls has that take nothing but their overhead."""
        if self.least is None or hit.value is None or before.value is None:
            return True
        return hit.value >= KEPT * before.value

    def worse(self, hit: Hit, known: Hit) -> bool:
        """Whether there is so much more of it that it is something else."""
        return self.least is not None and (hit.value or 0.0) * KEPT**2 > (known.value or 0.0)

    def worth(self, rows: Sequence[Row], baseline: str) -> float | None:
        """What a search is to make large, for any rows; None where they say nothing."""
        if self.timed:
            found = self.slowness(rows, baseline)
            return found.value if found is not None else None
        values = [row["bound_ratio"] for row in rows if row.get("bound_ratio") is not None]
        return max(values) if values else None

    def _of_row(self, row: Row) -> Hit | None:
        method, reason = row["method"], row.get("reason") or ""
        if self.name == "crash":
            return Hit(method, f"{row['status']}: {reason}") if row["status"] in ENDED else None
        ratio = row.get("bound_ratio")
        if self.name == "fail":
            wrong = row["status"] == "ok" and row.get("accuracy") == "fail"
            return Hit(method, f"wrong: {reason}", ratio) if wrong else None
        if row["status"] != "ok" or ratio is None:
            return None
        return Hit(method, f"its largest error is {ratio:.3g} times the bound ({row.get('accuracy')})", ratio)

    def slowness(self, rows: Sequence[Row], baseline: str) -> Hit | None:
        """The baseline's time over that of the fastest method that is right; None without such a pair."""
        right = [
            row
            for row in rows
            if row["method"] != baseline
            and row["status"] == "ok"
            and row.get("accuracy") != "fail"
            and row.get("speedup") is not None
            and row.get("speed") != IMPOSSIBLE
        ]
        if not right:
            return None
        best = max(right, key=lambda row: float(row["speedup"]))
        value, low, high = best["speedup"], best.get("speedup_low"), best.get("speedup_high")
        said = f"takes {units.interval(value, low, high)} as long as {best['method']}"
        return Hit(baseline, said, value, low, high, best["method"])


OBJECTIVES = {
    "crash": Objective("crash", "a method ends its process, hangs or raises"),
    "fail": Objective("fail", "a gradient is wrong"),
    "bound_ratio": Objective("bound_ratio", "the largest error, as a multiple of its bound", 1.0),
    "slow": Objective("slow", "the baseline's time over that of the fastest right method", 2.0),
}


def objective_of(name: str | None, at_least: str | None) -> Objective:
    """Raises InvalidValue for a name that is not known, and for a least value where there is none to compare."""
    listed = ", ".join(f"{o.name} ({o.meaning})" for o in OBJECTIVES.values())
    if name is None:
        raise InvalidValue("objective", f"hunt needs objective=…: {listed}")
    found = OBJECTIVES.get(name)
    if found is None:
        hint = did_you_mean(name, OBJECTIVES) or f"; allowed: {listed}"
        raise InvalidValue("objective", f"objective={name} is not known to hunt{hint}")
    if at_least is None:
        return found
    if found.least is None:
        raise InvalidValue("at_least", f"at_least={at_least}: objective={name} is so or not; leave it out")
    try:
        least = float(at_least)
    except ValueError:
        least = 0.0
    if not 0 < least < float("inf"):
        raise InvalidValue("at_least", f"at_least={at_least} must be a number above 0")
    return Objective(found.name, found.meaning, least)
