"""A runner without torch: marks the stages, calls the methods of tests/faulty.py and makes up a row for each."""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convbench.facts.record import Record, record
from convbench.facts.spec import Spec
from convbench.timing.samples import Samples


def environment_id() -> str:
    """`stub`, or what the variable says; where that is `changing`, another one in every process."""
    said = os.environ.get("CONVBENCH_STUB_ENVIRONMENT", "stub")
    return f"of-{os.getpid()}" if said == "changing" else said


@dataclass
class Result:
    records: list[Record]
    samples: list[Samples] = field(default_factory=list)
    environment: dict[str, Any] | None = None
    ceilings: dict[str, float] = field(default_factory=dict)
    once_s: float = 0.0
    spent: bool = False
    failures: list[Any] = field(default_factory=list)


def warm_up() -> None:
    """Nothing here takes long the first time."""


def run(
    spec: Spec,
    methods: Sequence[str],
    stage: Callable[[str, str], None],
    process: int,
    known_ceilings: Mapping[str, float],
    apart: object = None,
) -> Result:
    """A row per method; `reason` is the process that made it, `samples` how many methods it was asked for.

    The ceiling that it finds is its own process's number, and it took that process half a second to get there.
    """
    stage("", "reference")
    if "reference" in spec.labels:
        _call(spec.labels["reference"])
    rows = []
    for method in methods:
        stage(method, "prepare")
        stage(method, "accuracy")
        if ":" in method:
            _call(method)
        values = {
            "method": method,
            "status": "ok",
            "accuracy": "ok",
            "reason": f"{os.getpid()}",
            "environment_id": environment_id(),
        }
        if spec.labels.get("deceives") == f"{method} {process}":
            values.update(accuracy="fail", reason="its clock cannot be right")
        rows.append(record({**spec.columns(), **values, "samples": len(methods)}))
    samples = []
    if spec.measure.enabled:
        for method in methods:
            stage(method, "timing")
            if spec.labels.get("timing") == method:
                _call(spec.labels["fault"])
        if spec.labels.get("timing") == "":
            stage("", "timing")
            _call(spec.labels["fault"])
        samples = [_samples(spec, methods, process)]
        for row in rows:
            row.update(flops=8 * 10**12, bytes=10**9)
    ceilings = {"ceiling_tflops": float(os.getpid()), **known_ceilings}
    for row in rows:
        row.update(ceilings if spec.measure.enabled else {})
    environment = {"environment_id": environment_id(), "cpu": "none"}
    return Result(rows, samples, environment, ceilings, 0.5, "spent" in spec.labels)


def _call(name: str) -> None:
    module, _, function = name.partition(":")
    getattr(importlib.import_module(module), function)(None)()


def _samples(spec: Spec, methods: Sequence[str], process: int) -> Samples:
    """Six rounds in which arm a of process p takes (p + 1)(a + 1) seconds."""
    arms = range(len(methods))
    return Samples(
        tuple(methods),
        spec.seed,
        margin=0.03,
        half_width=0.01,
        times=[[(process + 1.0) * (a + 1) for a in arms] for _ in range(6)],
        calls=[[1 for _ in arms] for _ in range(6)],
        order=[list(arms) for _ in range(6)],
        process=process,
    )
