"""Runs one configuration: makes the problem, judges every method, times the right ones against the baseline.

This is the child's side: it needs torch. Accuracy comes before timing; nothing wrong is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from statistics import median
from types import MappingProxyType
from typing import Any

import torch

from ._version import __version__
from .candidate import Candidate, Further, candidates
from .devices import ceilings, device_of, missing_device, warm
from .facts.limits import least_time
from .facts.rates import Work
from .facts.record import Record, record
from .facts.spec import Spec
from .failures.failure import Failure
from .hosts import Hosts
from .measurement import allocator, environment, problem, reference
from .measurement.accuracy_columns import same
from .measurement.joint import Result as Gradient
from .measurement.joint import Truth, truth_of
from .measurement.meddling import Watch
from .measurement.operands import Operands, changed_in_place
from .measurement.problem import Problem
from .measurement.switches import switched
from .phases import Phases
from .timing import control
from .timing import rounds as timing
from .timing.samples import Samples


@dataclass(slots=True)
class Result:
    """Rows of one configuration, one per method, without the figures that follow from its samples (timing/figures.py);
    the samples, if it was timed; the environment they belong to.

    `ceilings` are those of the device for the configuration's dtype and switches, as far as they are known now.
    `once_s` are the seconds that another run of the configuration would not take again, given the ceilings. `spent`:
    this process should measure nothing else, because a CUDA graph could not be captured (what a failed
    capture leaves behind can damage torch's allocator), or because the C library's allocator was told to retain memory
    (it never again adapts its thresholds as it does by itself).
    """

    records: list[Record]
    samples: list[Samples] = field(default_factory=list)
    environment: dict[str, Any] | None = None
    ceilings: dict[str, float] = field(default_factory=dict)
    once_s: float = 0.0
    spent: bool = False
    failures: list[Failure] = field(default_factory=list)


def run(
    spec: Spec,
    methods: Sequence[str],
    stage: timing.Stage,
    process: int = 0,
    known_ceilings: Mapping[str, float] = MappingProxyType({}),
    hosts: Hosts | None = None,
) -> Result:
    """Rows for `methods` (some or all of the configuration's arms), in their order.

    The user's own methods among them run in the processes that `hosts` gives them; without, in this one.

    Raises ArmFailed without a name where what failed is one of several that were timed together: each is then run by
    itself, in a process of its own, to know which.

    `stage(method, phase)` is called before anything that may crash, hang or run out of memory. `process` counts
    repetitions in fresh processes and seeds the order of the samples. `known_ceilings` are not measured again.
    """
    started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    begun = time.perf_counter()
    common = {**spec.columns(), "started_at": started, "convbench_version": __version__}
    missing = missing_device(spec.device) or allocator.missing(spec.switches.allocator)
    if missing is not None:
        rows = [{**common, "method": m, "status": "skipped", "reason": missing} for m in methods]
        return Result([record(row) for row in rows])
    with switched(spec.switches, spec.device):
        found = environment.collect(spec.device, spec.switches)
        common["environment_id"] = found["environment_id"]
        todo = candidates(methods, common, spec, hosts)
        configuration = _Configuration(spec, todo, stage, process, dict(known_ceilings))
        samples = configuration.run()
    elapsed = time.perf_counter() - begun
    for method in todo:
        method.row["elapsed_s"] = elapsed
        if method.guest is not None and method.row["status"] == "ok" and not method.row.get("reason"):
            method.row["reason"] = method.guest.note
    rows = [record(m.row) for m in todo]
    spent = configuration.spent or spec.switches.allocator != "system"
    failures = list(filter(None, (m.failure(configuration.made, configuration.truth) for m in todo)))
    return Result(rows, samples, found, configuration.ceilings, configuration.once_s, spent, failures)


def warm_up() -> None:
    """Lets torch load what it loads in its first backward (sympy: half a second), so that no method pays for it."""
    x = torch.ones(1, requires_grad=True)
    torch.autograd.grad(x * 2, x, torch.ones(1))


@dataclass(slots=True)
class _Configuration:
    spec: Spec
    methods: list[Candidate]
    stage: timing.Stage
    process: int
    ceilings: dict[str, float]
    once_s: float = 0.0
    spent: bool = False
    further: Further = field(default_factory=dict)
    without: control.Seen = control.NOTHING
    made: Problem | None = None
    truth: Truth | None = None

    def run(self) -> list[Samples]:
        self.stage("", "problem")
        made = self._shared(self._made)
        if made is None:
            return []
        self.stage("", "reference")
        truth = self._shared(lambda: truth_of(made, reference.computed))
        if truth is None:
            return []
        self.made, self.truth = made, truth
        device = device_of(self.spec.device)
        clock = device.clock(self.spec.measure)
        with clock.context():
            made = self._judge_all(made, truth)
            self.further.clear()
            if made is not None and self.spec.measure.profile:
                self._mark_calls()
            if made is None or not self.spec.measure.enabled:
                return []
            phases = Phases(self.spec, self.methods, self.stage, self.process, made)
            found = phases.run(clock)
            self.spent = phases.spent
        samples = found[0] if found else None
        with self._once():
            self._find_ceilings(samples)
        self._note_work(samples)
        if self.spec.measure.memory:
            with self._once():
                self._measure_memory(made)
        if self.spec.measure.kernels and self.process == 0:
            with self._once():
                self._name_kernels()
            found = self._seen_whole(found)
        with clock.context():
            self._compare_baseline(samples)
        return found

    def _made(self) -> Problem:
        """The problem, on a device that has loaded what it loads once."""
        warm(self.spec.device)
        return problem.make(self.spec)

    def _shared(self, work: Callable[[], Any]) -> Any:
        """What all methods need; if it fails, every one of them has the row that says so, and None is returned."""
        try:
            return work()
        except Exception as error:  # out of memory, or whatever torch raises for a tensor it cannot make
            for method in self.methods:
                method.fail(error)
            return None

    def _judge_all(self, made: Problem | None, truth: Truth) -> Problem | None:
        """Judges every method; returns the problem that they are prepared on, None where none could be made.

        A method that changes its operands has failed, and the others start again on new ones.
        """
        while made is not None and not self._judge_each(made, truth):
            self.stage("", "problem")
            made = self._shared(lambda: problem.make(self.spec))
        return made

    def _judge_each(self, made: Problem, truth: Truth) -> bool:
        """Judges the methods that have not been found to change their operands; False where one more is."""
        results: dict[str, Gradient] = {}
        baseline = self.spec.baseline
        operands, watch = Operands(made), Watch(m.name for m in self.methods if m.guest is None)
        # The baseline first, so that the others can be compared with it; only its result is kept.
        for method in sorted(self.methods, key=lambda m: m.name != baseline):
            if method.meddles:
                continue
            unjudged = dict(method.row)
            try:
                got = method.judge(made, truth, self.stage, self.further)
                if method.name == baseline:
                    results[baseline] = got
                    self._time_alone(method)
                if baseline in results:
                    method.row["equals_baseline"] = same(got, results[baseline])
                if self.spec.measure.enabled and self.spec.measure.backward:
                    method.judge_in_training(made, truth, got, self.stage)
            except (Exception, SystemExit) as error:  # the methods' own code: any failure is a row
                method.fail(error)
                method.call = None
            if method.guest is None:
                method.heed(watch.said("code"))
            if changed := operands.changed():
                method.meddles, method.call = True, None
                if method.row["status"] == "ok":
                    method.row = {**unjudged, "accuracy": "fail", "reason": changed_in_place(changed)}
                return False
        return True

    def _time_alone(self, baseline: Candidate) -> None:
        """Times the baseline before one of the user's own methods is called, for _compare_baseline."""
        guests = [method.guest for method in self.methods if method.guest is not None]
        if (
            self.spec.measure.enabled
            and baseline.guest is None
            and baseline.timeable
            and guests
            and not self.without.times
        ):
            # The baseline's deadline is not for processes that start.
            self.stage("", "other processes")
            for guest in guests:
                guest.settle()
            self.without = self._alone(baseline)

    def _alone(self, baseline: Candidate) -> control.Seen:
        measure = control.alone(self.spec.measure)
        clock = device_of(self.spec.device).clock(measure)
        try:
            found = timing.measure([baseline.arm], baseline.name, measure, clock, self.spec.seed, self.stage)
        except timing.ArmFailed:  # it fails again where it is timed, and has its row
            return control.NOTHING
        return control.seen(found, baseline.name, self.spec.switches.threads)

    def _compare_baseline(self, samples: Samples | None) -> None:
        """Says in the rows of the user's own methods where the baseline was slower beside them than without.

        What seems so at first is looked at again when their processes have ended: the machine may have become slower.
        """
        name, margin = self.spec.baseline, self.spec.measure.margin
        if samples is None or name not in samples.arms or not self.without.times:
            return
        beside = control.in_rounds(samples, name, self.spec.switches.threads)
        if (before := control.slowed(self.without, beside, margin)) is None:
            return
        own = [(method, method.guest) for method in self.methods if method.guest is not None]
        for _, guest in own:
            guest.end()
        (baseline,) = (method for method in self.methods if method.name == name)
        if (after := control.slowed(self._alone(baseline), beside, margin)) is not None:
            for method, _ in own:
                if method.timeable:
                    method.row["baseline_slowed"] = min(before, after)

    @contextmanager
    def _once(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.once_s += time.perf_counter() - begun

    def _find_ceilings(self, samples: Samples | None) -> None:
        if samples is not None:
            self.stage("", "ceilings")
            self.ceilings = ceilings.measure(device_of(self.spec.device), self.spec.dtype, self.ceilings)

    def _note_work(self, samples: Samples | None) -> None:
        """What the methods that were timed compute at least, and how fast they could: their times are judged by it."""
        if samples is None:
            return
        spec, work = self.spec, Work.of(self.spec, self.ceilings)
        cached = 0.0 if spec.measure.cache == "cold" else device_of(spec.device).cache_bytes()
        for method in self.methods:
            if method.name in samples.arms and method.timeable:
                exact = method.row.get("accuracy") != "reduced" and method.row.get("explained_by") is None
                least_s = least_time(spec.case, spec.wrt, spec.dtype, self.ceilings, cached, exact)
                method.row.update(replace(work, least_s=least_s).rates(None), fault_s=device_of(spec.device).fault_s())

    def _measure_memory(self, made: Problem) -> None:
        for method in self.methods:
            if method.timeable:
                self.stage(method.name, "memory")
                method.measure_memory(made)

    def _mark_calls(self) -> None:
        for method in self.methods:
            if method.timeable:
                self.stage(method.name, "profile")
                method.mark_call()

    def _name_kernels(self) -> None:
        for method in self.methods:
            if method.timeable:
                self.stage(method.name, "kernels")
                method.name_kernels()

    def _seen_whole(self, found: list[Samples]) -> list[Samples]:
        """The samples without those of methods on whose calls the device is at work for longer than they took."""
        for samples in found[:1]:
            for method in self.methods:
                if method.timeable and method.name in samples.arms:
                    busy_s, took_s = method.row.get("busy_s"), median(samples.of(method.name))
                    if busy_s is not None and busy_s > timing.HIDDEN * took_s + timing.HIDDEN_S:
                        method.row.update(accuracy="fail", reason=timing.unseen(busy_s - took_s))
        wrong = [method.name for method in self.methods if not method.timeable]
        return [left for samples in found if (left := samples.without(wrong)) is not None]
