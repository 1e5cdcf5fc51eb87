"""What a method of one's own costs beside the same formula that ships: `python -m tests.own_cost [CONFIGURATIONS]`.

Configurations of either kind take turns, so that a busy machine is as busy for one as for the other. Without timing,
it prints what a configuration takes: on the wall, and in CPU seconds of the judging process and of the method's. With
timing, the share of the sampling that is outside of timed regions.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor

from convbench.execution.guests import Guests
from convbench.facts.measure import Measure
from convbench.facts.spec import Spec
from convbench.measurement.problem import Problem
from convbench.methods.explicit import prepare
from convbench.runner import run, warm_up
from convbench.timing.rounds import unmarked

from .processes import ROOT
from .settings import make_spec

OWN = "tests.own_cost:explicit"
CEILINGS = {"ceiling_tflops": 1.0, "ceiling_gbps": 1.0}
TIMED = Measure(looks=(20,), min_time_s=0.0, max_time_s=20.0, sample_s=0.01, warmup_s=0.05, memory=False)


def explicit(problem: Problem) -> Callable[[], Tensor]:
    return prepare(problem)


def spec_of(method: str, seed: int, measure: Measure) -> Spec:
    """The notebook's case."""
    spec = make_spec(methods=["autograd", method], seed=seed, timeout_s=60.0, kernel=9, size=17)
    return replace(spec, measure=measure)


def cpu_of(guests: Guests) -> float:
    """CPU seconds of the method's process; 0 where it has ended, as when the baseline seems slower beside it."""
    child = guests.of(OWN)._child
    return (child.cpu_s if child else None) or 0.0


def taken(guests: Guests, method: str, seed: int, measure: Measure) -> tuple[float, float, float]:
    """Milliseconds on the wall and of CPU time, and the share of the sampling outside of timed regions."""
    spec = spec_of(method, seed, measure)
    begun, cpu, other = time.perf_counter(), time.process_time(), cpu_of(guests)
    result = run(spec, spec.arms, unmarked, 0, CEILINGS, guests)
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu + cpu_of(guests) - other
    assert all(row["status"] == "ok" and row["accuracy"] == "ok" for row in result.records), result.records
    outside = 0.0
    for samples in result.samples:
        outside = 1 - samples.measured_s / samples.counters["sampling_s"]
    return wall_s * 1e3, cpu_s * 1e3, outside


def main(configurations: int) -> None:
    torch.set_num_threads(1)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    guests = Guests(None, unmarked)
    try:
        warm_up()
        for method in ("explicit", OWN):
            run(spec_of(method, 0, TIMED), ("autograd", method), unmarked, 0, CEILINGS, guests)
        for what, measure, count in (("judged", Measure(enabled=False), configurations), ("timed", TIMED, 20)):
            found = defaultdict(list)
            for seed in range(1, count + 1):
                for method in ("explicit", OWN):
                    found[method].append(taken(guests, method, seed, measure))
            for method, rows in found.items():
                wall, cpu, outside = (median(column) for column in zip(*rows, strict=True))
                quick = sorted(row[0] for row in rows)[len(rows) // 10]
                print(f"{what}, {method}: {wall:.1f} ms (a tenth under {quick:.1f}), {cpu:.1f} ms of CPU", end="")
                print(f", {100 * outside:.1f}% of the sampling outside of timed regions" if outside else "")
    finally:
        guests.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 150)
