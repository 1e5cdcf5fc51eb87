"""Does the interval hold what processes find? `python -m tests.process_coverage DIR [--minutes 15]`.

Measures the same configurations of some microseconds to 100 ms in many processes, each of them a sweep of its own: turn
by turn with nothing else running and with every core busy in bursts. Groups of as many processes as `measure=default`
takes, one after the other, then give intervals as that gives them, and each is asked whether it holds the median and
the mean over all processes. Beside it, the interval of one process's pairs. Writes the table of docs/timing.md
(`--page ""`: prints it alone). A process whose sweep is in DIR already is not measured again.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import NamedTuple

import torch
from scipy import stats

from convbench.facts import units
from convbench.facts.configuration_key import ConfigurationKey
from convbench.facts.measure import Measure
from convbench.facts.statistics import student_quantile
from convbench.timing.samples import Samples
from convbench.timing.speed_columns import combine
from convbench.validation import burst

from .pages import replace_section
from .recorded import calls

PAGE = Path(__file__).parent.parent / "docs" / "timing.md"
CONDITIONS: dict[str, Callable[[], AbstractContextManager[None]]] = {"idle": nullcontext, "bursts": burst.load}
METHODS = ("explicit", "unfold")
LEAN = ("measure.backward=false", "measure.memory=false", "measure.kernels=false")
"""The calls alone are timed."""

CASES = """op,batch,in_channels,out_channels,in_h,in_w,kernel_h,kernel_w,pad_h,pad_w
conv2d,1,1,1,2,2,1,1,0,0
conv2d,1,1,1,4,4,3,3,0,0
conv2d,1,4,4,8,8,3,3,1,1
conv_transpose2d,1,4,1,17,17,3,3,0,0
conv_transpose2d,1,4,1,17,17,5,5,0,0
conv_transpose2d,1,4,1,17,17,9,9,0,0
conv2d,1,4,4,17,17,9,9,4,4
conv2d,1,8,8,24,24,3,3,1,1
conv2d,2,8,16,24,24,5,5,2,2
conv2d,1,16,16,32,32,3,3,1,1
conv_transpose2d,1,16,16,32,32,3,3,0,0
conv2d,4,16,16,32,32,3,3,1,1
conv2d,1,32,32,28,28,3,3,1,1
conv2d,1,3,64,64,64,7,7,3,3
conv2d,1,64,64,28,28,1,1,0,0
conv2d,2,32,32,56,56,3,3,1,1
conv2d,1,64,64,56,56,3,3,1,1
conv_transpose2d,1,64,32,28,28,4,4,1,1
conv2d,4,64,64,28,28,3,3,1,1
conv2d,1,128,128,28,28,5,5,2,2
conv2d,2,64,64,56,56,5,5,2,2
conv2d,1,3,64,224,224,7,7,3,3
conv2d,2,3,64,224,224,7,7,3,3
"""
"""Of calls of some microseconds to 100 ms; the last ones are left out with --small."""
SMALL = 12


def measure(folder: Path, condition: str, number: int, words: Sequence[str]) -> None:
    """One process's sweep; nothing where it is there already."""
    out = folder / f"{condition}-{number:02d}"
    if (out / "results.parquet").is_file():
        return
    command = [
        *(sys.executable, "-m", "convbench", "-m", f"cases={folder / 'cases.csv'}", "device=cpu"),
        *(f"methods=[autograd,{','.join(METHODS)}]", "measure.processes=1", *LEAN, *words),
        f"out={out}",
    ]
    with CONDITIONS[condition]():
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def processes(folder: Path, condition: str) -> list[dict[ConfigurationKey, Samples]]:
    """The samples of every process by configuration."""
    found = []
    for path in sorted(folder.glob(f"{condition}-*/samples.parquet")):
        found.append({key: parts[0] for key, parts in calls(path).items() if parts})
    return found


class Held(NamedTuple):
    """How many intervals there are, how many of them hold the median and the mean of all processes, and their median
    half-width on the log scale."""

    intervals: int
    median: int
    mean: int
    width: float

    @classmethod
    def of(cls, rows: Sequence[dict[str, float]], each: Sequence[float]) -> Held:
        ends = [(math.log(row["speedup_low"]), math.log(row["speedup_high"])) for row in rows]
        typical, average = (sum(low <= truth <= high for low, high in ends) for truth in (median(each), fmean(each)))
        return cls(len(ends), typical, average, median([(high - low) / 2 for low, high in ends]))


@dataclass(frozen=True)
class Cell:
    """One method of one configuration: the baseline's time, the processes' standard deviation of the log ratio, and
    what intervals of groups and of single processes hold."""

    time_s: float
    method: str
    spread: float
    groups: Held
    alone: Held
    two_speeds: int


def cells(found: Sequence[dict[ConfigurationKey, Samples]], size: int) -> Iterator[Cell]:
    for key in dict.fromkeys(key for process in found for key in process):
        parts = [process[key] for process in found if key in process]
        for method in METHODS:
            own = [part for part in parts if {method, "autograd"} <= set(part.arms)]
            if len(own) < 2 * size:
                continue
            each = [part.centre(method, "autograd") for part in own]
            rows = [combine(group, method, "autograd", Measure()) for group in groups(own, size)]
            single = [combine([part], method, "autograd", Measure()) for part in own]
            yield Cell(
                time_s=median([median(part.of("autograd")) for part in own]),
                method=method,
                spread=stdev(each),
                groups=Held.of(rows, each),
                alone=Held.of(single, each),
                two_speeds=sum("speedup_mode_low" in row for row in rows),
            )


def calls_s(found: Sequence[dict[ConfigurationKey, Samples]]) -> list[float]:
    """The time of every arm of every configuration, in the median of the processes."""
    each: dict[tuple[ConfigurationKey, str], list[float]] = {}
    for process in found:
        for key, part in process.items():
            for arm in part.arms:
                each.setdefault((key, arm), []).append(median(part.of(arm)))
    return [median(times) for times in each.values()]


def expected(size: int, of: int) -> float:
    """How many of Student's 95% intervals of `size` processes hold the mean of `of` independent ones, themselves among
    them: the distance of the two means has 1 − size/of of the variance that a mean of `size` has."""
    held = student_quantile(size - 1) / math.sqrt(1 - size / of) if of > size else math.inf
    return float(1 - 2 * stats.t.sf(held, size - 1))


def groups(own: Sequence[Samples], size: int) -> Iterator[Sequence[Samples]]:
    """So many processes after one another, as often as there are as many."""
    return (own[start : start + size] for start in range(0, len(own) - size + 1, size))


def table(by_condition: dict[str, list[Cell]], counts: dict[str, int], size: int) -> str:
    """One line for each range of times, and one for all."""
    lines = [
        f"| baseline's time | cells | processes differ by | interval of {size} processes | holds the median | the mean "
        "| interval of one | holds the median | the mean | told two speeds |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    ranges = [(0.0, 3e-5), (3e-5, 3e-4), (3e-4, 3e-3), (3e-3, math.inf), (0.0, math.inf)]
    names = ["below 30 µs", "30 to 300 µs", "0.3 to 3 ms", "3 ms and more", "all"]
    for condition, found in by_condition.items():
        for (low, high), name in zip(ranges, names, strict=True):
            own = [cell for cell in found if low <= cell.time_s < high]
            if own:
                head = f"{condition}, {counts[condition]} processes: {name}"
                lines.append(f"| {head} | {' | '.join(line(own))} |")
        for method in METHODS:
            own = [cell for cell in found if cell.method == method]
            lines.append(f"| {condition}: all, `{method}` | {' | '.join(line(own))} |")
    return "\n".join(lines)


def line(own: Sequence[Cell]) -> list[str]:
    def said(counted: Sequence[Held]) -> list[str]:
        tried = sum(held.intervals for held in counted)
        inside = (sum(held.median for held in counted), sum(held.mean for held in counted))
        width = f"±{median([held.width for held in counted]):.1%}"
        return [width, *(f"{number} of {tried} ({number / tried:.0%})" for number in inside)]

    spread = f"{median([cell.spread for cell in own]):.1%}, at most {max(cell.spread for cell in own):.0%}"
    told = sum(cell.two_speeds for cell in own)
    return [str(len(own)), spread, *said([c.groups for c in own]), *said([c.alone for c in own]), str(told)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=20, help="of each condition, at least twice a group")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no process begins after that")
    parser.add_argument("--small", action="store_true", help=f"the first {SMALL} configurations, below a millisecond")
    parser.add_argument("--only", choices=CONDITIONS, help="one condition alone")
    parser.add_argument("--page", default=str(PAGE), help="file whose table is replaced; empty: print it alone")
    args, words = parser.parse_known_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    chosen = CASES.splitlines()[: SMALL + 1 if args.small else None]
    (args.folder / "cases.csv").write_text("\n".join(chosen) + "\n")
    conditions = [args.only] if args.only else list(CONDITIONS)
    begun, longest = time.monotonic(), 0.0
    for number in range(args.processes):
        for condition in conditions:
            started = time.monotonic()
            if started - begun + longest > 60 * args.minutes:
                continue
            measure(args.folder, condition, number, words)
            longest = max(longest, time.monotonic() - started)
    size = Measure().processes
    found = {condition: processes(args.folder, condition) for condition in conditions}
    each_s = sorted(calls_s([process for parts in found.values() for process in parts]))
    counts = {condition: len(parts) for condition, parts in found.items()}
    told = table({condition: list(cells(parts, size)) for condition, parts in found.items()}, counts, size)
    fewest = min(counts.values())
    foot = (
        f"Measured on {platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{len(chosen) - 1} configurations, calls of {units.time(each_s[0])} to {units.time(each_s[-1])}, one thread. "
        f"Intervals of {size} processes that hold the true mean in 95% hold that of {fewest}, of which they are a "
        f"part, in {expected(size, fewest):.0%}."
    )
    print(told, foot, sep="\n\n")
    if args.page:
        replace_section(Path(args.page), "processes", f"\n{told}\n\n{foot}\n")


if __name__ == "__main__":
    main()
