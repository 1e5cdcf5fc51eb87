"""One side of a duet: a process of one Python environment that takes single samples whenever it is asked to.

Every request and every answer is one line of JSON. Between requests the process sleeps, so that the other side
has the machine to itself.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import platform
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, TextIO

import torch

from ..facts.spec import Spec
from ..measurement import problem
from ..measurement.problem import Problem
from ..measurement.switches import switched
from ..methods.own import context_of, load
from ..runner import failure, run
from ..timing.clocks import Arm, Clock, clock_for
from ..timing.rounds import unmarked


class Side:
    """What is prepared at the moment: a configuration's tensors, and one method that can be sampled."""

    def __init__(self) -> None:
        self._configuration, self._preparation = ExitStack(), ExitStack()
        self._spec: Spec | None = None
        self._made: Problem | None = None
        self._clock: Clock | None = None
        self._arm: Arm | None = None

    def close(self) -> None:
        """Frees what is prepared and restores the switches that were set before."""
        self._preparation.close()
        self._configuration.close()
        self._made = self._clock = self._arm = None

    def hello(self) -> dict[str, Any]:
        return {"torch": str(torch.__version__), "python": platform.python_version(), "prefix": sys.prefix}

    def judge(self, spec: dict[str, Any], methods: list[str]) -> dict[str, Any]:
        """Rows with status and accuracy; nothing is timed."""
        asked = Spec.from_dict(spec)
        untimed = replace(asked, measure=replace(asked.measure, enabled=False))
        result = run(untimed, methods, unmarked)
        return {"records": result.records, "environment": result.environment}

    def configure(self, spec: dict[str, Any], cores: list[int]) -> dict[str, Any]:
        """Makes the configuration's tensors, on the same cores as the other side does."""
        self.close()
        self._spec = Spec.from_dict(spec)
        bind(cores)
        self._configuration.enter_context(switched(self._spec.switches))
        self._made = problem.make(self._spec)
        return {}

    def prepare(self, method: str) -> dict[str, Any]:
        """Prepares one method; says what a sample of it should be like."""
        assert self._spec is not None
        assert self._made is not None
        self._preparation.close()
        self._arm = None
        clock = clock_for(self._spec.device, self._spec.measure)
        self._preparation.enter_context(clock.context())
        loaded = load(method)
        (self._arm,) = clock.ready([Arm(method, loaded(self._made), context_of(loaded))])
        self._clock = clock
        gc.collect()
        return {name: getattr(clock, name) for name in ("sample_s", "warmup_s", "max_calls")}

    def sample(self, calls: int) -> dict[str, Any]:
        """One reading of `calls` calls, after one that brings back what the other side pushed out of the caches."""
        assert self._arm is not None
        assert self._clock is not None
        with self._arm.context():
            if calls > 1:
                self._clock.submit(self._arm.call, 1)
                self._clock.drain()
            self._clock.submit(self._arm.call, calls)
            (reading,) = self._clock.drain()
        return reading._asdict()


def bind(cores: list[int]) -> None:
    """Binds every thread of this process to `cores`, torch's pool included; none given, nothing is bound.

    sched_setaffinity(0, …) would bind the calling thread and those that it starts later.
    """
    for thread in os.listdir("/proc/self/task") if cores else ():
        # A thread may have ended since it was listed.
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answers until the other end closes. What a request raises is its answer."""
    side = Side()
    gc.disable()
    for line in requests:
        request = json.loads(line)
        try:
            answer = getattr(side, request.pop("do"))(**request)
        except Exception as error:  # a method's own code may raise anything
            answer = {"raised": failure(error)}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


def main() -> None:
    """Serves the pipes whose numbers are the last two arguments."""
    faulthandler.enable(all_threads=False)
    reading, writing = (int(word) for word in sys.argv[-2:])
    with os.fdopen(reading) as requests, os.fdopen(writing, "w") as replies:
        serve(requests, replies)
