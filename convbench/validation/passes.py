"""Tries in fresh processes, as many as the measurement has: what the next process finds is what is to be known.

Each process starts torch anew, makes its tries and prints them, a line of JSON each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from ..facts.measure import Measure
from ..timing.rounds import ArmFailed
from .burst import environment
from .evidence import Try
from .proofs import Setup
from .proofs import tries as tries_here

TRY_SHARE = 1 / 25
"""Share of the budget that the pairs of one measurement may take: on a noisy machine it would else go on to its last
pair, and too few would fit in to tell anything."""

SEEDS = 10_000
"""Between the seeds of two processes: more than the tries of one."""


class Failed(RuntimeError):
    """What a process said that it failed of."""


def tries(setup: Setup, budget_s: float) -> Iterator[Try]:
    """Tries of as many processes as `setup.measure` has, one after the other, the starting of torch included in the
    budget; at least one of each. Raises Failed."""
    end = time.monotonic() + budget_s
    measure = replace(setup.measure, max_time_s=min(setup.measure.max_time_s, TRY_SHARE * budget_s))
    for process in range(measure.processes):
        share_s = (end - time.monotonic()) / (measure.processes - process)
        own = replace(setup, measure=measure, seed=setup.seed + SEEDS * process)
        for one in _of_process(own, share_s):
            yield replace(one, process=process)


def _of_process(setup: Setup, budget_s: float) -> Iterator[Try]:
    asked = json.dumps({**asdict(setup), "until": time.time() + budget_s})
    command = [sys.executable, "-m", "convbench.validation.passes", asked]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment(), text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said = json.loads(line)
                if "failed" in said:
                    raise Failed(said["failed"])
                yield Try.from_dict(said)
        except BaseException:  # Ctrl-C, or nobody wants more
            process.kill()
            raise
    if process.returncode:
        raise Failed(f"the process that measured ended with {process.returncode}")


def told(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    if isinstance(error, Failed):
        return str(error)
    own = error.error if isinstance(error, ArmFailed) else error
    return f"{type(own).__name__}: {str(own).partition(chr(10))[0]}"


def setup_of(asked: dict[str, Any]) -> Setup:
    measure = Measure(**{**asked["measure"], "looks": tuple(asked["measure"]["looks"])})
    return Setup(asked["device"], asked["threads"], measure, asked["seed"])


def main(asked: dict[str, Any]) -> None:
    """Prints the tries of this process, or what it failed of."""
    try:
        for one in tries_here(setup_of(asked), asked["until"] - time.time()):
            print(json.dumps(asdict(one)), flush=True)
    except (ArmFailed, RuntimeError) as failed:
        print(json.dumps({"failed": told(failed)}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
