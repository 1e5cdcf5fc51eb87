"""What to be careful with in a table's times, and what they say of a training step; computed from the rows alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..facts import units
from ..results.rows import Mask, Rows
from . import lead
from .evidence import Finding, at, by, share, within, worst_first, worst_of

DECIDED = ("faster", "slower", "equivalent")

ENGINE_SHARE = 0.5
"""Of the baseline's time from which most of what is compared is autograd's engine, which every method pays."""

LEAVE_IT_OUT = "a larger batch tells more; torch.compile or a CUDA graph of the whole step leaves the engine out"


def engine_bound(rows: Rows) -> Iterator[Finding]:
    """Baselines whose backward pass is mostly autograd's engine."""
    engine_s, time_s = rows.numbers("engine_s"), rows.numbers("backward_time_s")
    baselines = rows.agree("method", "baseline") & np.isfinite(engine_s) & (time_s > 0)
    part = np.where(baselines, engine_s / np.where(baselines, time_s, 1.0), np.nan)
    for (method, device), where in by(rows, baselines & (part >= ENGINE_SHARE), "method", "device"):
        worst = worst_first(part, where)
        first = int(worst[0])
        among = baselines & rows.equal("method", method) & rows.equal("device", device)
        sentence = (
            f"{units.share(min(part[first], 1.0))} of {method}'s time on {device} is autograd's engine, which every "
            f"backward pays ({units.time(engine_s[first])} of {units.time(time_s[first])}"
            f"{at(rows, first, ', ')}){within(where, among, 'configuration')}"
        )
        yield Finding("note", "engine_bound", sentence, LEAVE_IT_OUT, len(where), *worst_of(rows, worst))


def not_in_training(rows: Rows) -> Iterator[Finding]:
    """Methods whose calls are faster than the baseline's and that make no training step faster."""
    call, trained = rows.numbers("speedup"), rows.numbers("backward_speedup")
    compared = np.isfinite(call) & np.isfinite(trained) & ~rows.agree("method", "baseline")
    lost = compared & rows.equal("speed", "faster") & ~rows.equal("backward_speed", "faster")
    for (device,), where in by(rows, lost, "device"):
        worst = worst_first(-trained, where)
        first = int(worst[0])
        among = compared & rows.equal("device", device) & rows.equal("speed", "faster")
        sentence = (
            "faster when called, not in a training step (as the backward of an autograd.Function): "
            f"{share(where, among, 'result')} that beat the baseline on {device}; {rows.value('method', first)} "
            f"{units.times(call[first])} when called and {units.times(trained[first])} in a step"
            f"{at(rows, first, ' (', ')')}"
        )
        yield Finding("warning", "not_in_training", sentence, LEAVE_IT_OUT, len(where), *worst_of(rows, worst))


HOST_SHARE = 1.2
"""How many times as long as its device time the wall time of one of two methods is where the host decides."""

TAKE_THE_HOST_OUT = (
    "a CUDA graph (measure.cuda_graph=true) or torch.compile of the step takes the host out, a larger batch makes it "
    "count less; where the step stays as it is, go by wall time (measure.time=wall)"
)


def host_decides(rows: Rows) -> Iterator[Finding]:
    """Methods that are faster by one time and not by the other, as launching them takes longer than computing."""
    device, wall = rows.numbers("speedup"), rows.numbers("wall_speedup")
    with np.errstate(divide="ignore", invalid="ignore"):
        mine = rows.numbers("wall_s") / rows.numbers("time_s")
        theirs = mine * wall / device  # the baseline's own
        apart = np.abs(np.log(wall / device))
    compared = np.isfinite(device) & np.isfinite(wall) & ~rows.agree("method", "baseline")
    settled = rows.equal("speed", *DECIDED) & rows.equal("wall_speed", *DECIDED)
    other = compared & settled & ~rows.agree("speed", "wall_speed") & (np.fmax(mine, theirs) >= HOST_SHARE)
    for (name,), where in by(rows, other, "device"):
        worst = worst_first(apart, where)
        first = int(worst[0])
        among = compared & rows.equal("device", name)
        sentence = (
            f"on {name} the host decides, not the device{within(where, among, 'comparison')}: "
            f"{rows.value('method', first)} is {rows.value('speed', first)} by device time "
            f"({units.times(device[first])}) and {rows.value('wall_speed', first)} by wall time "
            f"({units.times(wall[first])}){at(rows, first, ', ')}, launched call by call"
        )
        yield Finding("warning", "host_decides", sentence, TAKE_THE_HOST_OUT, len(where), *worst_of(rows, worst))


def unsettled(rows: Rows) -> Iterator[Finding]:
    """Timings whose interval did not reach the requested precision."""
    ends = {end: lead.numbers(rows, f"speedup_{end}") for end in ("low", "high")}
    ratio = ends["high"] / ends["low"]
    timed = np.isfinite(lead.numbers(rows, "time_s")) & rows.known("converged") & ~rows.agree("method", "baseline")
    where = np.flatnonzero(timed & lead.equal(rows, "converged", False))
    if not len(where):
        return
    worst = worst_first(ratio, where)
    first = int(worst[0])
    widest = ""
    if np.isfinite(ratio[first]):
        low, high = (ends[end][first] for end in ("low", "high"))
        widest = f"; widest: {rows.value('method', first)} [{low:.2f}, {high:.2f}]{at(rows, first, ', ')}"
    sentence = f"{share(where, timed, 'timing')} missed the requested precision (marked *){widest}"
    presets = [name.partition(" ")[0] for name in rows.values("measure") if np.any(rows.equal("measure", name)[where])]
    # The table does not tell a run within budget_s, where its processes share the time.
    remedy = f"measure={'default' if 'quick' in presets else 'rigorous'} (under budget_s: a larger one)"
    if presets == ["rigorous"]:
        sentence += "; fresh processes differ by their memory layout, too, often by more than that"
        # Student's interval of twelve is 0.6 times as wide as that of six.
        remedy = "more processes (measure.processes=12)"
    remedy += ", or a quieter machine"
    yield Finding("warning", "unsettled", sentence, remedy, len(where), *worst_of(rows, worst))


def launch_bound(rows: Rows) -> Iterator[Finding]:
    """CUDA timings in which the host could not stay ahead of the device."""
    yield from _flagged(
        rows,
        rows.equal("launch_bound", True) & ~rows.known("launches_wait"),
        rows.known("launch_bound"),
        ("launch_bound", "{often} on CUDA waited for the host to enqueue work, so that times include gaps"),
        "measure.cuda_graph=true, or a larger batch",
    )


def launches_wait(rows: Rows) -> Iterator[Finding]:
    """CUDA timings under a variable for debugging that takes the queue away."""
    said = rows.values("launches_wait")
    if said:
        kind = (
            "launches_wait",
            f"{said[0]} made the host wait for every kernel in {{often}}, so that times include gaps",
        )
        yield from _flagged(rows, rows.known("launches_wait"), rows.known("time_s"), kind, "unset it")


EVENTS = 20
"""A sample of fewer times what its two events take is off by more than 5%."""


def compressed(rows: Rows) -> Iterator[Finding]:
    """CUDA timings so short that what every sample takes besides brings their ratios nearer to 1."""
    calls = np.where(rows.equal("cache", "cold"), 1, rows.numbers("calls_per_sample"))
    short = rows.numbers("time_s") * calls < EVENTS * rows.numbers("event_s")
    yield from _flagged(
        rows,
        short,
        rows.known("event_s"),
        ("compressed", "{often} took less than twenty times what timing it does, so that ratios seem nearer to 1"),
        "measure.cache=hot, or a larger batch",
    )


AT_SPEED = 0.97
"""Share of its highest clock from which a device runs at it: steps of the clock are a percent."""


def throttled(rows: Rows) -> Iterator[Finding]:
    """CUDA timings while the GPU was throttled. At its highest clock it was not, whatever capped it at times."""
    clock = rows.numbers("clock_mhz") / rows.numbers("highest_mhz")
    held = rows.known("throttle") & ~rows.equal("throttle", "", "none") & ~(clock >= AT_SPEED)
    named = ", ".join(dict.fromkeys(rows.value("throttle", int(i)) for i in np.flatnonzero(held)[:100]))
    slowest = clock[held]
    low = f" and ran at {np.nanmin(slowest):.0%} of its highest clock" if np.isfinite(slowest).any() else ""
    kind = ("throttled", f"the GPU was throttled ({named}){low} during {{often}}")
    yield from _flagged(rows, held, np.isfinite(rows.numbers("time_s")), kind, "cool it, or lock its clocks")


def _flagged(rows: Rows, mask: Mask, among: Mask, kind: tuple[str, str], remedy: str) -> Iterator[Finding]:
    where = np.flatnonzero(mask)
    if len(where):
        sentence = kind[1].format(often=share(where, among, "timing"))
        sentence += at(rows, int(where[0]), ", for instance ")
        yield Finding("warning", kind[0], sentence, remedy, len(where), *worst_of(rows, where))
