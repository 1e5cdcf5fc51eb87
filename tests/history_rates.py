"""How often `history` and `compare --history` are right where the truth is known: `python -m tests.history_rates`.

Every month has 50 cells, whose logs of slowness are normal about their truth from night to night; what is planted
stands in five of them. The table is that of docs/history.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from convbench.comparison.trend import drifted, trend_of

CELLS, PLANTED, MARGIN = 50, 5, math.log(1.03)
QUIET, BEFORE, AFTER = 30, 30, 14
"""Nights without a change that are watched for false alarms; nights before and after something is planted."""

Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Month:
    """How the machine errs: standard deviation of a night; share of nights disturbed by up to 30% either way."""

    sigma: float = 0.012
    bursts: float = 0.0

    def noise(self, nights: int, rng: np.random.Generator) -> Series:
        disturbed = rng.random(nights) < self.bursts
        odd = rng.uniform(0.05, 0.3, nights) * rng.choice([-1, 1], nights)
        return rng.normal(0, self.sigma, nights) + np.where(disturbed, odd, 0.0)


def step(size: float) -> Callable[[int], Series]:
    """A factor of `size` from one night on."""
    return lambda nights: np.full(nights, math.log(size), np.float64)


def drift(a_night: float) -> Callable[[int], Series]:
    """A factor of `a_night` every night."""
    return lambda nights: math.log(a_night) * np.arange(1, nights + 1, dtype=np.float64)


def judged(cells: list[Series]) -> set[int]:
    return set(drifted({i: trend_of(list(values)) for i, values in enumerate(cells)}, MARGIN))


@dataclass(frozen=True)
class Rates:
    """Of months: planted cells found within AFTER nights and after how many (median, the longest), and unchanged cells
    found beside them."""

    found: int
    planted: int
    delay: float | None
    longest: int | None
    beside: int


def alarms(month: Month, months: int, seed: int = 1) -> int:
    """Of so many quiet months of QUIET nights, after BEFORE that nobody judges: the nights with an alarm."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(months):
        cells = [month.noise(BEFORE + QUIET, rng) for _ in range(CELLS)]
        found += sum(
            bool(judged([values[:night] for values in cells])) for night in range(BEFORE + 1, BEFORE + QUIET + 1)
        )
    return found


def rates(month: Month, truth: Callable[[int], Series], months: int, seed: int = 0) -> Rates:
    rng = np.random.default_rng(seed)
    delays: list[int] = []
    beside = 0
    for _ in range(months):
        cells = [month.noise(BEFORE + AFTER, rng) for _ in range(CELLS)]
        for i in range(PLANTED):
            cells[i][-AFTER:] += truth(AFTER)
        seen: dict[int, int] = {}
        for day in range(1, AFTER + 1):
            for i in judged([values[: BEFORE + day] for values in cells]):
                seen.setdefault(i, day)
        delays += [day for i, day in seen.items() if i < PLANTED]
        beside += sum(i >= PLANTED for i in seen)
    delay = median(delays) if delays else None
    return Rates(len(delays), months * PLANTED, delay, max(delays, default=None), beside)


MACHINES = {
    "quiet: a night's ratios 1.2% apart": Month(),
    "noisy: 2.5% apart": Month(0.025),
    "bursts: 1.2% apart, one night in 16 up to 30% off": Month(bursts=1 / 16),
}
TRUTHS = {
    "step of 5%": step(1.05),
    "step of 10%": step(1.10),
    "drift of 1% a night": drift(1.01),
    "drift of 0.5% a night": drift(1.005),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=20, help="months for each line (default: 20)")
    months = parser.parse_args().months
    print(
        "| machine | planted in 5 of 50 cells | found in 14 nights | missed | nights: median, longest | false alarms |"
    )
    print("|---|---|--:|--:|--:|--:|")
    for machine, month in MACHINES.items():
        print(f"| {machine} | nothing | | | | on {alarms(month, months)} of {months * QUIET} nights |", flush=True)
        for what, truth in TRUTHS.items():
            r = rates(month, truth, months)
            delay = f"{r.delay:g}, {r.longest}" if r.delay is not None else "–"
            share = f"{r.found} of {r.planted} ({r.found / r.planted:.0%})"
            beside = f"{r.beside} of {months * (CELLS - PLANTED)} cells"
            print(f"| | {what} | {share} | {r.planted - r.found} | {delay} | {beside} |", flush=True)


if __name__ == "__main__":
    main()
