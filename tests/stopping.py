"""When should sampling stop? Rules for it, compared where the truth is known: `python -m tests.stopping [DIR ...]`.

Simulated machines give the differences d = log(t_baseline / t_method) of a process's pairs one after the other, a rule
says when it has seen enough, and the program's own interval (statistics.processes_interval, or pairs_interval of one
process) is asked whether it holds the truth. With folders of runs that kept long samples (measure.looks=[100]
measure.processes=1), the pairs of their samples.parquet are replayed as well: each rule's verdict against that of all
pairs. Writes the simulations' tables into docs/timing.md (`--page ""`: prints them alone) and prints the replay's.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy.special import betainc, betaln, comb

from convbench.facts.configuration_key import ConfigurationKey
from convbench.facts.measure import Measure
from convbench.facts.statistics import (
    Interval,
    orders_centre,
    pairs_interval,
    processes_interval,
    speed_verdict,
    spread_half_width,
    student_quantile,
)
from convbench.timing.samples import Samples

from .pages import replace_section

PAGE = Path(__file__).parent.parent / "docs" / "timing.md"
MARGIN, EDGE = Measure().margin, math.log(1 + Measure().margin)
ALPHA = 0.025
"""What each side of a sequential test may err, over all its looks together."""
MOST, PROCESSES = 40, Measure().processes
BEYOND = math.log(1.06)
Array = npt.NDArray[Any]
Values = Sequence[float]
Firsts = Sequence[bool]


@dataclass(frozen=True)
class Rule:
    """After which numbers of pairs a rule looks, and whether what it sees is enough."""

    name: str
    looks: tuple[int, ...]
    enough: Callable[[Values, Firsts], bool]

    def stops(self, values: Values, first: Firsts) -> int:
        """How many of the pairs it takes."""
        for look in self.looks[:-1]:
            if look <= len(values) and self.enough(values[:look], first[:look]):
                return look
        return min(self.looks[-1], len(values))


def spread(half_width: float) -> Callable[[Values, Firsts], bool]:
    """The program's: how widely the differences lie, whichever arm is ahead."""

    def enough(values: Values, first: Firsts) -> bool:
        found = spread_half_width(values, first)
        return found is not None and found <= half_width

    return enough


def narrow_interval(values: Values, first: Firsts) -> bool:
    """What suggests itself and is wrong: the interval itself is narrow."""
    found = pairs_interval(values, first)
    return found.low is not None and found.high is not None and (found.high - found.low) / 2 <= Measure().half_width


def decided(rejects: Callable[[int, int], bool]) -> Callable[[Values, Firsts], bool]:
    """A verdict is there: a test of `so many of n differences lie beyond` rejects that half of all do."""

    def enough(values: Values, first: Firsts) -> bool:
        def beyond(edge: float, side: int) -> bool:
            return rejects(sum(side * v > side * edge for v in values), len(values))

        return beyond(EDGE, 1) or beyond(-EDGE, -1) or (beyond(-EDGE, 1) and beyond(EDGE, -1))

    return enough


SPENT_AT = (8, 9, 10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40)


@lru_cache
def spending_bounds(looks: tuple[int, ...] = SPENT_AT) -> dict[int, int]:
    """The number of differences on one side from which an exact sign test rejects, by look.

    The error that may be spent until a look, after a share t of all pairs, is ALPHA · log(1 + (e − 1) t), much of it
    early (Lan & DeMets, Biometrika 1983); the chance to cross is exact: of every count that has not crossed before,
    in fair throws.
    """
    out, chances, seen, spent = {}, {0: 1.0}, 0, 0.0
    for look in looks:
        more = look - seen
        grown: dict[int, float] = {}
        for count, p in chances.items():
            for k in range(more + 1):
                grown[count + k] = grown.get(count + k, 0.0) + p * comb(more, k) / 2**more
        allowed = ALPHA * math.log1p((math.e - 1) * look / looks[-1]) - spent
        bound, crossing = look + 1, 0.0
        while bound > 0 and crossing + grown.get(bound - 1, 0.0) <= allowed:
            bound -= 1
            crossing += grown.get(bound, 0.0)
        out[look], seen, spent = bound, look, spent + crossing
        chances = {count: p for count, p in grown.items() if count < bound}
    return out


def spending(count: int, n: int) -> bool:
    return count >= spending_bounds()[n]


@cache
def mixture(count: int, n: int) -> bool:
    """Always valid: the likelihood of all shares above a half, mixed evenly, over that of a half is at least 1/ALPHA
    (Robbins, Annals of Mathematical Statistics 1970; Ville's inequality bounds how often it ever is)."""
    tail = 1 - float(betainc(count + 1, n - count + 1, 0.5))
    return tail > 0 and (n + 1) * math.log(2) + float(betaln(count + 1, n - count + 1)) + math.log(tail) >= -math.log(
        ALPHA
    )


OURS = Rule("spread ±2% (ours)", Measure().looks, spread(Measure().half_width))
RULES = (
    Rule("always 10 pairs", (10,), lambda v, f: True),
    Rule("always 40 pairs", (MOST,), lambda v, f: True),
    OURS,
    Rule("narrow interval", tuple(range(10, MOST + 1)), narrow_interval),
    Rule("sign test, spending", SPENT_AT, decided(spending)),
    Rule("sign test, always valid", tuple(range(6, MOST + 1)), decided(mixture)),
)

Noise = Callable[[np.random.Generator, Array], Array]
"""The differences of one process's pairs from its own ratio, in time order, given which arm came first in each."""


def normal(rng: np.random.Generator, first: Array) -> Array:
    return rng.normal(0, 0.02, MOST)


def autoregressive(rng: np.random.Generator, first: Array) -> Array:
    out = rng.normal(0, 0.02, MOST)
    for i in range(1, MOST):
        out[i] = 0.7 * out[i - 1] + math.sqrt(1 - 0.7**2) * out[i]
    return out


def bursts(rng: np.random.Generator, first: Array) -> Array:
    """A neighbour comes for some six pairs at a time, a seventh of all; either half may be what it meets."""
    out, busy = rng.normal(0, 0.02, MOST), False
    for i in range(MOST):
        busy = bool(rng.random() < (5 / 6 if busy else 1 / 36))
        out[i] += rng.normal(0, 0.5) if busy else 0.0
    return out


def heavy(rng: np.random.Generator, first: Array) -> Array:
    return 0.01 * rng.standard_t(2, MOST)


def states(rng: np.random.Generator, first: Array) -> Array:
    """The ratio itself is 1% higher for some ten pairs, then as much lower."""
    out, high = rng.normal(0, 0.005, MOST), bool(rng.random() < 0.5)
    for i in range(MOST):
        high ^= bool(rng.random() < 0.1)
        out[i] += 0.01 if high else -0.01
    return out


def drift(rng: np.random.Generator, first: Array) -> Array:
    """The ratio itself moves by 2% from the first pair to the last, either way."""
    return rng.choice([-1, 1]) * np.linspace(-0.01, 0.01, MOST) + rng.normal(0, 0.01, MOST)


def order(rng: np.random.Generator, first: Array) -> Array:
    return np.where(first, 0.04, -0.04) + rng.normal(0, 0.01, MOST)


@dataclass(frozen=True)
class Machine:
    """How far processes of the same code differ (a standard deviation, or two modes so far apart), and their pairs."""

    noise: Noise
    processes: float = 0.01
    modes: float = 0.0

    def own(self, rng: np.random.Generator) -> float:
        return float(rng.choice([-1, 1])) * self.modes / 2 + float(rng.normal(0, self.processes))

    def pairs(self, rng: np.random.Generator) -> tuple[list[float], list[bool]]:
        first = rng.random(MOST) < 0.5
        return self.noise(rng, first).tolist(), first.tolist()


MACHINES = {
    "usual": Machine(normal),
    "processes 3% apart": Machine(normal, 0.03),
    "AR(1), 0.7": Machine(autoregressive),
    "bursts": Machine(bursts),
    "heavy tails": Machine(heavy),
    "two states": Machine(states),
    "drift of the ratio": Machine(drift),
    "order effect": Machine(order),
    "two modes 29% apart": Machine(normal, modes=math.log(1.29)),
}


@dataclass(frozen=True)
class Found:
    """Of simulated rows: pairs in each process, and the shares of intervals that hold the truth, of verdicts although
    the truth is just at the margin, and of a true 6% that is called faster."""

    pairs: float
    held: float
    wrong: float
    found: float


def verdict(interval: Interval) -> str:
    ends = [None if end is None else math.exp(end) for end in (interval.low, interval.high)]
    return speed_verdict(ends[0], ends[1], MARGIN)


def holds(interval: Interval, truth: float) -> bool:
    return interval.low is not None and interval.high is not None and interval.low <= truth <= interval.high


def one_process(rule: Rule, machine: Machine, rng: np.random.Generator, level: float) -> tuple[list[float], list[bool]]:
    """The pairs that the rule takes of a process whose own ratio is `level`."""
    noise, first = machine.pairs(rng)
    values = [level + v for v in noise]
    n = rule.stops(values, first)
    return values[:n], first[:n]


def one_row(
    rule: Rule, machine: Machine, rng: np.random.Generator, processes: int, truth: float
) -> tuple[float, Interval]:
    """Pairs taken in each process, and the row's interval: over processes, or of the pairs of a single one."""
    if processes == 1:
        pairs = one_process(rule, machine, rng, truth)
        return len(pairs[0]), pairs_interval(*pairs)
    taken = [one_process(rule, machine, rng, truth + machine.own(rng)) for _ in range(processes)]
    return fmean(len(values) for values, _ in taken), processes_interval([orders_centre(*pairs) for pairs in taken])


def simulated(rule: Rule, machine: Machine, processes: int, runs: int) -> Found:
    """The same draws for every rule."""
    rng = np.random.default_rng(1)
    edge = [one_row(rule, machine, rng, processes, EDGE) for _ in range(runs)]
    beyond = [one_row(rule, machine, rng, processes, BEYOND) for _ in range(runs)]
    held = [holds(found, EDGE) for _, found in edge] + [holds(found, BEYOND) for _, found in beyond]
    return Found(
        fmean(pairs for pairs, _ in edge + beyond),
        fmean(held),
        fmean(verdict(found) != "inconclusive" for _, found in edge),
        fmean(verdict(found) == "faster" for _, found in beyond),
    )


def simulation(processes: int, runs: int) -> str:
    """A line for each machine, a column for each rule: pairs; intervals that hold; wrong verdicts; 6% found."""
    lines = [f"| machine | {' | '.join(rule.name for rule in RULES)} |", f"|---|{'---|' * len(RULES)}"]
    for name, machine in MACHINES.items():
        if processes == 1 and (machine.modes or machine.processes != Machine.processes):
            continue
        cells = []
        for rule in RULES:
            found = simulated(rule, machine, processes, runs)
            cells.append(f"{found.pairs:.0f}; {found.held:.0%}; {found.wrong:.1%}; {found.found:.0%}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def levels(rule: Rule, machine: Machine, rng: np.random.Generator, processes: int, truth: float) -> list[float]:
    """What each of so many processes finds."""
    return [orders_centre(*one_process(rule, machine, rng, truth + machine.own(rng))) for _ in range(processes)]


def early(centres: Sequence[float]) -> tuple[int, Interval]:
    """Stops after two, three or four processes, as soon as there is a verdict; each look has a third of the error."""
    for n in range(2, len(centres) + 1):
        centre = fmean(centres[:n])
        half = student_quantile(n - 1, 1 - 2 * ALPHA / 3) * stdev(centres[:n]) / math.sqrt(n)
        found = Interval(centre, centre - half, centre + half)
        if verdict(found) != "inconclusive":
            break
    return n, found


def passes(runs: int) -> str:
    """A line for each number of processes, with our rule in each: how many, intervals that hold the mean, 6% found."""
    machines = {name: MACHINES[name] for name in ("usual", "processes 3% apart", "two modes 29% apart")}
    ways: dict[str, Callable[[Sequence[float]], tuple[int, Interval]]] = {
        str(n): lambda centres, n=n: (n, processes_interval(centres[:n]))  # type: ignore[misc]
        for n in (2, 3, 4, 5, 6)
    }
    ways["2 to 4, until a verdict"] = lambda centres: early(centres[:4])
    lines = [f"| processes | {' | '.join(machines)} |", f"|---|{'---|' * len(machines)}"]
    for way, take in ways.items():
        cells = []
        for machine in machines.values():
            rng = np.random.default_rng(1)
            taken = [take(levels(OURS, machine, rng, 6, BEYOND)) for _ in range(runs)]
            held = fmean(holds(found, BEYOND) for _, found in taken)
            seen = fmean(verdict(found) == "faster" for _, found in taken)
            cells.append(f"{fmean(n for n, _ in taken):.1f}; {held:.0%}; {seen:.0%}")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def recorded(folders: Sequence[Path]) -> Iterator[tuple[list[float], list[bool]]]:
    """The pairs of every method and process in these runs, of those with as many as the longest rule takes."""
    for folder in folders:
        rows: dict[ConfigurationKey, list[dict[str, object]]] = {}
        for sample in pq.read_table(folder / "samples.parquet").to_pylist():
            rows.setdefault(ConfigurationKey.of(sample), []).append(sample)
        for own in rows.values():
            for part in Samples.from_rows(own):
                if "autograd" not in part.arms or part.rounds < 2 * MOST:
                    continue
                for method in sorted(set(part.arms) - {"autograd"}):
                    yield part.log_ratios(method, "autograd"), part.ran_first(method, "autograd")


def replay(folders: Sequence[Path]) -> str:
    """What each rule takes of recorded pairs, and how its verdict and median compare with those of all of them."""
    cells = list(recorded(folders))
    lines = [
        "| rule | pairs, mean | verdict of all pairs | none yet | another verdict | median moved by, 90th percentile |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for rule in RULES:
        taken, same, none, moved = [], 0, 0, []
        for values, first in cells:
            n = rule.stops(values, first)
            whole, found = (verdict(pairs_interval(values[:m], first[:m])) for m in (len(values), n))
            taken.append(n)
            same += found == whole
            none += found == "inconclusive" != whole
            moved.append(abs(median(values[:n]) - median(values)))
        other = len(cells) - same - none
        far = float(np.quantile(moved, 0.9))
        lines.append(f"| {rule.name} | {fmean(taken):.0f} | {same} of {len(cells)} | {none} | {other} | {far:.2%} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=1000, help="simulated rows for each cell and truth")
    parser.add_argument("--page", default=str(PAGE), help="file whose tables are replaced; empty: print them alone")
    args = parser.parse_args()
    tables = {
        "stopping, four processes": simulation(PROCESSES, args.runs),
        "stopping, one process": simulation(1, args.runs),
        "passes": passes(args.runs),
    }
    for name, table in tables.items():
        print(f"\n{name}\n\n{table}")
        if args.page:
            replace_section(Path(args.page), name, f"\n{table}\n\n")
    if args.folders:
        print(f"\nreplayed\n\n{replay(args.folders)}")


if __name__ == "__main__":
    main()
