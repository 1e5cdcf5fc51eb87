"""What a clock is; which one a type of device has, its file in devices/ says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple, Protocol, runtime_checkable

Call = Callable[[], Any]
Take = Callable[[Any], None]
"""Is given what the last call of a sample returned."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A method's name, what is timed, and what each sample of it runs under (entered outside the timed region)."""

    name: str
    call: Call
    context: Callable[[], AbstractContextManager[Any]] = nullcontext


class Reading(NamedTuple):
    """One sample: seconds of device time per call, seconds spent inside its timed regions, whether the device may have
    waited for the host, and the CPU seconds that the timed regions took where the host is the device.

    `seconds` is that of the median part where the sample has parts, and `call_cpu_s` the CPU seconds of a call
    likewise. `switches` counts how often the process was taken off its core meanwhile, `minor_faults` and
    `major_faults` the pages that it touched first or that came from a disk. None: nobody counted. `calls` that the
    sample came to hold, where it was ended early because it took many times as long as it should.
    """

    seconds: float
    spent_s: float
    late: bool = False
    cpu_s: float | None = None
    call_cpu_s: float | None = None
    switches: int | None = None
    minor_faults: int | None = None
    major_faults: int | None = None
    calls: int | None = None


class Lost(Exception):
    """A method that cannot go on; `row` is what its row says of it, `traceback` that of the exception in its process,
    `output` the last that the process printed."""

    traceback = ""
    output = ""

    def __init__(self, **row: Any) -> None:
        super().__init__(str(row.get("reason")))
        self.row = row


class HostTimes(NamedTuple):
    """Host seconds per call until everything is enqueued, and until the device has finished it; and seconds per call
    that the device works on what a sample of such calls does not see."""

    enqueue_s: float
    wall_s: float
    unseen_s: float = 0.0


class Clock(Protocol):
    """Takes samples on one device. Samples may be queued: their times are read in batches.

    `sample_s`: timed work that a sample should hold at least; `warmup_s`: how long to warm up; `batch_rounds`:
    rounds between two reads; `max_calls`: calls in one sample at most.
    """

    sample_s: float
    warmup_s: float
    batch_rounds: int
    max_calls: int

    def now(self) -> float:
        """Host time in seconds from an arbitrary origin; never goes back."""

    def context(self) -> AbstractContextManager[Any]:
        """Wraps preparation and timing alike, so that both are on the timed stream."""

    def ready(self, arms: Sequence[Arm]) -> Sequence[Arm]:
        """The arms as they will be timed, for instance captured as graphs: all of them or none."""

    def submit(self, call: Call, calls: int, take: Take | None = None) -> None:
        """Takes or queues one sample of `calls` calls; `take` gets the last one's result, outside the timed region."""

    def drain(self) -> list[Reading]:
        """Waits for the queued samples and returns their readings in the order of submission."""

    def host_times(self, call: Call, calls: int) -> HostTimes | None:
        """Of `calls` calls that find the device idle; None where the host is the device."""

    def conditions(self) -> dict[str, Any]:
        """What was in force or observed while sampling: `cache`, `cuda_graph`, `throttle`, `clock_mhz`, …"""


@runtime_checkable
class Parted(Protocol):
    """A clock that reads a sample in `parts` of as many calls each, and tells the time of the median one; 0 where it
    turns out to have none."""

    parts: int


@runtime_checkable
class Gauged(Protocol):
    """A clock that can tell how fast the machine is: `gauge` times a fixed piece of work once, and its `conditions` say
    what that took in the median as `control_s`."""

    def gauge(self) -> None: ...


class HostClock:
    """What the clocks have in common that read the host's time around every sample and queue none."""

    batch_rounds = 1

    def __init__(self) -> None:
        self._readings: list[Reading] = []

    def now(self) -> float:
        return perf_counter()

    def context(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def ready(self, arms: Sequence[Arm]) -> Sequence[Arm]:
        return arms

    def drain(self) -> list[Reading]:
        readings, self._readings = self._readings, []
        return readings
