"""Runs that never happened: rows as a sweep would have written them, from simulated paired samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from convbench.facts.record import Record, record
from convbench.facts.statistics import Interval, median_interval, processes_interval

METHODS = ("explicit", "unfold")

UNEVEN = np.random.default_rng(11).normal(0, 1, (1000, len(METHODS)))
"""How uneven a cell's processes are: the same in every run of it."""


@dataclass(frozen=True)
class Machine:
    """How a simulated machine errs, in log units.

    `pair`: standard deviation of one pair's log ratio; a share `bursts` of the pairs has ten times that.
    `process`: standard deviation of the ratio between processes; it is itself another in every cell, its log by
    `uneven`. `run`: of absolute times between runs. `processes`: fresh ones in a run.
    """

    pair: float = 0.02
    bursts: float = 0.05
    process: float = 0.01
    uneven: float = 0.0
    run: float = 0.02
    pairs: int = 40
    processes: int = 1

    def interval(self, truth: float, scatter: float, rng: np.random.Generator) -> Interval:
        """What a run says of a log ratio whose processes scatter by `scatter`, as statistics has it."""
        levels = truth + rng.normal(0, scatter, self.processes)
        wide = np.where(rng.random((self.processes, self.pairs)) < self.bursts, 10, 1)
        pairs = levels[:, None] + rng.normal(0, self.pair, (self.processes, self.pairs)) * wide
        if self.processes == 1:
            return median_interval(pairs[0].tolist())
        return processes_interval(np.median(pairs, axis=1).tolist())


@dataclass
class Sweep:
    """The true state of affairs: a speedup per (configuration, method), and factors by which some became slower."""

    configurations: int = 50
    slowdown: Mapping[tuple[int, str], float] = field(default_factory=dict)

    def true_speedup(self, i: int, method: str) -> float:
        return (0.3 + 0.1 * (i % 23)) * (2 if method == "explicit" else 1)


def config_id(i: int) -> str:
    return f"{i:016x}"


def row(i: int, method: str, **values: object) -> Record:
    """A measured row of configuration `i` (a conv2d of size 8 + i), with `values` on top."""
    return record(
        {
            "op": "conv2d",
            "batch": 1,
            "in_channels": 4,
            "out_channels": 8,
            "in_h": 8 + i,
            "in_w": 8 + i,
            **{
                f"{name}_{axis}": v
                for name, v in {"kernel": 3, "stride": 1, "pad": 1, "dil": 1}.items()
                for axis in "hw"
            },
            "output_padding_h": 0,
            "output_padding_w": 0,
            "groups": 1,
            "bias": 0,
            "dtype": "float32",
            "device": "cpu",
            "memory_format": "contiguous",
            "wrt": "input",
            "order": 1,
            "fill": "normal",
            "seed": 0,
            "threads": 1,
            "method": method,
            "baseline": "autograd",
            "measure": "default",
            "config_id": config_id(i),
            "run_key": config_id(i),
            "status": "ok",
            "accuracy": "ok",
            "environment_id": "a1b2",
            "convbench_version": "0.1.0",
            **values,
        }
    )


def timed_row(i: int, method: str, speedup: tuple[float, float, float] | None, time_s: float | None = None) -> Record:
    """A timed row; `speedup` is (median, low, high), None for the baseline's own row, which takes 1 ms."""
    if time_s is None:
        time_s = 1e-3 / (speedup[0] if speedup else 1.0)
    times = {"time_s": time_s, "time_low_s": time_s * 0.99, "time_high_s": time_s * 1.01, "samples": 40}
    if speedup is None:
        return row(i, method, speedup=1.0, **times)
    middle, low, high = speedup
    return row(i, method, speedup=middle, speedup_low=low, speedup_high=high, speed="faster", **times)


def measured(sweep: Sweep, machine: Machine, rng: np.random.Generator) -> list[Record]:
    """One run of the sweep on the machine, as rows."""
    rows = []
    for i in range(sweep.configurations):
        drift = math.exp(rng.normal(0, machine.run))
        rows.append(timed_row(i, "autograd", None, 1e-3 * drift))
        for method in METHODS:
            truth = math.log(sweep.true_speedup(i, method) / sweep.slowdown.get((i, method), 1.0))
            scatter = machine.process * math.exp(machine.uneven * UNEVEN[i, METHODS.index(method)])
            middle, low, high = machine.interval(truth, scatter, rng)
            assert low is not None
            assert high is not None
            ends = (math.exp(middle), math.exp(low), math.exp(high))
            rows.append({**timed_row(i, method, ends, 1e-3 * drift / ends[0]), "processes": machine.processes})
    return rows
