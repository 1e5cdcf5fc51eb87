"""How long and how carefully a configuration is timed."""

from __future__ import annotations

from dataclasses import dataclass

from .values import InvalidValue, number, one_of, whole_number


@dataclass(frozen=True, slots=True)
class Measure:
    """How long and how carefully to time. Times in seconds; the reasons for the numbers are in conf/measure/."""

    name: str = "default"
    enabled: bool = True
    looks: tuple[int, ...] = (10, 20, 40)
    half_width: float = 0.02
    min_time_s: float = 0.1
    max_time_s: float = 10.0
    sample_s: float = 0.01
    gpu_sample_s: float = 0.001
    warmup_calls: int = 3
    warmup_s: float = 0.1
    gpu_warmup_s: float = 0.5
    margin: float = 0.03
    processes: int = 4
    cache: str = "hot"
    cuda_graph: bool = False
    time: str = "device"
    backward: bool = True
    memory: bool = True
    kernels: bool = True
    profile: bool = False
    samples: bool = True

    def __post_init__(self) -> None:
        if not self.looks or list(self.looks) != sorted(set(self.looks)) or self.looks[0] < 6:
            raise InvalidValue(
                "measure.looks",
                f"measure.looks={list(self.looks)} must be increasing numbers of pairs, the first at least 6 "
                "(fewer have no 95% interval)",
            )
        for key in (
            "half_width",
            "min_time_s",
            "max_time_s",
            "sample_s",
            "gpu_sample_s",
            "warmup_s",
            "gpu_warmup_s",
            "margin",
        ):
            number(f"measure.{key}", getattr(self, key), 0)
        whole_number("measure.warmup_calls", self.warmup_calls, 1)
        whole_number("measure.processes", self.processes, 1)
        one_of("measure.cache", self.cache, ("hot", "cold"))
        if self.profile and self.enabled:
            raise InvalidValue(
                "measure.profile",
                "measure.profile=true marks calls for a profiler, which slows them; time them in a run of its own "
                "(measure=profile alone times nothing)",
            )
        one_of("measure.time", self.time, ("device", "wall"))

    @property
    def passes(self) -> int:
        """How many fresh processes measure a configuration: one where nothing is timed."""
        return self.processes if self.enabled else 1
