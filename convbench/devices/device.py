"""What a type of device tells convbench about itself. A new type is one file with a subclass of Device."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..facts.devices import word_of
from ..facts.measure import Measure
from ..facts.timed_as import CALL, DEVICE_TIME
from ..timing.clocks import Clock
from ..timing.waiting_clock import WaitingClock

if TYPE_CHECKING:
    import torch


class Switch(NamedTuple):
    """How a switch is read and set. `read` gives whatever `set` needs to bring the same state back."""

    read: Callable[[], Any]
    set: Callable[[Any], None]


class Underneath(NamedTuple):
    """What one call runs: names, in their order; and for how many seconds the device is at work on it, whatever it is
    that waits for that, None where that is not told."""

    names: list[str]
    busy_s: float | None = None


REPEATS = 5
"""The best of five: a ceiling is what was reached undisturbed."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much work suits a device.

    `products`: sides of the square matrices tried in turn for the ceiling, until one takes `long_enough_s`, a thousand
    times what starting it costs. `copy_bytes`: of the copy, at least. `block`: elements compared at a time.
    `canary`: batch, channels in, size, channels out and kernel of the convolution that `validate` times; its batch is
    doubled until a call takes `canary_s`. `reference_flops`: of a float64 reference, at most. `shapes`: eight such
    convolutions, from what takes as long as a launch to some milliseconds, that `validate --proof` times beside other
    timers.
    """

    products: tuple[int, ...] = (1024, 2048, 4096, 8192)
    long_enough_s: float = 0.005
    copy_bytes: int = 2**29
    block: int = 2**22
    canary: tuple[int, int, int, int, int] = (16, 64, 56, 64, 3)
    canary_s: float = 5e-4
    reference_flops: float = 2e10
    shapes: tuple[tuple[int, int, int, int, int], ...] = (
        (1, 4, 8, 4, 3),
        (4, 16, 14, 16, 3),
        (8, 32, 28, 32, 3),
        (16, 64, 28, 64, 3),
        (32, 64, 56, 64, 3),
        (32, 128, 56, 128, 3),
        (64, 256, 28, 256, 3),
        (64, 512, 28, 512, 3),
    )


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the jobs of a launcher on one machine take one device each: the first of `variables` that is set holds the
    names of those that may be used (else `listed` tells all of the machine), and a job sets it to one of them.

    `taken` tells which other processes use the device of a name, as far as the machine says.
    """

    variables: tuple[str, ...]
    listed: Callable[[], list[str]]
    taken: Callable[[str], list[str]] = lambda name: []


class Device(ABC):
    """One device, by the name that a person writes: `cpu`, `cuda`, `cuda:1`.

    `work`: how much suits it. `fingerprint`: names among its `facts` that make absolute times comparable, beside the
    usual ones of measurement/environment.py. `sharing`: how launchers hand it out, None where they do not.
    `is_host`: it computes in the calling thread, so that CPU seconds are its own. `has_float64`: the reference can be
    computed there. `has_triton`: triton's do_bench can time it. `has_nvml`: NVML tells its clocks. `activity`: the name
    of what torch's profiler records of it (torch.profiler.ProfilerActivity), None where it records nothing.
    """

    work: ClassVar[Work] = Work()
    fingerprint: ClassVar[tuple[str, ...]] = ()
    sharing: ClassVar[Sharing | None] = None
    is_host: ClassVar[bool] = False
    has_float64: ClassVar[bool] = True
    has_triton: ClassVar[bool] = False
    has_nvml: ClassVar[bool] = False
    activity: ClassVar[str | None] = None

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def index(self) -> int:
        """Its number among those of its type."""
        return int(self.name.partition(":")[2] or 0)

    @property
    def placed(self) -> str:
        """torch's name for where its tensors are."""
        return self.name

    @property
    def reference(self) -> str:
        """torch's name for where float64 references are computed and results are compared with them."""
        return self.placed if self.has_float64 else "cpu"

    @abstractmethod
    def missing(self) -> str | None:
        """Why it cannot be used here, or None if it can."""

    @abstractmethod
    def synchronize(self) -> None:
        """Waits until it has done what it was given; raises RuntimeError when it does not answer any more."""

    def warm_up(self) -> None:
        """Has it load what its first convolution, backward pass and matrix product do (context, libraries, kernels: up
        to seconds), so that it is in no method's `prepare_s`; nothing where it computes in the calling thread."""
        if self.is_host:
            return
        import torch

        x, w = (torch.ones(1, 1, 8, 8, device=self.placed, requires_grad=True) for _ in range(2))
        output = torch.nn.functional.conv2d(x, w)
        torch.autograd.grad(output, (x, w), torch.ones_like(output))
        torch.mm(x.detach()[0, 0], w.detach()[0, 0])
        self.synchronize()

    def facts(self) -> dict[str, Any]:
        """Model, driver and the like, for the environment."""
        return {}

    def cache_bytes(self) -> float:
        """Size of the last cache before its memory; infinite where that is not known, as everything may be in it."""
        return math.inf

    def fault_s(self) -> float | None:
        """Seconds that the first touch of a page takes where calls touch the host's memory; None elsewhere."""
        return None

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        """Largest number of bytes that one call holds beyond what was allocated before it, its result included; None
        where that is not known."""
        return None

    def kernels(self, call: Callable[[], Any]) -> Underneath | None:
        """What one call runs on it; None where that is not known."""
        return None

    def marked(self, name: str) -> AbstractContextManager[float]:
        """Marks what runs within as `name` for a profiler outside; gives the seconds of calls that this wants, 0 for a
        single one."""
        return nullcontext(0.0)

    def context(self) -> AbstractContextManager[Any]:
        """Makes it the current device of its type, for what asks for that one."""
        return nullcontext()

    def switches(self) -> Mapping[str, Switch]:
        """What a switch of a configuration sets on this device besides what it sets everywhere, by the switch's name
        (measurement/switches.py)."""
        return {}

    def interface(self) -> Any | None:
        """torch.cuda, or what has its interface: streams, events that tell the time, perhaps a sleep and graphs. None
        where the device is timed in another way."""
        return None

    def computes_tf32(self) -> bool:
        """Whether it rounds operands to TF32 where it may."""
        return False

    def clock(self, measure: Measure) -> Clock:
        """What times it; by itself batches of calls by the host's clock, waited for."""
        return WaitingClock(self.synchronize, measure)

    def wall_clock(self, measure: Measure) -> Clock | None:
        """What times batches of calls by the host's clock, waited for; None where the host is the device."""
        return None if self.is_host else WaitingClock(self.synchronize, measure)

    def clock_of(self, measure: Measure, timed_as: str) -> Clock:
        """What takes the samples of a way of timing (facts/timed_as.py)."""
        device_time = timed_as == CALL and measure.time == DEVICE_TIME
        wall = None if device_time else self.wall_clock(measure)
        return self.clock(measure) if wall is None else wall

    def fastest(self, call: Callable[[], Any]) -> float:
        """Seconds of the fastest of REPEATS calls, after one that is not counted."""
        best = math.inf
        for repeat in range(REPEATS + 1):
            start = perf_counter()
            call()
            self.synchronize()
            best = min(best, perf_counter() - start) if repeat else best
        return best


class Accelerator(Device):
    """What torch.accelerator carries: a type of device that is torch's current accelerator."""

    title: ClassVar[str]
    """What people call it."""

    def missing(self) -> str | None:
        import torch

        current = torch.accelerator.current_accelerator(check_available=True)
        word = word_of(self.name)
        if current is None or current.type != word:
            return f"no {self.title}: this torch finds no device of the type {word}"
        count = torch.accelerator.device_count()
        return None if self.index < count else f"no {self.name}: torch finds {count} {self.title} device(s)"

    @property
    def _device(self) -> torch.device:
        import torch

        return torch.device(self.name)

    def synchronize(self) -> None:
        import torch

        torch.accelerator.synchronize(self._device)

    def context(self) -> AbstractContextManager[Any]:
        import torch

        return torch.accelerator.device_index(self.index)

    def peak_bytes(self, call: Callable[[], Any]) -> int | None:
        """The caching allocator's own peak."""
        import torch

        self.synchronize()
        torch.accelerator.reset_peak_memory_stats(self._device)
        before = torch.accelerator.memory_allocated(self._device)
        call()
        self.synchronize()
        return torch.accelerator.max_memory_allocated(self._device) - before
