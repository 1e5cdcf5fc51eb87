"""How often the gate errs where the truth is known: `python -m tests.gate_simulated`.

Compares simulated runs of 50 configurations and two methods, four processes in each, as they are (A/A) and with a
slowdown of 10% planted in five cells of one method: as the gate does it, and with each cell's own processes alone to
tell how far those lie apart. Writes the table of docs/compare.md (`--page ""`: prints it alone).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

import numpy as np

from convbench.comparison.regressions import judge
from convbench.comparison.result import Policy

from .pages import replace_section
from .simulated import METHODS, Machine, Sweep, config_id, measured

PAGE = Path(__file__).parent.parent / "docs" / "compare.md"
POLICY = Policy()
CELLS, PLANTED, SLOWDOWN = 50, 5, 1.10

MACHINES = {
    "processes 1% apart": Machine(processes=4),
    "2% apart": Machine(processes=4, process=0.02),
    "3% apart": Machine(processes=4, process=0.03),
    "2% apart, in half of the cells more than 3% or less than 1.3%": Machine(processes=4, process=0.02, uneven=0.7),
    "3% apart, five processes": Machine(processes=5, process=0.03),
    "3% apart, six": Machine(processes=6, process=0.03),
    "3% apart, ten": Machine(processes=10, process=0.03),
    "bursty: pairs 5% apart, 15% of them 50%, only 20 pairs": Machine(0.05, 0.15, pairs=20, processes=4),
}


EACH_BY_ITSELF = patch("convbench.comparison.speed.moderated", lambda estimates, seen: dict(estimates))
"""The gate without what a method's cells tell together."""


class Rates(NamedTuple):
    """What so many comparisons said: with nothing planted, and with slowdowns `planted`."""

    comparisons: int
    alarms: int
    resolutions: list[float]
    planted: int
    found: int
    besides: int
    """Cells called slower that were not."""

    def __str__(self) -> str:
        """The cells of a line."""
        return (
            f"{self.alarms / self.comparisons:.1%} | {self.found / self.planted:.0%} "
            f"| {self.besides} of {self.found + self.besides} | {median(self.resolutions) - 1:.0%}"
        )


def rates(machine: Machine, comparisons: int, seed: int = 7) -> Rates:
    """So many A/A comparisons, and a third as many with slowdowns planted."""
    rng, alarms, resolutions = np.random.default_rng(seed), 0, []
    for _ in range(comparisons):
        same = judge(measured(Sweep(CELLS), machine, rng), measured(Sweep(CELLS), machine, rng), POLICY)
        alarms += bool(same.failures)
        resolutions.append(same.resolution or float("inf"))
    found = besides = 0
    for _ in range(comparisons // 3):
        planted = {(int(i), METHODS[0]): SLOWDOWN for i in rng.choice(CELLS, PLANTED, replace=False)}
        base, new = measured(Sweep(CELLS), machine, rng), measured(Sweep(CELLS, planted), machine, rng)
        hits = {(f.key.config_id, f.key.method) for f in judge(base, new, POLICY).failures}
        where = {(config_id(i), method) for i, method in planted}
        found += len(hits & where)
        besides += len(hits - where)
    return Rates(comparisons, alarms, resolutions, comparisons // 3 * PLANTED, found, besides)


def table(comparisons: int) -> str:
    lines = [
        "| machine | A/A comparisons with an alarm | planted 10% found | of those called slower unchanged "
        "| detectable in half of the cells | *by each cell's own processes:* alarms | found | unchanged | detectable |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, machine in MACHINES.items():
        together = rates(machine, comparisons)
        with EACH_BY_ITSELF:
            alone = rates(machine, comparisons)
        lines.append(f"| {name} | {together} | {alone} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gate_simulated", description=__doc__)
    parser.add_argument("--comparisons", type=int, default=300, help="A/A, and a third as many with slowdowns planted")
    parser.add_argument("--page", default=str(PAGE), help="file whose table is replaced; empty: print it alone")
    args = parser.parse_args()
    told = table(args.comparisons)
    print(told)
    if args.page:
        replace_section(Path(args.page), "simulated gate", f"\n{told}\n\n")


if __name__ == "__main__":
    main()
