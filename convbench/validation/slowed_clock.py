"""A clock on which one call is slower by a factor that is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from ..timing.clocks import Arm, Call, Clock, HostTimes, Parted, Reading, Take

EXTRA = 0.05
"""Share of calls made beyond those counted: a slowdown that is exact and that no sleep can imitate."""


class SlowedClock:
    """Another clock on which one call is slower by a known factor: for n calls counted it makes n + round(n·EXTRA)."""

    def __init__(self, clock: Clock, slowed: Call) -> None:
        self._clock, self._slowed = clock, slowed
        self._timed = slowed
        self.sample_s, self.warmup_s = clock.sample_s, clock.warmup_s
        self.batch_rounds, self.max_calls = clock.batch_rounds, clock.max_calls
        self._factors: list[float] = []

    @property
    def parts(self) -> int:
        return self._clock.parts if isinstance(self._clock, Parted) else 0

    @parts.setter
    def parts(self, parts: int) -> None:
        if isinstance(self._clock, Parted):
            self._clock.parts = parts

    def now(self) -> float:
        return self._clock.now()

    def context(self) -> AbstractContextManager[Any]:
        return self._clock.context()

    def ready(self, arms: Sequence[Arm]) -> Sequence[Arm]:
        """The other clock's arms; the slowed call may have become another, such as a captured graph's."""
        ready = self._clock.ready(arms)
        self._timed = next(now.call for arm, now in zip(arms, ready, strict=True) if arm.call is self._slowed)
        return ready

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        made = calls + extra_calls(calls) if call is self._timed else calls
        self._factors.append(made / calls)
        self._clock.submit(call, made, take)

    def drain(self) -> list[Reading]:
        factors, self._factors = self._factors, []
        readings = zip(self._clock.drain(), factors, strict=True)
        return [
            reading._replace(
                seconds=reading.seconds * factor,
                call_cpu_s=None if reading.call_cpu_s is None else reading.call_cpu_s * factor,
                calls=None if reading.calls is None else round(reading.calls / factor),
            )
            for reading, factor in readings
        ]

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        return None

    def conditions(self) -> dict[str, Any]:
        return self._clock.conditions()


def extra_calls(calls: int) -> int:
    """At least one, so that short samples are slowed as well."""
    return max(1, round(calls * EXTRA))
