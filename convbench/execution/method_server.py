"""What a process does for a measurement that another one leads: it prepares one method, calls it, takes samples of it.

It makes the operands itself, from seeds that it is told only when they are wanted, and hands results over as bytes.
It knows neither what the right result is nor what is made of its answers.
"""

from __future__ import annotations

import gc
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from typing import Any

import torch

from ..devices import cpu, cuda, device_of, mps, warm, xpu
from ..facts.spec import Spec
from ..facts.timed_as import BACKWARD, CALL
from ..measurement import identities, problem, state
from ..measurement.accuracy import wrong_kind
from ..measurement.joint import Result, tensors
from ..measurement.meddling import sorted_out
from ..measurement.operands import Operands, operands_of
from ..measurement.poison import poison
from ..measurement.problem import Problem
from ..measurement.switches import switched
from ..memory_columns import kernel_columns, marked_call, memory_columns
from ..methods.backward import forward_again
from ..methods.in_training import as_backward
from ..methods.own import context_of, declared_accuracy, load, uses_autograd
from ..timing import backlog, cpu_clock, event_clock, waiting_clock, wall_clock
from ..timing.clocks import Arm, Clock, Parted
from .shared_bytes import SharedBytes

RESULT, EARLIER = 0, 1
"""Slots: what the last call returned, and what an earlier call returned, copied after the last one."""

LOADED = (cpu, cuda, mps, xpu, backlog, cpu_clock, event_clock, waiting_clock, wall_clock)
"""Before any method is, so that what one changes in them is seen (identities.py)."""


def built_for() -> str:
    """What this torch was built for: CUDA or ROCm with their version, or the CPU alone."""
    for name, version in (("CUDA", torch.version.cuda), ("ROCm", getattr(torch.version, "hip", None))):
        if version:
            return f"{name} {version}"
    return "CPU"


class MethodServer:
    """What is prepared at the moment: a configuration's tensors, and one method that can be called and sampled."""

    def __init__(self, results: SharedBytes | None = None) -> None:
        self._results = results
        self._configuration, self._preparation = ExitStack(), ExitStack()
        self._spec: Spec | None = None
        self._made: Problem | None = None
        self._next: Problem | None = None
        self._clock: Clock | None = None
        self._arm: Arm | None = None
        self._as_called: Arm | None = None
        self._forward: Callable[[], None] | None = None
        self._held: Result | None = None
        self._wrong: str | None = None
        self._functions = identities.capture()
        self._was: state.State | None = None
        self._imported: dict[str, dict[str, list[str]]] = {}

    def hello(self) -> dict[str, Any]:
        """What the environment is."""
        return {"torch": str(torch.__version__), "python": platform.python_version(), "built_for": built_for()}

    def close(self) -> dict[str, Any]:
        """Gives back what is prepared, and the switches of before."""
        gc.enable()
        self._preparation.close()
        self._configuration.close()
        self._made = self._next = self._clock = self._arm = self._as_called = self._forward = self._held = None
        return {}

    def configure(self, spec: dict[str, Any], seed: int | None = None, cores: Sequence[int] = ()) -> dict[str, Any]:
        """Makes the configuration's tensors, with the values of `seed` (None: the configuration's own)."""
        self.close()
        self._spec = Spec.from_dict(spec)
        bind(cores)
        self._configuration.enter_context(switched(self._spec.switches, self._spec.device))
        warm(self._spec.device)
        self._made = problem.make(self._spec, seed)
        if self._results is not None:
            elements = sum(math.prod(part.shape) for part in self._made.parts)
            self._results.hold(elements * self._made.dtype.itemsize, slots=2)
        return {}

    def prepare(self, method: str) -> dict[str, Any]:
        """Prepares one method; says how long that took, and whether it has a forward pass to run for new operands."""
        spec, made = self._configured()
        gc.enable()
        self._preparation.close()
        self._arm = self._as_called = self._forward = self._held = None
        self._clock = device_of(spec.device).clock(spec.measure)
        self._preparation.enter_context(self._clock.context())
        self._was = state.capture(self._functions)
        begun = time.perf_counter()
        loaded = load(method)
        imported_s = time.perf_counter() - begun
        if method not in self._imported:  # later imports do nothing
            self._imported[method] = self.changes("import")
        begun = time.perf_counter()
        call = loaded(made)
        device_of(spec.device).synchronize()
        self._arm = self._as_called = Arm(method, call, context_of(loaded))
        said = {"prepare_s": imported_s + time.perf_counter() - begun, "accuracy": declared_accuracy(loaded)}
        said["autograd"] = uses_autograd(loaded)
        # What is timed may not be run where no clock sees it.
        self._forward = None if made.wrt == "output" else forward_again(call)
        said["forward"] = self._forward is not None
        return {**said, "import": self._imported[method], "preparation": self.changes("preparation")}

    def changes(self, stage: str = "calls") -> dict[str, list[str]]:
        """What the method's code has changed in this process since it was last asked, undone as far as it can be."""
        return sorted_out([] if self._was is None else state.restore(self._was), stage)

    def call(self, seed: int) -> dict[str, Any]:
        """One call on the operands of `seed`, handed over at once; then what the call before it returned, once more.

        `wrong` says why the result is none, `changed` which operands the call wrote to, `calls` what it changed in the
        process; `seconds` went by until the result was there.
        """
        arm, _ = self._prepared()
        self.draw(seed)
        self.forward()
        before = Operands(self._configured()[1])
        with arm.context():
            poison(self._configured()[1])
            begun = time.perf_counter()
            got = arm.call()
            wrong = self._hand_over(got)  # which waits for what a device has queued
            seconds = time.perf_counter() - begun
        changes = {}
        if self._held is not None:  # not the first call, after which another one comes
            self._copy(self._held, EARLIER)
            changes = self.changes()
        self._held = got if wrong is None else None
        return {"wrong": wrong, "changed": before.changed(), "calls": changes, "seconds": seconds}

    def ready(self, cuda_graph: bool = False, timed_as: str = CALL) -> dict[str, Any]:
        """The method as it will be timed; says what a sample of it should be like."""
        spec, made = self._configured()
        arm = self._as_called
        assert arm is not None
        if timed_as == BACKWARD and arm.context is not nullcontext:
            arm = Arm(arm.name, as_backward(made, arm.call))
        if cuda_graph and self._forward is not None:
            return {"cuda_graph_error": "its forward pass is run again for new operands, in other memory"}
        self._held = None
        measure = replace(spec.measure, cuda_graph=cuda_graph)
        self._clock = clock = device_of(spec.device).clock_of(measure, timed_as)
        self._preparation.enter_context(clock.context())
        (self._arm,) = clock.ready([arm])
        gc.disable()  # its pauses would fall on whichever sample happens to run
        self._was = state.capture(self._functions)
        told = {name: getattr(clock, name) for name in ("sample_s", "warmup_s", "max_calls")}
        told["parts"] = clock.parts if isinstance(clock, Parted) else 0
        seen = clock.conditions()
        return {**told, "cuda_graph": seen["cuda_graph"], "cuda_graph_error": seen.get("cuda_graph_error")}

    def draw(self, seed: int, grad_output: int | None = None) -> dict[str, Any]:
        """Makes operands of other values, grad_output's of a seed of its own where one is given.

        They are used from the next sample that asks for them.
        """
        spec, _ = self._configured()
        self._next = problem.make(spec, seed, grad_output)
        return {}

    def forward(self) -> dict[str, Any]:
        """Puts the drawn values in place, and runs the forward pass of a method that has one."""
        self._put()
        if self._forward is not None:
            self._forward()
        return {}

    def sample(self, calls: int, parts: int = 0, anew: bool = False, warm: bool = False) -> dict[str, Any]:
        """One reading of `calls` calls in `parts`, the result of the last of them handed over; `disturbed`: the process
        was taken off its core meanwhile.

        `warm`: after one call that brings back what another process pushed out of the caches. `anew`: on the operands
        that were drawn last, which that call has not seen.
        """
        arm, clock = self._prepared()
        if isinstance(clock, Parted):
            clock.parts = parts
        switches = cpu_clock.usage().switches
        with arm.context():
            if warm:
                clock.submit(arm.call, 1)
                clock.drain()
            if anew:
                self._put()
            self._wrong = None
            if calls == 0:
                return {"reading": None, "wrong": None}
            clock.submit(arm.call, calls, self._take if self._results is not None else None)
            (reading,) = clock.drain()
        disturbed = cpu_clock.usage().switches != switches
        return {"reading": reading._asdict(), "wrong": self._wrong, "disturbed": disturbed}

    def _take(self, got: Any) -> None:
        """Hands over what a timed call returned, and leaves nothing of it behind that a later call could return."""
        self._wrong = self._hand_over(got)
        if self._wrong is None:
            with torch.inference_mode():
                for one in tensors(got):
                    one.fill_(math.nan)

    def _hand_over(self, got: Any) -> str | None:
        """Copies a result at once, before whatever else is at work on it could get any further; or why it is none."""
        _, made = self._configured()
        wrong = wrong_kind(got, made) or shared_with(got, made, self._held)
        if wrong is None:
            self._copy(got, RESULT)
        return wrong

    def _copy(self, got: Result, slot: int) -> None:
        """On the stream that is timed, so that what another one has not finished is missing. Several gradients lie one
        after the other."""
        assert self._results is not None
        each = tensors(got)
        sizes = [one.numel() for one in each]
        if sum(sizes) == 0:
            return
        room = self._results.slot(slot, sum(sizes) * each[0].element_size())
        with torch.inference_mode():
            for one, place in zip(each, torch.frombuffer(room, dtype=each[0].dtype).split(sizes), strict=True):
                place.view(one.shape).copy_(one)

    def _put(self) -> None:
        """The values drawn last, in the tensors that the method has had from the start.

        Nobody is told: graphs that autograd recorded of them before stay valid, as they hold these very tensors.
        """
        assert self._next is not None
        values = operands_of(self._next)
        for name, tensor in operands_of(self._configured()[1]).items():
            # Through .data, which a graph's version counter does not see (torch's own guard for that is of 2.1).
            tensor.data.copy_(values[name])
        self._next = None

    def host_times(self, calls: int) -> dict[str, Any]:
        arm, clock = self._prepared()
        with arm.context():
            times = clock.host_times(arm.call, calls)
        return {"times": None if times is None else times._asdict()}

    def memory(self) -> dict[str, Any]:
        arm = self._as_called
        assert arm is not None
        _, made = self._configured()
        return memory_columns(arm, load(arm.name), made)

    def profile(self) -> dict[str, Any]:
        spec, _ = self._configured()
        marked_call(self._prepared()[0], spec)
        return {}

    def kernels(self) -> dict[str, Any]:
        arm, _ = self._prepared()
        spec, _ = self._configured()
        return kernel_columns(arm, spec.device)

    def _configured(self) -> tuple[Spec, Problem]:
        assert self._spec is not None
        assert self._made is not None
        return self._spec, self._made

    def _prepared(self) -> tuple[Arm, Clock]:
        assert self._arm is not None
        assert self._clock is not None
        return self._arm, self._clock


def shared_with(got: Result, made: Problem, earlier: Result | None) -> str | None:
    """Why a result is not the caller's own to keep: whose memory it is in."""
    places = _places(got)
    for name, tensor in operands_of(made).items():
        if places & _places(tensor):
            return f"the result is in the memory of {name}; a method must return a new tensor"
    if earlier is not None and places & _places(earlier):
        return "the result is in the memory of an earlier result; a method must return a new tensor"
    return None


def _places(result: Result) -> set[int]:
    """Where the memory of what holds anything begins."""
    return {one.untyped_storage().data_ptr() for one in tensors(result) if one.numel()}


def bind(cores: Sequence[int]) -> None:
    """Binds every thread of this process to `cores`, torch's pool included; none given, nothing is bound.

    sched_setaffinity(0, …) would bind the calling thread and those that it starts later.
    """
    for thread in os.listdir("/proc/self/task") if cores else ():
        # A thread may have ended since it was listed.
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)
