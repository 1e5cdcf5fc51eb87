"""Stage `timers`: convbench's times of one configuration beside those of other timers, in the same process."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..facts.units import time
from .checks import Check, Seen, inapplicable, judged, unknown
from .context import Context

SHAPES = 8
NUMBERS = {"float32": ("float32", False), "TF32": ("float32", True), "bfloat16": ("bfloat16", False)}
"""Name → element type, and whether TF32 is allowed."""
WRTS = ("input", "weight")
MODES = ("hot", "cold", "graph")
TRIES = 3


class Tolerance(NamedTuple):
    """Ours may be from low·theirs − fixed_s to high·theirs + fixed_s (or, where it has that, to high·span_s + fixed_s);
    from `least_s` on."""

    low: float
    high: float
    fixed_s: float = 0.0
    least_s: float = 0.0

    def fits(self, low_s: float, high_s: float, least_s: float, most_s: float) -> bool:
        """Whether ours, from `low_s` to `high_s`, reaches what theirs, from `least_s` to `most_s`, allows."""
        return self.low * least_s - self.fixed_s <= high_s and low_s <= self.high * most_s + self.fixed_s

    def __str__(self) -> str:
        said = f"−{1 - self.low:.0%} to +{self.high - 1:.0%}"
        said += f" and {time(self.fixed_s)}" if self.fixed_s else ""
        return said + (f" (from {time(self.least_s)} on)" if self.least_s else "")


TOLERANCES = {
    # Kernels may have gaps between them, which the events see and the sum of the kernels' times does not.
    ("hot", "kernels"): Tolerance(0.95, 1.05, 1e-6),
    ("graph", "kernels"): Tolerance(0.95, 1.05, 1e-6),
    # A pair of events around each call, and with several kernels the gaps.
    ("cold", "kernels"): Tolerance(0.95, 1.10, 3e-6),
    ("cold", "do_bench"): Tolerance(0.90, 1.10, 2e-6),
    ("graph", "do_bench_cudagraph"): Tolerance(0.93, 1.07, 1e-6),
    ("hot", "Timer"): Tolerance(0.90, 1.10),
    # Without Python and autograd's engine, and with the profiler's own cost.
    ("hot", "profiler"): Tolerance(0.85, 1.25, least_s=3e-4),
}
"""By mode and timer."""
LEAST = ("Timer", "profiler")
"""Timers whose figure is the least that they saw."""
FLUSH_S = 3e-5
"""do_bench's own flush at least; the host needs less time for a call, or is in its figure."""
GAP_S = 2e-6
"""Between two kernels of one call, in cold calls, where no span is known."""


def checks() -> list[Check]:
    """In a fixed random order, so that what fits into a time budget is spread over everything."""
    configurations = [(shape, numbers, wrt) for shape in range(SHAPES) for numbers in NUMBERS for wrt in WRTS]
    random.Random(0).shuffle(configurations)
    return [check(*configuration, mode) for configuration in configurations for mode in MODES]


def check(shape: int, numbers: str, wrt: str, mode: str) -> Check:
    limits = "; ".join(f"{timer} {tolerance}" for (of, timer), tolerance in TOLERANCES.items() if of == mode)
    return Check(
        f"shape {shape + 1} {numbers} {wrt} {mode}",
        "timers",
        f"autograd, explicit and aten take as long as other timers say, {mode}",
        limits,
        lambda context: compared(context, shape, numbers, wrt, mode),
        2.0,
    )


def compared(context: Context, shape: int, numbers: str, wrt: str, mode: str) -> Seen:
    traits, (dtype, tf32) = context.traits, NUMBERS[numbers]
    if tf32 and not traits.tf32:
        return inapplicable("it does not compute in TF32")
    if mode == "graph" and not traits.graphs:
        return inapplicable("it has no graphs")
    if mode == "cold" and not traits.events:
        return inapplicable("no other timer that is known here flushes its caches")
    words = {"shape": list(traits.shapes[shape]), "dtype": dtype, "tf32": tf32, "wrt": wrt, "mode": mode}
    tries: list[dict[str, Any]] = []
    while len(tries) < TRIES and (not tries or off(tries, mode)):
        tries.append(context.ask("timers:compared", 180.0, **words))
    return conclusion(tries, mode, traits.shapes[shape])


def conclusion(tries: Sequence[Mapping[str, Any]], mode: str, shape: Sequence[int]) -> Seen:
    """What several tries say: two timers that agreed once agree; where one timer's times differ among the tries by more
    than is allowed between two, the machine was not quiet enough to tell."""
    last = tries[-1]
    figures = {"shape": list(shape), "times": last["times"], "refused": last["refused"], "tries": len(tries)}
    observed = "; ".join(told(name, times) for name, times in last["times"].items())
    if mode == "graph" and not last["graph"]:
        return judged(False, observed, f"not timed as graphs: {last['graph_error']}", **figures)
    if not any(times["others"] for times in last["times"].values()):
        return inapplicable("; ".join(f"{timer}: {why}" for timer, why in last["refused"].items()) or "no other timer")
    if "profiler" in last["refused"]:
        return unknown(f"the profiler: {last['refused']['profiler']}", observed, **figures)
    wrong = off(tries, mode)
    if not wrong:
        return judged(True, observed, **figures)
    said = ", ".join(f"{method} by {timer}" for method, timer in wrong)
    if any(restless(tries, method, mode, timer) for method, timer in wrong):
        return unknown(
            f"the machine is not quiet: one timer's own times differ between {len(tries)} tries", observed, **figures
        )
    return judged(False, observed, f"beyond the tolerance in each of {len(tries)} tries: {said}", **figures)


def off(tries: Sequence[Mapping[str, Any]], mode: str) -> list[tuple[str, str]]:
    """(method, timer) of those that agreed in none of the tries."""
    pairs = dict.fromkeys((name, timer) for one in tries for name, t in one["times"].items() for timer in t["others"])
    return [(m, t) for m, t in pairs if not any(agrees(one["times"][m], mode, t) for one in tries)]


def agrees(times: Mapping[str, Any], mode: str, timer: str) -> bool:
    """Whether our time of one method is within the tolerance of another timer's."""
    tolerance, their_s = TOLERANCES[mode, timer], times["others"].get(timer)
    own_s = ours(times, timer)
    if their_s is None or own_s < tolerance.least_s:
        return True
    # Heavy work lowers the clock and lets it go again: what our own interval leaves open is no contradiction.
    ends = (own_s,) if timer in LEAST else (times.get("time_low_s") or own_s, times.get("time_high_s") or own_s)
    most_s = max(their_s, times.get("span_s") or 0.0)
    if timer == "do_bench" and (times.get("enqueue_s") or 0.0) > FLUSH_S:
        # Its device waits for the host after the flush, and ours does not.
        their_s = min(their_s, times["others"].get("kernels", their_s))
    if timer == "kernels" and mode == "cold":
        most_s += GAP_S * max(0.0, (times.get("launches") or 1.0) - 1)
    if timer == "kernels" and times.get("launch_bound"):
        # The row says itself that the host is in the time, which no kernel's time contains.
        most_s = math.inf
    return tolerance.fits(min(ends), max(ends), their_s, most_s)


def ours(times: Mapping[str, Any], timer: str) -> float:
    """What of our own times another timer's figure is held against: the least against the least, because on a busy
    machine medians tell of the others' work."""
    return float(times["least_s"] if timer in LEAST else times["own_s"])


def restless(tries: Sequence[Mapping[str, Any]], method: str, mode: str, timer: str) -> bool:
    """Whether one timer's times of a method differ among the tries by as much as two timers' may. Of timers that share
    the host, either shows what others do to it."""
    timers = LEAST if timer in LEAST else (timer,)
    seen = [(TOLERANCES[mode, timer], [one["times"][method]["own_s"] for one in tries])]
    for name in timers:
        others = [one["times"][method]["others"] for one in tries]
        seen.append((TOLERANCES[mode, name], [found[name] for found in others if name in found]))
    return any(times and max(times) > limit.high * min(times) + limit.fixed_s for limit, times in seen)


def told(name: str, times: Mapping[str, Any]) -> str:
    others = ", ".join(f"{timer} {time(seconds)}" for timer, seconds in times["others"].items())
    bound = " (launch-bound)" if times.get("launch_bound") else ""
    least = f", least {time(times['least_s'])}" if any(timer in LEAST for timer in times["others"]) else ""
    return f"{name} {time(times['own_s'])}{least}{bound}" + (f" ({others})" if others else "")
