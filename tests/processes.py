"""What the tests of processes and files share: configurations, and children that start without torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convbench.execution.outcome import Outcome
from convbench.facts.measure import Measure
from convbench.facts.record import Record
from convbench.facts.spec import Spec

from . import settings

ROOT = Path(__file__).parent.parent


def make_spec(
    *methods: str, seed: int = 0, timeout_s: float = 20.0, measure: Measure | None = None, **other: Any
) -> Spec:
    """A tiny configuration; `autograd` first, and then `methods`, each of them in tests.faulty if it has a colon."""
    names = ["autograd", *(m.replace("faulty:", "tests.faulty:") for m in methods)]
    tiny = settings.make_spec(op="conv2d", in_channels=1, size=4, kernel=3, methods=names)
    measure = measure or Measure(name="none", enabled=False)
    return replace(tiny, seed=seed, timeout_s=timeout_s, measure=measure, **other)


def use_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on children run tests/stub/runner.py instead of convbench.runner."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "stub"))


def children(pid: int | None = None) -> set[int]:
    """Process numbers of the living children of a process, this one by default; without Python's own, which stays
    beside a process that has used multiprocessing."""
    parent = pid or os.getpid()
    # Not from /proc/PID/task/*/children, which the kernel does not promise to be whole while processes come and go.
    found = {
        int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal() and _parent(folder) == parent
    }
    return {child for child in found if alive(child) and b"resource_tracker" not in _command(child)}


def _parent(process: Path) -> int | None:
    """The number of its parent; None where it is gone."""
    try:
        return int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return None


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Notes:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.passes: list[tuple[int, int, int]] = []
        self.started: list[Spec] = []
        self.finished: list[tuple[Spec, list[Record]]] = []
        self.outcomes: list[Outcome] = []

    def watch(self, doing: object) -> None: ...

    def begin(self, total: int, already_done: int) -> None:
        self.begun.append((total, already_done))

    def passing(self, number: int, passes: int, due: int) -> None:
        self.passes.append((number, passes, due))

    def start(self, spec: Spec) -> None:
        self.started.append(spec)

    def finish(self, spec: Spec, records: Sequence[Record]) -> None:
        self.finished.append((spec, list(records)))

    def warn(self, problem: str, remedy: str) -> None:
        raise AssertionError(f"{problem}; {remedy}")

    def end(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def measured(outcome: Outcome) -> int:
    """How many configurations this sweep has measured itself."""
    return outcome.total - outcome.already_done - outcome.missing
