"""One sample as it is kept: what is said of it in the pairs of its configuration and in samples.parquet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from .clocks import Reading


class Sample(NamedTuple):
    """One sample as it is kept: seconds per call of its median part, calls, seconds per call of all of it, CPU seconds
    per call of its median part, and how often the process was taken off its core meanwhile."""

    time: float
    calls: int
    mean: float | None
    cpu: float | None
    switches: int | None


def sample_of(reading: Reading, calls: int) -> Sample:
    """What is kept of a reading of `calls` calls."""
    cpu = reading.call_cpu_s
    return Sample(
        _rounded(reading.seconds),
        calls,
        _rounded(reading.spent_s / calls),
        None if cpu is None else _rounded(cpu),
        reading.switches,
    )


def _rounded(seconds: float) -> float:
    """Seven significant digits: beyond what any clock resolves in a sample, and half the size on disk."""
    return float(f"{seconds:.6e}")


KEPT = {"times": "time_s", "calls": "calls", "means": "mean_s", "cpu": "cpu_s", "switches": "switches"}
"""Fields of Samples that hold a value for each sample, and their columns in samples.parquet."""


def sample_from(row: Mapping[str, Any]) -> Sample:
    """A sample from its row. pandas has NaN where nothing is known."""
    mean, cpu, switches = (None if (v := row.get(c)) is None or v != v else v for c in ("mean_s", "cpu_s", "switches"))
    return Sample(float(row["time_s"]), int(row["calls"]), mean, cpu, None if switches is None else int(switches))


class Kept(Protocol):
    """Samples as far as they are kept, a row for every round and a value for every arm."""

    @property
    def arms(self) -> tuple[str, ...]: ...
    @property
    def times(self) -> list[list[float]]: ...
    @property
    def means(self) -> list[list[float | None]]: ...
    @property
    def cpu(self) -> list[list[float | None]]: ...
    @property
    def switches(self) -> list[list[int | None]]: ...
