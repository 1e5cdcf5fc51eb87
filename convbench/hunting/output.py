"""What a person sees of a hunt: lines while it goes on, on standard error, and what it came to."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..facts import units
from ..results.naming import configuration_name
from ..terminal import screen
from .objective import Objective
from .point import NUMBERS, VARIABLE, Point, environment_of
from .region import Region, above_least

if TYPE_CHECKING:
    from .hunt import Hunt

LINE_S = 10.0
"""Seconds between two lines of progress."""


class Lines:
    """A line every LINE_S seconds, and one for each thing that happens."""

    def __init__(self, objective: Objective, budget_s: float) -> None:
        self._console = screen.console(sys.stderr)
        self._objective, self._budget_s = objective, budget_s
        self._began = self._last = time.monotonic()
        self._hunt: Hunt | None = None

    def watch(self, hunt: Hunt) -> None:
        self._hunt = hunt
        self.say(
            f"hunting for {self._objective.name}: {self._objective.meaning}; {units.duration(self._budget_s)} at most"
        )

    def look(self) -> None:
        """Says how far it is, where that was not said for a while."""
        now = time.monotonic()
        if self._hunt is not None and now - self._last >= LINE_S:
            left = units.duration(max(self._budget_s - (now - self._began), 0.0))
            self.say(f"{_counted(self._hunt)} · {left} left")

    def say(self, text: str) -> None:
        self._last = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        if self._hunt is not None:
            self.say(f"{_counted(self._hunt)} in {units.duration(time.monotonic() - self._began)}")


def _counted(hunt: Hunt) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in hunt.tally.kinds.items())
    found = units.count(len(hunt.regions), "region")
    return f"{units.count(hunt.trials.count, 'trial')} ({kinds or 'none yet'}) · {found} found"


def name_of(point: Point) -> str:
    """A place in a line: conv2d 2×2→1 8×8 k1 s2 · channels_last · wrt weight · ONEDNN_MAX_CPU_ISA=AVX2."""
    return configuration_name(columns_of(point)) + "".join(
        f" · {name}={value}" for name, value in environment_of(point).items() if value is not None
    )


def columns_of(point: Point) -> dict[str, object]:
    """The table's columns of a point's settings."""
    from ..facts.case import ConvCase

    own = {key: value for key, value in point.items() if not key.startswith(VARIABLE)}
    return {**ConvCase.of(own).columns(), **{k: own[k] for k in ("dtype", "memory_format", "wrt", "fill", "threads")}}


def told(hunt: Hunt, out: Path, optuna: str | None) -> str:
    """What a hunt came to, in plain text."""
    lines = []
    for number, region in enumerate(hunt.regions, 1):
        lines += [f"{number}. {title(region)}", *(f"   {line}" for line in details(region))]
    if not hunt.regions:
        lines.append(f"nothing found: {hunt.objective.meaning}")
    tally = hunt.tally
    if hunt.objective.least is not None and tally.largest is not None and not hunt.regions:
        lines.append(f"the largest seen: {tally.largest[0]:.3g} ({name_of(tally.largest[1])})")
    if tally.unconfirmed:
        lines.append(f"{units.count(tally.unconfirmed, 'hit')} not confirmed: gone in a fresh process, or no time left")
    if tally.unexplained:
        lines.append(
            f"{units.count(tally.unexplained, 'process', 'processes')} died in a configuration that is well by itself, "
            "and nothing before it does it again"
        )
    if tally.left_out:
        lines.append(f"{units.count(tally.left_out, 'place')} left out, in regions that were found")
    if optuna is not None:
        lines.append(f"random places only: {optuna}")
    lines.append(f"files: {out} (results.parquet, results.csv, hunt/); python -m convbench show {out}")
    return "\n".join(lines)


def title(region: Region) -> str:
    """`autograd: crash … · conv2d …`"""
    return f"{region.hit.method}: {name_of(region.point)}"


def details(region: Region) -> list[str]:
    """What it does, what it depends on, and where it is written down."""
    seen, number = region.times
    lines = [region.hit.said, f"seen again in {seen} of {units.count(number, 'fresh process', 'fresh processes')}"]
    if region.elsewhere:
        lines.append("found because a process died in a later configuration: this one damages its process's memory")
    if region.matters:
        lines.append(f"goes away with {', '.join(other(key, region.point) for key in region.matters)}")
    if region.stays:
        lines.append(f"stays with {', '.join(f'{axis(k)}={v}' for k, v in region.stays.items())}")
    if region.point != region.origin:
        lines.append(f"simplified in {units.count(region.steps, 'step')} from {name_of(region.origin)}")
    if region.also:
        worst = "" if region.worst is None else f", the worst with {region.worst[0]:.3g}: {name_of(region.worst[1])}"
        lines.append(f"{units.count(region.also, 'further hit')} there{worst}")
    if not region.done:
        lines.append("not all of it was tried: the hunt ended before")
    return [*lines, *region.files, *([region.script] if region.script else [])]


def other(key: str, point: Point) -> str:
    """Without which values of an axis it goes away: `a smaller stride than 2`, `another wrt than weight`."""
    if key not in NUMBERS:
        return f"another {axis(key)} than {point[key]}"
    return f"a {'smaller' if above_least(key, point) else 'larger'} {axis(key)} than {point[key]}"


def axis(key: str) -> str:
    """What an axis is called: a variable of the environment by its name."""
    return key.removeprefix(VARIABLE)
