"""Stage `primitives`, first half: what timing rests on, device by device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..facts.units import time
from .checks import Check, Seen, inapplicable, judged, unknown
from .context import Context

PAIR_S = 2e-5
"""An empty pair of events at most; on GPUs in use it takes one to ten microseconds."""
HOST_STEP_S = 1e-6
"""The host's clock has to be finer: a part of a sample is half a millisecond."""
WARM_SPREAD = 1.05
"""Sleeps count cycles: at a steady clock their rates are the same but for what starting one takes."""
LAUNCH_S = 2e-5
"""The smallest kernel at most, when the host is ahead."""
FLUSHED = 0.10
"""Share by which reading after the program's own flush may be faster than after one four times as large."""
SEEN = 1.05
"""A cache has to make this much of a difference before a flush can be judged by it."""
TRIES = 3
"""Of what other work on a machine may hide."""


def checks() -> list[Check]:
    events = "its interface tells no times by events"
    return [
        Check("device", "primitives", "the device has a name and tells its facts", "", device),
        Check("NVML", "primitives", "NVML tells a clock of the device that torch uses", "above 0 MHz", nvml),
        Check("clock of the host", "primitives", "costs and steps of at most 1 µs", time(HOST_STEP_S), host_clock),
        Check(
            "event pair", "primitives", "two events with nothing between read next to nothing, in fine steps",
            f"{time(PAIR_S)}; steps no longer than the program takes them to be", having("events", events, event_pair),
        ),
        Check(
            "sleep idle", "primitives", "after idling a sleep is not shorter than its cycles at the warm clock",
            "one tenth", having("sleeps", "it has no sleep that a host can enqueue", sleep_idle), 6.0,
        ),
        Check(
            "sleep warm", "primitives", "sleeps of 1 to 20 million cycles take times in proportion",
            f"rates within a factor of {WARM_SPREAD}",
            having("sleeps", "it has no sleep that a host can enqueue", sleep_warm), 4.0,
        ),
        Check(
            "queue", "primitives", "the host can be as many launches ahead as a sample has calls at most", "none",
            having("sleeps", "without a sleep the host cannot be got ahead", queue),
        ),
        Check(
            "launches", "primitives", "the smallest kernel, launched by itself and from a graph",
            f"at most {time(LAUNCH_S)}; a graph's not above a stream's by a tenth",
            having("events", events, launches),
        ),
        Check(
            "flush", "primitives", "after the program's own flush a read is as slow as after one of 8 times the cache",
            f"{FLUSHED:.0%}", having("events", events, flush), 5.0,
        ),
        Check(
            "cold and hot", "primitives", "measure.cache=cold reads from memory: slower than from the cache",
            f"a factor of {SEEN} at least", cold_and_hot, 8.0,
        ),
    ]  # fmt: skip


def having(trait: str, reason: str, run: Callable[[Context], Seen]) -> Callable[[Context], Seen]:
    """The check where the device has what it needs."""
    return lambda context: run(context) if getattr(context.traits, trait) else inapplicable(reason)


def device(context: Context) -> Seen:
    found = context.traits.environment
    named = found.get("gpu") if not context.traits.is_host else found.get("cpu")
    told = {name: found.get(name) for name in ("gpu", "driver", "cuda", "cudnn", "torch", "triton") if found.get(name)}
    seen = ", ".join(f"{name} {value}" for name, value in told.items() if name != "gpu")
    return judged(bool(named), f"{named}; {seen}", "its facts hold no model", **told)


def nvml(context: Context) -> Seen:
    if not context.traits.nvml:
        return inapplicable("NVML does not know such devices")
    told = context.ask("primitives:clock_told")
    observed = f"{told['clock_mhz'] or 'no'} MHz, throttle: {told['throttle'] or 'unknown'}"
    return judged(bool(told["clock_mhz"]), observed, "is nvidia-ml-py installed, and the driver's NVML there?", **told)


def host_clock(context: Context) -> Seen:
    f = context.ask("primitives:host_clock")
    observed = f"a reading every {time(f['cost_s'])}, steps of {time(f['step_s'])}"
    return judged(max(f["cost_s"], f["step_s"]) <= HOST_STEP_S, observed, "too coarse to time parts of a sample", **f)


def event_pair(context: Context) -> Seen:
    f = context.ask("primitives:event_pair")
    observed = f"{time(f['pair_s'])} (at most {time(f['longest_s'])}), steps of {time(f['step_s'])}"
    # A float of milliseconds rounds the step itself.
    good = 0 <= f["pair_s"] <= PAIR_S and f["step_s"] <= 1.05 * f["resolution_s"]
    return judged(good, observed, "short samples would be made of the events", **f)


def sleep_idle(context: Context) -> Seen:
    idle, warm = (context.ask("primitives:sleeps", warm=warm)["cycles_per_s"] for warm in (False, True))
    fastest, steady = max(idle.values()), max(warm.values())
    observed = f"{_range(idle)}, warm {_range(warm)}"
    reason = "the clock is higher after idling, so that a sleep that was calibrated warm would be too short"
    return judged(fastest <= 1.1 * steady, observed, reason, idle=idle, warm=warm)


def sleep_warm(context: Context) -> Seen:
    rates = context.ask("primitives:sleeps", warm=True)["cycles_per_s"]
    spread = max(rates.values()) / min(rates.values())
    reason = "the clock changes under a steady load, or sleeps count something else than cycles"
    return judged(spread <= WARM_SPREAD, f"{_range(rates)}, a factor of {spread:.3f}", reason, cycles_per_s=rates)


def _range(rates: dict[str, float]) -> str:
    return f"{min(rates.values()) / 1e9:.3f} to {max(rates.values()) / 1e9:.3f} cycles/ns"


def queue(context: Context) -> Seen:
    f = context.ask("primitives:queue")
    observed = (
        f"{f['depth']} launches of {time(f['launch_s'])} each before the host waited; samples have up to {f['calls']}"
    )
    return judged(f["depth"] >= f["calls"], observed, "samples are longer than the queue, and would wait inside", **f)


def launches(context: Context) -> Seen:
    f = context.ask("primitives:launches")
    observed = f"by stream {time(f['stream_s'])} (host {time(f['stream_host_s'])})"
    good = 0 < f["stream_s"] <= LAUNCH_S
    if "graph_s" in f:
        observed += f", from a graph {time(f['graph_s'])} (host {time(f['graph_host_s'])})"
        good = good and 0 < f["graph_s"] <= 1.1 * f["stream_s"]
    return judged(good, observed, "the host was not ahead, or launches are not what they are", **f)


def flush(context: Context) -> Seen:
    f = context.ask("primitives:flush")
    read = {float(k): seconds for k, seconds in f["read_s"].items()}
    observed = ", ".join(f"{k:g}×: {time(seconds)}" for k, seconds in read.items())
    if read[8.0] < SEEN * read[0.0]:
        return unknown("the cache makes no difference to this read", observed, **f)
    own = read[_nearest(list(read), f["own"])]
    return judged(
        own >= (1 - FLUSHED) * read[8.0], observed, f"the program writes {f['own']:g}× and leaves a part", **f
    )


def _nearest(known: Sequence[float], wanted: float) -> float:
    """The largest flush tried that is not larger than the program's own."""
    return max((k for k in known if k <= wanted * 1.001), default=min(known))


def cold_and_hot(context: Context) -> Seen:
    """Tried again where they differ too little: other work on the machine takes from one of the two at a time."""
    tries: list[dict[str, Any]] = []
    while len(tries) < TRIES and not (tries and _told_apart(tries[-1])):
        tries.append(context.ask("primitives:cold_and_hot"))
        if tries[-1]["cold_is"] != "cold":
            return inapplicable("its clock flushes nothing")
    f = tries[-1]
    observed = f"hot {time(f['hot_s'])}, cold {time(f['cold_s'])}"
    restless = any(max(t[name] for t in tries) > SEEN * min(t[name] for t in tries) for name in ("hot_s", "cold_s"))
    if restless and not _told_apart(f):
        return unknown(f"the machine is not quiet: one and the same time differs between {len(tries)} tries", observed)
    return judged(_told_apart(f), observed, "the flush leaves the operands in the cache", **f)


def _told_apart(figures: dict[str, Any]) -> bool:
    return bool(figures["cold_s"] >= SEEN * figures["hot_s"])
