"""Paired, interleaved timing: rounds of all arms in random order until the ratios are known closely enough.

This module knows no device: a Clock takes the samples. What the table says about them is in `samples`.
"""

from __future__ import annotations

import gc
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from statistics import median

from ..facts.measure import Measure
from ..facts.timed_as import WALL_TIME
from . import alone, sample_size
from .clocks import Arm, Clock, Gauged, HostTimes, Lost, Parted, Reading
from .sample import Sample, sample_of
from .samples import Samples
from .tally import Tally

Stage = Callable[[str, str], None]
"""Marks what is about to be executed: (method, phase)."""


PHASES = ("warm-up", "timing")
"""What is marked while arms are timed; without a method's name where any of them may be at work."""


def unmarked(method: str, phase: str) -> None:
    """The Stage of whoever needs no marks."""


WARMUP_SHARE = 0.2
"""Share of `max_time_s` after which warming up ends even if an arm was called fewer than `warmup_calls` times, but at
least twice: a first call may load or compile something for seconds, and says nothing of how many fill a sample."""

BATCH_S = 1.0
"""Seconds of samples at most that are queued before they are waited for. `max_time_s` is looked at in between, and is
3 s in the quickest preset; waiting takes some microseconds."""

REHEARSALS = 3
"""Samples in a row in which the device waits for the host before they are made shorter: one may be a hiccup."""

SHORTEST_S = 1e-4
"""Samples are not made shorter than this: what stands between two events besides the calls, about a microsecond, is
one percent of it."""

UNSEEN_S = 1e-4
"""Seconds of a sample's calls outside of its sight from which that counts; waiting for a device takes a fifth."""

UNSEEN_SHARE = 0.1
"""Share of the wall time, likewise: the host's own times vary by about as much."""

HIDDEN, HIDDEN_S = 1.5, 2e-6
"""So many times as long as its calls took, and this many seconds more, a device may be at work on one of them by its
driver's account: that call is the only one, and kernels of some microseconds vary."""

LATENCIES = 11
"""Calls by themselves, after the pairs, whose median is the latency of one."""

HOST_SAMPLES = 5
"""Samples of the host's own times per arm, after the pairs; a plain median without an interval."""


def unseen(seconds: float) -> str:
    """Why a method fails of whose calls so much is not timed."""
    return (
        f"its calls start work that torch's current stream does not wait for, at least {seconds * 1e6:.3g} µs a call, "
        "which is not timed; launch on that stream or let it wait (docs/methods.md, The stream)"
    )


class ArmFailed(Exception):
    """An arm raised while it was timed; `error` is what it raised. `name` is empty where a queued error came
    back that any of the arms may have caused."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(f"{name or 'one of the arms'}: {type(error).__name__}: {error}")
        self.name, self.error = name, error


def measure(
    arms: Sequence[Arm], baseline: str, measure: Measure, clock: Clock, seed: int, stage: Stage, process: int = 0
) -> Samples:
    """Times all arms in rounds; the order within each is drawn from `seed` and `process`.

    Sampling ends at one of the numbers of pairs in `measure.looks` when the spread of every ratio is at most
    `measure.half_width` and `measure.min_time_s` went by, or at the last of them, or after
    `measure.max_time_s`. It never looks at which arm is ahead. Raises ArmFailed.
    """
    session = _Session(arms, baseline, measure, clock, stage)
    begun = clock.now()
    with _no_garbage_collection(), _nothing_left(clock):
        calls = session.warm_up()
        warm = clock.now()
        samples = Samples(tuple(arm.name for arm in arms), seed, measure.margin, measure.half_width, process=process)
        stopped = session.sample(samples, calls, random.Random(f"{seed}:{process}"))
        sampled = clock.now()
        session.observe(samples, calls)
    samples.counters.update(
        clock.conditions(),
        warmup_s=warm - begun,
        sampling_s=sampled - warm,
        elapsed_s=clock.now() - begun,
        stopped=stopped,
    )
    return samples


@dataclass(slots=True)
class _Session:
    arms: Sequence[Arm]
    baseline: str
    measure: Measure
    clock: Clock
    stage: Stage
    batch: int = 1
    seen: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def warm_up(self) -> list[int]:
        """Calls all arms alternately, ever more often; returns the calls that fill a sample, by arm.

        Sets how many rounds are queued at once. The fastest call seen decides: on a busy machine the slower ones tell
        of the others' work.
        """
        clock, measure = self.clock, self.measure
        self.stage("", "warm-up")
        try:
            self.arms = clock.ready(self.arms)
        except ArmFailed:
            raise
        except Exception as error:  # of the device, or of a method that was captured
            raise ArmFailed("", error) from error
        fastest = [math.inf] * len(self.arms)
        counts = [1] * len(self.arms)
        begun, passes = clock.now(), 0
        while True:
            for a in range(len(self.arms)):
                self._submit(a, counts[a])
                # Read at once: an error that was queued belongs to this arm.
                read = self._drain(self.arms[a].name)[0]
                fastest[a] = min(fastest[a], sample_size.undisturbed(read.seconds, read.call_cpu_s, read.switches))
            passes += 1
            elapsed = clock.now() - begun
            warm = passes >= measure.warmup_calls and elapsed >= clock.warmup_s
            if warm or (passes > 1 and elapsed >= WARMUP_SHARE * measure.max_time_s):
                calls = self._calls_in_samples(fastest)
                self.batch = _batch(sum(t * n for t, n in zip(fastest, calls, strict=True)), clock)
                return calls
            # Half a sample's worth at most, so that the alternation stays quick while it warms.
            counts = [min(2 * n, -(-self._calls_alone(t) // 2)) for n, t in zip(counts, fastest, strict=True)]

    def _calls_alone(self, seconds: float) -> int:
        return sample_size.alone(seconds, self.clock.sample_s, self.clock.max_calls)

    def _calls_in_samples(self, fastest: Sequence[float]) -> list[int]:
        """Calls that each arm's samples hold; a clock that reads them in parts is told in how many."""
        clock = self.clock
        if isinstance(clock, Parted) and clock.parts:
            sizes = sample_size.alike(fastest, clock.sample_s, clock.max_calls)
            clock.parts = sizes[0].parts
            return [size.calls for size in sizes]
        return [self._rehearsed(a, self._calls_alone(t), t) for a, t in enumerate(fastest)]

    def _rehearsed(self, a: int, calls: int, seconds: float) -> int:
        """As many calls of `seconds` each, halved until the device need not wait for the host within a sample.

        A call may launch any number of kernels, and a sample of more launches than the driver queues makes the host
        wait for the device. An arm that is late however short its sample is keeps the length that it was given.
        """
        n = calls
        while self.clock.batch_rounds > 1 and all(self._late(a, n) for _ in range(REHEARSALS)):
            if n == 1 or n // 2 * seconds < SHORTEST_S:
                return calls
            n //= 2
        return n

    def _late(self, a: int, calls: int) -> bool:
        self._submit(a, calls)
        return self._drain(self.arms[a].name)[0].late

    def sample(self, samples: Samples, calls: list[int], rng: random.Random) -> str:
        """Fills `samples`; returns why it stopped: `narrow`, `pairs` or `time`."""
        begun = self.clock.now()
        for look in self.measure.looks:
            while samples.rounds < look:
                self._rounds(samples, calls, min(self.batch, look - samples.rounds), rng)
                if self.clock.now() - begun >= self.measure.max_time_s:
                    return "time"
            if self.clock.now() - begun >= self.measure.min_time_s and samples.narrow(self.baseline):
                return "narrow"
        return "pairs"

    def observe(self, samples: Samples, calls: list[int]) -> None:
        """Adds what was counted (tally.py), and where the host is not the device `enqueue_s` and what goes with it."""
        for arm in self.arms:
            samples.per_arm[arm.name] = self.seen[arm.name].columns()
        self._observe_alone(samples, calls)
        waits = self.clock.conditions().get("time") == WALL_TIME
        for a, (arm, n) in enumerate(zip(self.arms, calls, strict=True)):
            self.stage(arm.name, "timing")
            if waits:
                samples.per_arm[arm.name]["latency_s"] = self._latency_s(a)
            times = [t for _ in range(HOST_SAMPLES) if (t := self._host_times(arm, n)) is not None]
            if times:
                self._check_seen(arm.name, times, n)
                samples.per_arm[arm.name].update(
                    enqueue_s=median([t.enqueue_s for t in times]),
                    wall_s=median([t.wall_s for t in times]),
                    launch_bound=self.seen[arm.name].launch_bound,
                )

    def _observe_alone(self, samples: Samples, calls: list[int]) -> None:
        """Adds `alone_s` of the arms that others may have slowed or helped (alone.py)."""
        clock, arms = self.clock, len(self.arms)
        if not isinstance(clock, Parted) or not clock.parts or arms < 2:
            return
        for a, arm in enumerate(self.arms):
            seen = self.seen[arm.name]
            if not alone.wanted(clock.parts, seen) or not alone.fits(seen, arms, self.measure.max_time_s):
                continue
            times = []
            for _ in range(1 + alone.SAMPLES):
                self._submit(a, calls[a])
                times.append(self._drain(arm.name)[0].seconds)
            samples.per_arm[arm.name].update(alone.columns(times[1:]))

    def _latency_s(self, a: int) -> float:
        """Of one call by itself, from an idle device to an idle device, by a clock that waits."""
        single = []
        for _ in range(LATENCIES):
            self._submit(a, 1)
            single.append(self._drain(self.arms[a].name)[0].seconds)
        return median(single)

    def _check_seen(self, name: str, times: Sequence[HostTimes], calls: int) -> None:
        """Raises ArmFailed where the device does work of the arm that its samples do not see, whenever one looks."""
        unseen_s, wall_s = min(t.unseen_s for t in times), median([t.wall_s for t in times])
        if unseen_s * calls > UNSEEN_S and unseen_s > UNSEEN_SHARE * wall_s:
            raise ArmFailed(name, Lost(accuracy="fail", reason=unseen(unseen_s)))

    def _rounds(self, samples: Samples, calls: list[int], rounds: int, rng: random.Random) -> None:
        taken = []
        for _ in range(rounds):
            order = list(range(len(self.arms)))
            rng.shuffle(order)
            for a in order:
                self._submit(a, calls[a])
            if isinstance(self.clock, Gauged):
                self.clock.gauge()
            taken.append(order)
        # An error that was queued may be any arm's, and so is the waiting.
        self.stage("", "timing")
        readings = iter(self._drain(""))
        for order in taken:
            row: list[Sample | None] = [None] * len(order)
            for a in order:
                reading = next(readings)
                made = reading.calls or calls[a]
                self.seen[self.arms[a].name].add(reading, made)
                row[a] = sample_of(reading, made)
            samples.add([sample for sample in row if sample is not None], order)

    def _submit(self, a: int, calls: int) -> None:
        arm = self.arms[a]
        self.stage(arm.name, "timing")
        try:
            with arm.context():
                self.clock.submit(arm.call, calls)
        except Exception as error:
            raise ArmFailed(arm.name, error) from error

    def _drain(self, name: str) -> list[Reading]:
        try:
            return self.clock.drain()
        except Exception as error:
            raise ArmFailed(name, error) from error

    def _host_times(self, arm: Arm, calls: int) -> HostTimes | None:
        try:
            with arm.context():
                return self.clock.host_times(arm.call, calls)
        except Exception as error:
            raise ArmFailed(arm.name, error) from error


def _batch(round_s: float, clock: Clock) -> int:
    """Rounds of `round_s` seconds that are queued before the host waits for them."""
    return max(1, min(clock.batch_rounds, int(BATCH_S / round_s))) if round_s > 0 else clock.batch_rounds


@contextmanager
def _nothing_left(clock: Clock) -> Iterator[None]:
    """Forgets what is still queued when an arm fails: else the next measurement would take it for its own."""
    try:
        yield
    except ArmFailed:
        with suppress(Exception):  # the device may be broken, which the error that is on its way says
            clock.drain()
        raise


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """No collection starts inside: its pauses would fall on whichever arm happens to run."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
