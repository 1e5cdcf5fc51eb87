"""One configuration timed by convbench and, in the same process, by torch's profiler and Timer and by triton."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch.utils.benchmark import Timer

from ...devices import device_of
from ...devices.device import Device
from ...devices.kernels import covered
from ...facts.case import ConvCase
from ...facts.measure import Measure
from ...facts.spec import Spec, Switches
from ...measurement import problem
from ...measurement.switches import switched
from ...methods.own import context_of, load
from ...sweep.plan import planned
from ...sweep.presets import preset
from ...timing import rounds
from ...timing.clocks import Arm
from ...timing.event_clock import flush_bytes
from ...timing.speed_columns import columns

METHODS = ("autograd", "explicit", "aten")
PROFILED_S = 4e-3
"""Of calls under the profiler, and no fewer than FEWEST or more than MOST of them."""
FEWEST, MOST = 5, 50
TIMER_S = 0.1

Call = Callable[[], Any]


@dataclass(frozen=True)
class Made:
    """A configuration's calls, and the switches that they are made under."""

    device: Device
    arms: Mapping[str, Arm]


@lru_cache(maxsize=1)
def _base() -> Spec:
    return next(iter(planned(["op=conv2d", "measure=quick"]).sweep))


@lru_cache(maxsize=1)
def made(device: str, shape: tuple[int, ...], dtype: str, wrt: str) -> Made:
    """The methods of one shape, prepared where they are timed."""
    batch, channels, size, out, kernel = shape
    case = replace(
        _base().case, batch=batch, in_channels=channels, out_channels=out, size=(size, size),
        kernel=(kernel, kernel), padding=(kernel // 2, kernel // 2),
    )  # fmt: skip
    assert isinstance(case, ConvCase)
    spec = replace(_base(), case=case, dtype=dtype, device=device, wrt=wrt, methods=METHODS)
    operands = problem.make(spec)
    arms = {}
    with device_of(device).clock(Measure()).context():
        for name in METHODS:
            prepare = load(name)
            arms[name] = Arm(name, prepare(operands), context_of(prepare))
    return Made(device_of(device), arms)


def compared(device: str, shape: list[int], dtype: str, tf32: bool, wrt: str, mode: str) -> dict[str, Any]:
    """`times`: method → `own_s` (convbench's), `others` (name → seconds) and what is known beside them; `refused`: why
    another timer has nothing to say, by its name. `mode` is hot, cold or graph."""
    measure = replace(preset("quick"), cache="cold" if mode == "cold" else "hot", cuda_graph=mode == "graph")
    with switched(Switches(threads=1, tf32=tf32), device):
        on = made(device, tuple(shape), dtype, wrt)
        rows, told = own(on, measure)
        refused: dict[str, str] = {}
        times = {}
        for name, arm in on.arms.items():
            others, more = rival_times(on.device, arm, mode, rows[name]["time_s"], refused)
            kept = ("least_s", "enqueue_s", "launch_bound", "converged", "wall_s", "time_low_s", "time_high_s")
            figures = {key: rows[name].get(key) for key in kept}
            times[name] = {"own_s": rows[name]["time_s"], "others": others, **figures, **more}
    return {"times": times, "refused": refused, "pair_s": told.get("event_s"), "graph": told.get("cuda_graph"),
            "graph_error": told.get("cuda_graph_error"), "throttle": told.get("throttle")}  # fmt: skip


def own(on: Made, measure: Measure) -> tuple[dict[str, dict[str, Any]], Mapping[str, Any]]:
    """The speed columns by method, as a sweep has them, with the least sample; and what was in force."""
    clock = on.device.clock(measure)
    with clock.context():
        samples = rounds.measure(list(on.arms.values()), METHODS[0], measure, clock, 0, rounds.unmarked)
    rows = {name: columns(samples, name, METHODS[0], measure) | {"least_s": min(samples.of(name))} for name in on.arms}
    return rows, samples.counters


def rival_times(
    device: Device, arm: Arm, mode: str, own_s: float, refused: dict[str, str]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds per call by the other timers that can time this, by their names; and what the profiler saw."""
    others: dict[str, float] = {}
    more: dict[str, Any] = {}
    if device.interface() is not None:
        seen = profiled(device, arm, own_s, cold=mode == "cold")
        if seen is None:
            refused["profiler"] = "it saw nothing of the device's work"
        else:
            others["kernels"] = seen.pop("kernels_s")
            more = seen
        if device.has_triton and mode in ("cold", "graph"):
            _with_triton(device, arm, mode, others, refused)
    elif mode == "hot":
        others["Timer"] = timer(device, arm)
        if device.activity == "CPU":
            others["profiler"] = operators(arm, own_s)
    return others, more


def _with_triton(device: Device, arm: Arm, mode: str, others: dict[str, float], refused: dict[str, str]) -> None:
    name = "do_bench" if mode == "cold" else "do_bench_cudagraph"
    if mode == "graph" and arm.context is nullcontext:
        refused[name] = "autograd runs a backward on its forward's stream, which triton's capture is not on"
        return
    try:
        from triton import testing

        with device.clock(Measure()).context(), arm.context():
            others[name] = getattr(testing, name)(arm.call, return_mode="median") * 1e-3
    except Exception as error:  # triton compiles with a C compiler, which may be missing
        refused[name] = " ".join(f"{type(error).__name__}: {error}".split())[:150]


def timer(device: Device, arm: Arm) -> float:
    """By torch's Timer, the least of all its blocks: the least disturbed one."""
    with device.context(), arm.context():
        found = Timer("call()", globals={"call": arm.call}, num_threads=torch.get_num_threads())
        goes = [found.blocked_autorange(min_run_time=TIMER_S) for _ in range(2)]
        least: float = min(time for go in goes for time in go.times)
        return least


def operators(arm: Arm, own_s: float) -> float:
    """CPU time of torch's operators in one call, by its profiler: without Python's part, and with the profiler's own
    cost in each operator. The least of several calls."""
    calls = max(FEWEST, min(MOST, int(2e-2 / own_s)))
    found = []
    with arm.context():
        for _ in range(calls):
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profile:
                arm.call()
            found.append(1e-6 * float(sum(event.self_cpu_time_total for event in profile.key_averages())))
    return min(found)


def profiled(device: Device, arm: Arm, own_s: float, cold: bool) -> dict[str, Any] | None:
    """What CUPTI (or its like) tells of the device's work: `kernels_s`, the time in one call in which any kernel runs
    (cuDNN lets groups run beside each other); `span_s`, from the first one's start to the last one's end, by the number
    of calls; `launches`, their number. With `cold` a flush is before each call, whose kernel is left out. None where
    nothing was seen."""
    cuda: Any = device.interface()
    calls = max(FEWEST, min(MOST, int(PROFILED_S / own_s)))
    buffer = None
    if cold:
        size = flush_bytes(cuda.get_device_properties(device.placed))
        buffer = torch.empty(size, dtype=torch.int8, device=device.placed)
    clock = device.clock(Measure())
    with clock.context(), arm.context():
        spans = [_profiled(device, cuda, arm.call, calls, buffer) for _ in range(3)]
    # The first profile of a process may lack the kernels that were launched before its buffers were there.
    spans = [span for span in spans if span]
    if not spans:
        return None
    per_call = [len(span) / calls for span in spans]
    flushes = 1 if cold else 0
    whole = [span for span, n in zip(spans, per_call, strict=True) if n == int(n) and n > flushes]
    if not whole:
        return None
    found = [_summed(span, calls, flushes) for span in whole]
    return {key: median([one[key] for one in found]) for key in found[0]}


def _summed(span: list[tuple[int, int]], calls: int, flushes: int) -> dict[str, float]:
    n = len(span) // calls
    work = [span[i] for i in range(len(span)) if i % n >= flushes]
    out = {"kernels_s": covered(work) * 1e-9 / calls, "launches": float(n - flushes)}
    if not flushes:
        out["span_s"] = (max(end for _, end in work) - work[0][0]) * 1e-9 / calls
    return out


def _profiled(device: Device, cuda: Any, call: Call, calls: int, buffer: Any) -> list[tuple[int, int]]:
    """Start and end, in nanoseconds and in order, of what the device did in so many calls, the host being ahead."""
    activity = getattr(torch.profiler.ProfilerActivity, str(device.activity))
    begun = perf_counter()
    for _ in range(3):
        call()
    enqueue_s = (perf_counter() - begun) / 3
    device.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.profiler.profile(activities=[activity], acc_events=True) as profile:
            if hasattr(cuda, "_sleep"):
                # Recording makes launches several times as long.
                cuda._sleep(int(min(8 * calls * enqueue_s + 1e-3, 0.2) * 2e9))
            for _ in range(calls):
                if buffer is not None:
                    buffer.zero_()
                call()
            device.synchronize()
    seen: Any = profile.profiler
    events = [e for e in seen.kineto_results.events() if not str(e.device_type()).endswith(".CPU")]
    work = [e for e in events if e.duration_ns() > 0 and "spin_kernel" not in e.name()]
    return sorted((e.start_ns(), e.start_ns() + e.duration_ns()) for e in work)
