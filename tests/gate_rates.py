"""How often the gate errs and how much it sees, measured: `python -m tests.gate_rates DIR [--runs 8 --bursty 4]`.

Measures the same 16 configurations again and again with the default's processes (a run that is in DIR already is not
measured again): the first half with nothing else running, then those where every core is busy in bursts, then the
other half. Every run is compared with every later one: both idle, idle and then bursty, bursty and then idle. A/A: as
they are. Planted: in two configurations of the later run, drawn anew for each comparison, the method's row has times
that are longer by a tenth, or is that of its twin: a method of a user's, which does the same and then waits, busily,
for a tenth of the time that it took. What `--confirm` would have said is worked out as well: in place of six fresh
processes stand six of those of the other runs of the later one's kind, drawn anew. And in the later run as a whole, by
arithmetic: everything slower, a faster baseline, a method that is a little slower in every cell. Writes the tables of
docs/compare.md (`--page ""`: prints them alone).
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple
from unittest.mock import patch

import convbench
from convbench.comparison.command import JUDGED
from convbench.comparison.regressions import judge
from convbench.comparison.result import CellKey, Judgement, Policy
from convbench.comparison.suspects import confirm, suspects
from convbench.facts.exits import Exit
from convbench.facts.record import Record
from convbench.facts.statistics import processes_interval, quantile
from convbench.results.table import records
from convbench.timing.samples import Samples
from convbench.validation import burst

from .pages import replace_section
from .recorded import calls

PAGE = Path(__file__).parent.parent / "docs" / "compare.md"

TWIN = "tests.twin:tenth_slower"
SWEEP = [
    *("device=cpu", "op=conv2d,conv_transpose2d", "size=17,40", "kernel=1,3,5,9", "in_channels=4", "out_channels=4"),
    *(f"methods=[autograd,explicit,{TWIN}]", "measure.memory=false", "measure.backward=false"),
    "measure.kernels=false",
]
PLANTED = 2
AGAIN = 6
"""Fresh processes of `--confirm`."""
POLICY = Policy()


class Run(NamedTuple):
    kind: str
    """idle or bursty."""
    rows: list[Record]
    """The columns that the gate decides by."""
    processes: list[list[Record]]
    """The rows with the time and the ratio that each of the run's processes found."""


def measure(folder: Path, idle: int, bursty: int, words: Sequence[str]) -> list[Run]:
    """The runs in the order in which they were made."""
    kinds = ["idle"] * (idle - idle // 2) + ["bursty"] * bursty + ["idle"] * (idle // 2)
    out = []
    for i, kind in enumerate(kinds):
        run = folder / f"run-{i:02d}-{kind}"
        command = [sys.executable, "-m", "convbench", "-m", *SWEEP, *words, f"out={run}"]
        with burst.load() if kind == "bursty" else nullcontext():
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        rows = records(convbench.load(run), JUDGED)
        out.append(Run(kind, rows, by_process(run, rows)))
    return out


def by_process(run: Path, rows: Sequence[Record]) -> list[list[Record]]:
    """The rows as each process found them."""
    parts = {key.config_id: own for key, own in calls(run / "samples.parquet").items()}
    return [
        [{**row, **alone(parts[row["config_id"]][process], row)} for row in rows]
        for process in range(min(len(own) for own in parts.values()))
    ]


def alone(part: Samples, row: Record) -> Record:
    if not {row["method"], row["baseline"]} <= set(part.arms):  # on a busy machine a twin may have no time
        return {}
    centre = part.centre(row["method"], row["baseline"])
    return {"time_s": median(part.of(row["method"])), "speedup": math.exp(centre)}


def without_twin(rows: Sequence[Record]) -> list[Record]:
    return [row for row in rows if row["method"] != TWIN]


Slow = Callable[[Sequence[Record]], dict[str, Record]]
"""The rows of the explicit method, slower by a tenth, by config_id."""


def twins(rows: Sequence[Record]) -> dict[str, Record]:
    """As the twin measured it, in a process of its own as every method of a user's."""
    return {row["config_id"]: {**row, "method": "explicit"} for row in rows if row["method"] == TWIN}


def scaled(rows: Sequence[Record]) -> dict[str, Record]:
    """As if every call of that run had taken a tenth longer."""
    return {row["config_id"]: longer(row, 1.1, 1.1) for row in rows if row["method"] == "explicit"}


def longer(row: Record, times: float, ratio: float) -> Record:
    """The row with such factors in its time and, the other way, in its speedup."""
    took = {name: row[name] * times for name in ("time_s", *_ends("time", "_s")) if name in row}
    ratios = {name: row[name] / ratio for name in ("speedup", *_ends("speedup", "")) if name in row}
    return {**row, **took, **ratios} if row["method"] != row["baseline"] else {**row, **took}


WHOLE: dict[str, Callable[[Record], Record]] = {
    "nothing": lambda row: row,
    "everything 1.2× slower": lambda row: longer(row, 1.2, 1.0),
    "everything 2× slower": lambda row: longer(row, 2.0, 1.0),
    "autograd 1.1× faster": lambda row: longer(row, *((1 / 1.1, 1.0) if row["method"] == "autograd" else (1.0, 1.1))),
    "explicit 4% slower in every cell": lambda row: longer(row, 1.04, 1.04) if row["method"] == "explicit" else row,
}


def as_a_whole(runs: Sequence[Run]) -> str:
    """What the gate says where the whole of the later run has changed."""
    head = "| in the later run | comparisons | exit code 0 | 1 | 4 |\n|---|--:|--:|--:|--:|"
    lines = [head]
    for name, change in WHOLE.items():
        codes = Counter(
            judge(without_twin(base.rows), [change(row) for row in without_twin(new.rows)], POLICY).exit_code
            for base, new in itertools.combinations(runs, 2)
        )
        lines.append(f"| {name} | {codes.total()} | {codes[0]} | {codes[1]} | {codes[4]} |")
    return "\n".join(lines)


MOVED = (0.1, 0.2, math.inf)
"""Upper ends of the table's ranges of the baseline's change, as a log ratio."""


def ratios_moved(runs: Sequence[Run]) -> str:
    """How far ratios of the same code moved, by how far the baseline's time did, and how many intervals excluded 0."""
    found: dict[float, list[tuple[float, bool, bool]]] = {end: [] for end in MOVED}
    for base, new in itertools.combinations(runs, 2):
        old = {CellKey.of(row): row for row in base.rows}
        with patch("convbench.comparison.speed.UNEVEN_BEYOND", 0.0):
            plain = judge(without_twin(base.rows), without_twin(new.rows), POLICY)
        ruled = judge(without_twin(base.rows), without_twin(new.rows), POLICY)
        for key, change in ruled.changes.items():
            if change.what != "ratio":
                continue
            baselines = [row["time_s"] * row["speedup"] for row in (old[key], ruled.rows[key])]
            end = next(end for end in MOVED if abs(math.log(baselines[1] / baselines[0])) < end)
            excluded = (not one.low <= 0 <= one.high for one in (plain.changes[key], change))
            found[end].append((abs(change.log), *excluded))
    lines = [
        "| baseline's time moved by (log ratio) | cells | ratio moved by, median | 90th percentile "
        "| excluded 0 by the processes alone | with the rule |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    names = ["less than 0.1", "0.1 to 0.2", "more than 0.2"]
    for name, cells in zip(names, found.values(), strict=True):
        if cells:
            sizes = [size for size, *_ in cells]
            shares = [fmean(cell[which] for cell in cells) for which in (1, 2)]
            lines.append(
                f"| {name} | {len(cells)} | {median(sizes):.3f} | {quantile(sizes, 0.9):.3f} "
                f"| {shares[0]:.1%} | {shares[1]:.1%} |"
            )
    return "\n".join(lines)


def planted(rows: Sequence[Record], where: set[str], slow: Slow) -> list[Record]:
    """The rows with slower ones in place of the explicit method's in the configurations `where`."""
    slower = slow(rows)
    return [
        slower[row["config_id"]] if row["config_id"] in where and row["method"] == "explicit" else row
        for row in without_twin(rows)
    ]


def measured_again(
    judgement: Judgement, others: Sequence[Sequence[Record]], where: set[str], slow: Slow
) -> list[Record]:
    """The suspects' rows as so many fresh processes would have given them, from rows of a process each."""
    runs = [{CellKey.of(row): row for row in planted(one, where, slow)} for one in others]
    out = []
    for finding in suspects(judgement):
        rows = [run[finding.key] for run in runs]
        again = dict(judgement.rows[finding.key])
        again["processes"] = len(rows)
        for figure, unit in (("time", "_s"), ("speedup", "")):
            names = (figure + unit, *_ends(figure, unit))
            if names[1] in again:
                found = processes_interval([math.log(row[figure + unit]) for row in rows])
                again |= {name: math.exp(end) for name, end in zip(names, found, strict=True) if end is not None}
        out.append(again)
    return out


def _ends(figure: str, unit: str) -> tuple[str, str]:
    return f"{figure}_low{unit}", f"{figure}_high{unit}"


class Rates(NamedTuple):
    """What comparisons of one kind said."""

    seen: Counter[str]
    resolutions: list[float]

    def line(self, kind: str) -> str:
        """The table's line."""
        seen = self.seen
        cells = [kind, seen["comparisons"], seen["alarms"], seen["confirmed"], seen["untold"]]
        for slow in SLOW:
            tried, found = seen[f"{slow} planted"], seen[f"{slow} found"]
            doubtful = seen[f"{slow} doubtful"]
            cells += [f"{found} of {tried} ({found / tried:.0%})", f"{seen[f'{slow} again']}, {doubtful} in doubt"]
        cells += [seen["besides"], f"{median(self.resolutions) - 1:.0%}"]
        return f"| {' | '.join(map(str, cells))} |"


SLOW: dict[str, Slow] = {"scaled": scaled, "twin": twins}
COLUMNS = ["runs compared", "comparisons", "A/A alarms", "after `--confirm`", "exit code 4"]
COLUMNS += ["a tenth found, by arithmetic", "after `--confirm`", "its twin found", "after `--confirm`"]
COLUMNS += ["others called slower", "detectable, median"]
HEAD = f"| {' | '.join(COLUMNS)} |\n|---|{'--:|' * (len(COLUMNS) - 1)}"


def compared(runs: Sequence[Run]) -> dict[str, Rates]:
    """Every run with every later one, by what the two are."""
    rng = random.Random(0)
    rates: dict[str, Rates] = {}
    for (i, first), (j, new) in itertools.combinations(enumerate(runs), 2):
        own = rates.setdefault(f"{first.kind}, then {new.kind}", Rates(Counter(), []))
        alike = [one for k, run in enumerate(runs) if k not in (i, j) and run.kind == new.kind for one in run.processes]
        others = rng.sample(alike, min(AGAIN, len(alike)))
        seen, base = own.seen, without_twin(first.rows)
        same = judge(base, without_twin(new.rows), POLICY)
        own.resolutions.append(same.resolution or float("inf"))
        again = confirm(same, base, measured_again(same, others, set(), scaled), POLICY)
        seen["comparisons"] += 1
        seen["alarms"] += bool(same.failures)
        seen["confirmed"] += bool(again.failures)
        seen["untold"] += again.exit_code == Exit.UNTRUSTED
        where = set(rng.sample(sorted({row["config_id"] for row in new.rows}), PLANTED))
        for name, slow in SLOW.items():
            worse = judge(base, planted(new.rows, where, slow), POLICY)
            again = confirm(worse, base, measured_again(worse, others, where, slow), POLICY)
            seen[f"{name} planted"] += PLANTED
            seen[f"{name} found"] += len(slower(worse) & where)
            seen["besides"] += len(slower(worse) - where)
            seen[f"{name} again"] += len(slower(again) & where)
            seen[f"{name} doubtful"] += len({f.key[0] for f in again.doubtful} & where)
    return rates


def slower(judgement: Judgement) -> set[str]:
    """config_ids of the explicit method's cells that were called slower."""
    return {f.key[0] for f in judgement.failures if f.kind == "slower" and f.key[1] == "explicit"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=8, help="idle ones")
    parser.add_argument("--bursty", type=int, default=4, help="beside bursts on every core")
    parser.add_argument("--page", default=str(PAGE), help="file whose tables are replaced; empty: print them alone")
    args, words = parser.parse_known_args()
    runs = measure(args.folder, args.runs, args.bursty, words)
    rates = "\n".join([HEAD, *(own.line(kind) for kind, own in compared(runs).items())])
    told = {"gate rates": rates, "gate as a whole": as_a_whole(runs), "ratios moved": ratios_moved(runs)}
    print(*told.values(), sep="\n\n")
    print(f"\n{len({row['config_id'] for row in runs[0].rows})} configurations, {len(runs)} runs")
    if args.page:
        for name, text in told.items():
            replace_section(Path(args.page), name, f"\n{text}\n\n")


if __name__ == "__main__":
    main()
