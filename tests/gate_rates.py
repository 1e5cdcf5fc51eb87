"""How often the gate cries wolf and how much it sees, measured: `python -m tests.gate_rates DIR [--runs 12]`.

Measures the same 50 configurations again and again (a run that is in DIR already is not measured again), then
compares every run with every later one. A/A: as they are. Planted: in five configurations of the later run, drawn
anew for each comparison, the method's row is that of its twin, which does the same and then waits, busily, for a
tenth of the time that it took.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import convbench
from convbench.comparison.command import JUDGED
from convbench.comparison.gate import Judgement, Policy, judge
from convbench.facts.record import Record
from convbench.results.table import records

TWIN = "tests.twin:tenth_slower"
SWEEP = [
    *("device=cpu", "op=conv2d,conv_transpose2d", "size=17,24,32,40,48", "kernel=1,3,5,7,9", "in_channels=4"),
    *("out_channels=4", f"methods=[autograd,explicit,{TWIN}]", "measure.memory=false"),
]
PLANTED = 5


def measure(folder: Path, runs: int, words: Sequence[str]) -> list[list[Record]]:
    """The rows of so many runs of the sweep, the columns that the gate decides by."""
    out = []
    for i in range(runs):
        command = [sys.executable, "-m", "convbench", "-m", *SWEEP, *words, f"out={folder / f'run-{i:02d}'}"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        out.append(records(convbench.load(folder / f"run-{i:02d}"), JUDGED))
    return out


def without_twin(rows: Sequence[Record]) -> list[Record]:
    return [row for row in rows if row["method"] != TWIN]


def planted(rows: Sequence[Record], where: set[str]) -> list[Record]:
    """The rows with the twin's in place of the explicit method's in the configurations `where`."""
    twins = {row["config_id"]: {**row, "method": "explicit"} for row in rows if row["method"] == TWIN}
    return [
        twins[row["config_id"]] if row["config_id"] in where and row["method"] == "explicit" else row
        for row in without_twin(rows)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=12)
    args, words = parser.parse_known_args()
    runs = measure(args.folder, args.runs, words)
    rng = random.Random(0)
    alarms, cells, found, false, untrusted = 0, 0, 0, 0, 0
    resolutions: list[float] = []
    pairs = list(itertools.combinations(runs, 2))
    for base, new in pairs:
        same = judge(without_twin(base), without_twin(new), Policy())
        alarms += bool(same.failures)
        cells += len(same.failures)
        untrusted += same.verdict == "untrusted"
        resolutions.append(same.resolution or float("inf"))
        where = set(rng.sample(sorted({row["config_id"] for row in new}), PLANTED))
        hits = slower(judge(without_twin(base), planted(new, where), Policy()))
        found += len(hits & where)
        false += len(hits - where)
    tried = PLANTED * len(pairs)
    print(f"{args.runs} runs of {len({row['config_id'] for row in runs[0]})} configurations, {os.uname().release}")
    print(
        f"A/A: {alarms} of {len(pairs)} comparisons raised an alarm ({cells} cells), {untrusted} were not to be trusted"
    )
    print(f"planted 10%: {found} of {tried} found ({found / tried:.0%}), {false} cells besides")
    print(f"resolution: {sorted(resolutions)[len(resolutions) // 2] - 1:.1%} in the median comparison")


def slower(judgement: Judgement) -> set[str]:
    """config_ids of the explicit method's cells that were called slower."""
    return {f.key[0] for f in judgement.failures if f.kind == "slower" and f.key[1] == "explicit"}


if __name__ == "__main__":
    main()
