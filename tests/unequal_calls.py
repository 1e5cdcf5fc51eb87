"""`python -m tests.unequal_calls`: one call against exactly k of them, on a machine that is busy to a planned degree.

Every trial is measured by convbench's own rounds. The truth is known by counting: the method makes k of the baseline's
calls. Prints, for each load and k, the median of reported over true speedups, of the trials with an interval how many
cover the truth and how wide they are, and how many were widened because the arms were disturbed unequally. Writes the
table of docs/timing.md (`--page ""`: prints it alone).
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

import torch

from convbench.devices import device_of
from convbench.facts.measure import Measure
from convbench.facts.spec import Switches
from convbench.measurement.switches import switched
from convbench.timing import rounds
from convbench.timing.clocks import Arm
from convbench.timing.speed_columns import columns
from convbench.validation import planted

from .pages import replace_section

PAGE = Path(__file__).parent.parent / "docs" / "timing.md"

CALL_S = 1.9e-4
"""About what the baseline's call takes: more than a clock's resolution, less than a part."""

HEAD = """\
| load | k | reported / true, median (range) | interval | cover | of those not disturbed | disturbed | pairs | s |
|--:|--:|---|--:|--:|--:|--:|--:|--:|"""

BUSY = "while True: sum(range(1000))"


@dataclass(frozen=True)
class Trial:
    """One measurement; `reported` and the interval's ends are over the true speedup."""

    load: int
    k: int
    reported: float
    low: float | None
    high: float | None
    disturbed: bool
    pairs: int
    seconds: float

    @property
    def half_width(self) -> float | None:
        """Of its interval, as a share; None where there were too few pairs for one."""
        return None if self.low is None or self.high is None else math.sqrt(self.high / self.low) - 1

    @property
    def covers(self) -> bool:
        return self.low is not None and self.high is not None and self.low <= 1 <= self.high


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many processes beside this one that never rest."""
    with ExitStack() as stack:
        for _ in repeat(None, processes):
            busy = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        yield


def workload() -> Callable[[], Any]:
    """A convolution whose batch makes it take about CALL_S on this machine, undisturbed."""
    images = 1
    while True:
        x, w = torch.randn(images, 4, 17, 17), torch.randn(4, 4, 5, 5)
        call = lambda x=x, w=w: torch.nn.functional.conv2d(x, w)  # noqa: E731
        if min(timed(call) for _ in range(50)) >= CALL_S or images > 4096:
            return call
        images = images + 1 + images // 8


def timed(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def trial(call: Callable[[], Any], k: int, busy: int, measure: Measure, seed: int) -> Trial:
    calls = {"once": planted.times(call, 1), "several": planted.times(call, k)}
    arms = [Arm(name, made, torch.inference_mode) for name, made in calls.items()]
    begun = time.perf_counter()
    found = rounds.measure(arms, "once", measure, device_of("cpu").clock(measure), seed, rounds.unmarked)
    row = columns(found, "several", "once", measure)
    low, high = (None if row[f"speedup_{end}"] is None else row[f"speedup_{end}"] * k for end in ("low", "high"))
    return Trial(
        busy, k, row["speedup"] * k, low, high, bool(row.get("disturbed")), found.rounds, time.perf_counter() - begun
    )


def told(trials: Sequence[Trial]) -> str:
    """A line of the table."""
    ratios = [one.reported for one in trials]
    widths = [one.half_width for one in trials if one.half_width is not None]
    wide = f"±{median(widths):.1%}" if widths else "none"
    covering = sum(one.covers for one in trials)
    alike = [one for one in trials if not one.disturbed and one.half_width is not None]
    disturbed = sum(one.disturbed for one in trials)
    return (
        f"| {trials[0].load} | {trials[0].k} | {median(ratios):.3f} ({min(ratios):.2f}–{max(ratios):.2f}) "
        f"| {wide} | {covering} of {len(widths)} | {sum(one.covers for one in alike)} of {len(alike)} "
        f"| {disturbed} | {median(one.pairs for one in trials):g} "
        f"| {median(one.seconds for one in trials):.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.unequal_calls", description=__doc__)
    parser.add_argument("--loads", type=int, nargs="+", default=[0, 3, 7, 15], help="busy processes beside it")
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="values of k")
    parser.add_argument("--trials", type=int, default=8, help="measurements of each")
    parser.add_argument("--seconds", type=float, default=2.5, help="seconds of sampling at most, in each measurement")
    parser.add_argument("--page", default=str(PAGE), help="file whose table is replaced; empty: print it alone")
    args = parser.parse_args()
    measure = replace(Measure(), max_time_s=args.seconds)
    everything: list[Trial] = []
    lines = [HEAD]
    print(HEAD)
    with switched(Switches(), "cpu"):
        torch.manual_seed(0)
        call = workload()
        for busy in args.loads:
            with load(busy):
                time.sleep(1.0 if busy else 0.0)  # until they have started
                for k in args.calls:
                    found = [trial(call, k, busy, measure, seed) for seed in range(args.trials)]
                    everything += found
                    lines.append(told(found))
                    print(lines[-1], flush=True)
    known = [one for one in everything if one.half_width is not None]
    alike = [one for one in known if not one.disturbed]
    foot = (
        f"{sum(one.covers for one in known)} of {len(known)} intervals cover the true ratio; "
        f"{len(known) - len(alike)} were disturbed unequally and widened, and of the other {len(alike)} "
        f"{sum(one.covers for one in alike)} cover it. "
        f"{len(everything) - len(known)} trials had too few pairs for an interval."
    )
    print(f"\n{foot}")
    if args.page:
        table = "\n".join(lines)
        replace_section(Path(args.page), "unequal calls", f"\n{table}\n\n{foot}\n")


if __name__ == "__main__":
    main()
