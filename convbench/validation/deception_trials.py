"""Every deception of convbench.deceptions, tried on this machine: which are caught, by what, and who else was touched.

Each is measured as a user would measure it, in a process of its own: beside a baseline and two honest rivals in one
configuration, and followed by one that it is not in.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import deceptions
from ..execution.execute import RunOptions, driving, execute
from ..facts.measure import Measure
from ..facts.record import Record
from ..facts.spec import Spec
from ..facts.statistics import speed_verdict
from ..sweep.plan import planned

BASELINE, RIVAL, OWN_RIVAL = "autograd", "explicit", deceptions.method("honest:rival")
GAIN = 1.25
"""A method that comes out this much faster than what it does honestly has gained by it; less is a machine's noise."""

SLOWED = 1.5
"""A rival that takes this much longer than undisturbed was touched; the smallest of what leaked was 1.9."""

TOGETHER = 6
"""Methods that share one judging process; each keeps a process of its own until the last of them is done."""

CASE = ("batch=4", "in_channels=32", "out_channels=32", "timeout_s=60")
"""The notebook's case, with channels and a batch: some milliseconds, enough to be worth stealing."""

RIGHT = ("ok", "exact", "reduced")

Rows = Mapping[tuple[int, str], Record]
"""Rows by configuration (0, and 1 for the next) and method."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one method of the set.

    `said` is what speaks against its row (status, accuracy or speed), its accuracy where nothing does; `reason` is the
    row's. `gain` is its speedup over what the same work has honestly, None where it was not timed. `touched` names
    rivals' rows that are not what they are undisturbed, and how.
    """

    name: str
    meaning: str
    honest: bool
    said: str
    reason: str
    gain: float | None
    touched: tuple[str, ...]

    @property
    def caught(self) -> bool:
        return self.said not in RIGHT

    @property
    def harmless(self) -> bool:
        """Not caught, and no better off for it."""
        return not self.caught and (self.gain is None or self.gain <= GAIN)

    @property
    def in_order(self) -> bool:
        """A deception is caught or gains nothing, an honest method is not caught; and nobody else was touched."""
        return not self.touched and (not self.caught if self.honest else self.caught or self.harmless)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "caught": self.caught, "in_order": self.in_order}


def tried(names: Sequence[str], measure: Measure) -> Iterator[Trial]:
    """The trials of these methods of the set, in their order.

    Several share the process that judges. Where a rival seems touched, the method is tried again with one of its own,
    beside rivals that are measured again as well: the machine may have become slower, or an earlier method done it.
    """
    alone = measured([None], measure)[None]
    for start in range(0, len(names), TOGETHER):
        part = names[start : start + TOGETHER]
        found = measured(part, measure)
        for name in part:
            rows, touched = found[name], touches(found[name], alone)
            if touched:
                rows, alone = measured([name], measure)[name], _slower(alone, measured([None], measure)[None])
                touched = touches(rows, alone)
            yield trial(name, rows, alone, touched)


def trial(name: str, found: Rows, alone: Rows, touched: Sequence[str]) -> Trial:
    """What the rows say about a method, beside those of an undisturbed run."""
    row = found.get((0, deceptions.method(name)), {"status": "missing"})
    honest, own = alone[0, RIVAL].get("speedup"), row.get("speedup")
    return Trial(
        name,
        deceptions.meaning(name),
        name in deceptions.HONEST,
        _said(row),
        str(row.get("reason") or ""),
        own / honest if own and honest else None,
        tuple(touched),
    )


def _said(row: Record) -> str:
    """The first of status, accuracy and speed that speaks against a row; its accuracy where none does.

    Its speed does where it is impossible, or called inconclusive although its interval is that of a faster one.
    """
    accuracy = str(row.get("accuracy", "unknown"))
    if row["status"] != "ok" or accuracy not in RIGHT:
        return str(row["status"]) if row["status"] != "ok" else accuracy
    if row.get("speed") == "impossible":
        return "impossible"
    interval = speed_verdict(row.get("speedup_low"), row.get("speedup_high"), Measure().margin)
    return "inconclusive" if (row.get("speed"), interval) == ("inconclusive", "faster") else accuracy


def touches(found: Rows, alone: Rows) -> list[str]:
    """Rivals' rows that are not what they are undisturbed."""
    out = []
    for (position, method), before in alone.items():
        row = found.get((position, method), {"status": "missing"})
        who = method.rpartition(":")[2] + (" of the next configuration" if position else "")
        if row["status"] != "ok":
            out.append(f"{who}: {row['status']}{_reason(row)}")
        elif row.get("accuracy") != before.get("accuracy"):
            out.append(f"{who}: accuracy {row.get('accuracy')}{_reason(row)}")
        elif (ratio := _ratio(row, before)) > SLOWED:
            out.append(f"{who} {ratio:.1f}× slower")
    return out


def _reason(row: Record) -> str:
    return f" ({row['reason']})" if row.get("reason") else ""


def _ratio(row: Record, before: Record) -> float:
    now, then = row.get("time_s"), before.get("time_s")
    return now / then if now and then else math.nan


def _slower(one: Rows, other: Rows) -> Rows:
    return {key: max(one[key], other[key], key=lambda row: row.get("time_s") or 0.0) for key in one}


def measured(names: Sequence[str | None], measure: Measure) -> dict[str | None, Rows]:
    """The rows of each method's configuration and of the next; None stands for the rivals alone."""
    found: dict[str | None, Rows] = {}
    with tempfile.TemporaryDirectory(prefix="convbench-judge-") as folder:
        run = RunOptions(Path(folder))
        with driving(run):
            for number, name in enumerate(names, 1):
                rivals = (BASELINE, *([deceptions.method(name)] if name else []), OWN_RIVAL, RIVAL)
                seen = _Rows()
                # Another seed for each: what is measured already is not measured again.
                execute([_spec(0, rivals, measure), _spec(number, (BASELINE, RIVAL), measure)], run, seen)
                found[name] = seen.found
    return found


def _spec(seed: int, methods: Sequence[str], measure: Measure) -> Spec:
    (spec,) = planned([*CASE, f"seed={seed}", f"methods=[{','.join(methods)}]", f"baseline={BASELINE}"]).sweep
    return replace(spec, measure=measure)


class _Rows:
    """An observer that keeps the rows."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, str], Record] = {}

    def watch(self, doing: object) -> None: ...
    def begin(self, total: int, already_done: int) -> None: ...
    def passing(self, number: int, passes: int, due: int) -> None: ...

    def start(self, spec: Spec) -> None: ...

    def finish(self, spec: Spec, records: Sequence[Record]) -> None:
        self.found.update({(min(spec.seed, 1), row["method"]): row for row in records})

    def warn(self, problem: str, remedy: str) -> None: ...

    def end(self, outcome: Any) -> None: ...
