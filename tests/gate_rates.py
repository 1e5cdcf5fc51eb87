"""How often the gate cries wolf and how much it sees, measured: `python -m tests.gate_rates DIR [--runs 12]`.

Measures the same 50 configurations again and again (a run that is in DIR already is not measured again), then
compares every run with every later one. A/A: as they are. Planted: in five configurations of the later run, drawn
anew for each comparison, the method's row is that of its twin, which does the same and then waits, busily, for a
tenth of the time that it took. What `--confirm` would have said is worked out as well: in place of six fresh processes
stand six of the other runs, drawn anew, each a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import convbench
from convbench.comparison.command import JUDGED
from convbench.comparison.regressions import judge
from convbench.comparison.result import CellKey, Judgement, Policy
from convbench.comparison.suspects import confirm, suspects
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


def measured_again(judgement: Judgement, others: Sequence[Sequence[Record]], twins: set[str]) -> list[Record]:
    """The suspects' rows as six fresh processes would have given them: the medians of six other runs."""
    out = []
    for finding in suspects(judgement):
        planted_here = finding.key.config_id in twins and finding.key.method == "explicit"
        source = finding.key._replace(method=TWIN) if planted_here else finding.key
        rows = [row for run in others for row in run if CellKey.of(row) == source]
        again = dict(judgement.rows[finding.key])
        for figure, unit in (("time", "_s"), ("speedup", "")):
            if f"{figure}_low{unit}" in again:
                seen = [row[figure + unit] for row in rows]
                again |= dict(zip(_names(figure, unit), (median(seen), min(seen), max(seen)), strict=True))
        out.append(again)
    return out


def _names(figure: str, unit: str) -> tuple[str, str, str]:
    return figure + unit, f"{figure}_low{unit}", f"{figure}_high{unit}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=12, help="at least 8, six besides the two that are compared")
    args, words = parser.parse_known_args()
    runs = measure(args.folder, args.runs, words)
    rng, seen, resolutions = random.Random(0), Counter[str](), []
    pairs = list(itertools.combinations(range(len(runs)), 2))
    for i, j in pairs:
        base, others = without_twin(runs[i]), rng.sample([r for k, r in enumerate(runs) if k not in (i, j)], 6)
        same = judge(base, without_twin(runs[j]), Policy())
        resolutions.append(same.resolution or float("inf"))
        again = confirm(same, base, measured_again(same, others, set()), Policy())
        seen["alarms"] += bool(same.failures)
        seen["alarms confirmed"] += bool(again.failures)
        seen["left in doubt"] += again.verdict == "untrusted"
        where = set(rng.sample(sorted({row["config_id"] for row in runs[j]}), PLANTED))
        worse = judge(base, planted(runs[j], where), Policy())
        again = confirm(worse, base, measured_again(worse, others, where), Policy())
        seen["found"] += len(slower(worse) & where)
        seen["besides"] += len(slower(worse) - where)
        seen["found again"] += len(slower(again) & where)
        seen["found doubtful"] += len({f.key[0] for f in again.doubtful} & where)
    tried = PLANTED * len(pairs)
    print(f"{args.runs} runs of {len({row['config_id'] for row in runs[0]})} configurations, {os.uname().release}")
    print(
        f"A/A: {seen['alarms']} of {len(pairs)} comparisons raised an alarm; measured again, "
        f"{seen['alarms confirmed']} did, and {seen['left in doubt']} were inconclusive"
    )
    share = seen["found"] / tried
    print(
        f"planted 10%: {seen['found']} of {tried} found ({share:.0%}), {seen['besides']} cells besides; "
        f"measured again, {seen['found again']} stood and {seen['found doubtful']} were left in doubt"
    )
    print(f"resolution: {median(resolutions) - 1:.1%} in the median comparison")


def slower(judgement: Judgement) -> set[str]:
    """config_ids of the explicit method's cells that were called slower."""
    return {f.key[0] for f in judgement.failures if f.kind == "slower" and f.key[1] == "explicit"}


if __name__ == "__main__":
    main()
