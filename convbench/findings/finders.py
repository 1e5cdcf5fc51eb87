"""What a person should look at in a table, in plain sentences with the numbers; computed from the rows alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..facts import units
from ..facts.record import FAILED, IMPOSSIBLE
from ..facts.settings import CONFIGURATION
from ..facts.wrt import OUTPUT, kind_of
from ..results.rows import Rows, partners
from . import calls
from .evidence import SAME_OUT, SEVERITIES, Finding, at, by, kept, reason, share, within, worst_first, worst_of
from .intervals import two_speeds
from .timings import (
    compressed,
    engine_bound,
    host_decides,
    launch_bound,
    launches_wait,
    not_in_training,
    throttled,
    unsettled,
)

SEPARATION = 1.3
"""How far apart two intervals of unpaired timings must lie (the nearer ends' ratio) before they are told apart.
Two separate timings of identical code on a shared machine differed by up to exp(0.26) = 1.3 in nine of ten trials."""

EXPLAINED_BY_SIZE = 2.0
"""float64 holds twice the bytes of float32; being slower by that much is not worth a sentence."""


def find(rows: Rows) -> list[Finding]:
    """Everything worth a person's attention, the gravest first."""
    found = [finding for finder in FINDERS for finding in finder(rows)]
    return sorted(found, key=lambda f: SEVERITIES.index(f.severity))


def wrong(rows: Rows) -> Iterator[Finding]:
    """Methods that computed a wrong gradient."""
    ratio = rows.numbers("bound_ratio")
    for (method,), where in by(rows, rows.equal("accuracy", "fail"), "method"):
        worst = worst_first(ratio, where)
        first = int(worst[0])
        told = "its bound" in str(rows.value("reason", first))
        much = "" if told or not np.isfinite(ratio[first]) else f", error {units.significant(ratio[first])}× its bound"
        often = within(where, rows.known("accuracy") & rows.equal("method", method), "configuration")
        what = kind_of(OUTPUT if bool(rows.equal("wrt", OUTPUT)[where].all()) else None)
        yield Finding(
            "bad",
            "wrong",
            f"{method} gave a wrong {what}{often}{at(rows, first, '; worst: ')}{much}{reason(rows, first)}",
            f"do not use it there{kept(rows, worst)}",
            len(where),
            *worst_of(rows, worst),
        )


def impossible(rows: Rows) -> Iterator[Finding]:
    """Methods whose time is less than any algorithm needs."""
    time_s, least_s = rows.numbers("time_s"), rows.numbers("least_s")
    with np.errstate(divide="ignore", invalid="ignore"):
        share_of_least = time_s / least_s
    for (method,), where in by(rows, rows.equal("speed", IMPOSSIBLE), "method"):
        worst = worst_first(-share_of_least, where)
        first = int(worst[0])
        often = within(where, np.isfinite(time_s) & rows.equal("method", method), "configuration")
        yield Finding(
            "bad",
            IMPOSSIBLE,
            f"{method} cannot have done its work in the time measured{often}{at(rows, first, '; worst: ')}"
            f"{reason(rows, first)}",
            "do not believe it: look at what its calls do while they are timed",
            len(where),
            *worst_of(rows, worst),
        )


AGAIN = f"the same command with retry=failed and {SAME_OUT}"

FAILURES = {
    "oom": ("ran out of memory", "a smaller batch, or a larger memory_limit"),
    "timeout": ("did not end in time", "a larger timeout_s, or leave the method out"),
    "crash": ("crashed its process", f"the sweep went on without it; {AGAIN} tries again"),
    "error": ("raised an error", f"fix it and run {AGAIN}"),
}
"""Status → what happened, and what to do."""


def failed(rows: Rows) -> Iterator[Finding]:
    """Methods that could not be measured."""
    for (method, status), where in by(rows, rows.equal("status", *FAILED), "method", "status"):
        what, remedy = FAILURES[status]
        first = int(where[0])
        often = within(where, rows.equal("method", method), "configuration")
        sentence = f"{method} {what}{often}{at(rows, first, ', for instance ')}{reason(rows, first)}"
        yield Finding("bad", status, sentence, f"{remedy}{kept(rows, where)}", len(where), *worst_of(rows, where))


def not_repeatable(rows: Rows) -> Iterator[Finding]:
    """Methods whose two calls on the same data gave different bits."""
    for (method, device), where in by(rows, rows.equal("repeatable", False), "method", "device"):
        among = rows.known("repeatable") & rows.equal("method", method) & rows.equal("device", device)
        often = within(where, among, "configuration")
        yield Finding(
            "note",
            "not_repeatable",
            f"{method} on {device} is not bitwise repeatable from call to call"
            f"{often}{at(rows, int(where[0]), ', for instance ')}",
            "deterministic=true",
            len(where),
            *worst_of(rows, where),
        )


def reduced(rows: Rows) -> Iterator[Finding]:
    """Results that are right but less precise than their type allows."""
    error = rows.numbers("rel_l2_err")
    for (dtype, device), where in by(rows, rows.equal("accuracy", "reduced"), "dtype", "device"):
        worst = worst_first(error, where)
        first = int(worst[0])
        among = rows.known("accuracy") & rows.equal("dtype", dtype) & rows.equal("device", device)
        mine = np.zeros(rows.count, bool)
        mine[where] = True
        methods = [m for m in rows.values("method") if np.any(mine & rows.equal("method", m))]
        much = f" (relative error {units.significant(error[first], 2)})" if np.isfinite(error[first]) else ""
        sentence = (
            f"reduced precision in {share(where, among, f'{dtype} result')} on {device} ({', '.join(methods)}); "
            f"worst: {rows.value('method', first)}{at(rows, first, ', ')}{much}"
        )
        yield Finding("note", "reduced", sentence, "", len(where), *worst_of(rows, worst))


def slow_dtypes(rows: Rows) -> Iterator[Finding]:
    """Element types that are slower than float32 for the same case, method and settings."""
    for dtype in rows.values("dtype"):
        if dtype == "float64":
            yield from _slow_setting(rows, "dtype", "float32", dtype, ("", EXPLAINED_BY_SIZE * SEPARATION))
        elif dtype != "float32":
            remedy = "methods=[…,upcast] computes in float32 and rounds once"
            yield from _slow_setting(rows, "dtype", "float32", dtype, (remedy, 1.0))


def slow_layouts(rows: Rows) -> Iterator[Finding]:
    """Memory formats that are slower than contiguous for the same case, method and settings."""
    for layout in rows.values("memory_format"):
        if layout != "contiguous":
            remedy = "convert to contiguous before such layers"
            yield from _slow_setting(rows, "memory_format", "contiguous", layout, (remedy, 1.0))


def _slow_setting(rows: Rows, column: str, reference: str, value: str, told: tuple[str, float]) -> Iterator[Finding]:
    """One finding for each device where `value` is clearly slower than `reference`, unpaired and said to be so.

    `told` is the remedy and the least ratio of the medians worth a sentence. Wrong results do not count.
    """
    same = tuple(name for name in ("method", *CONFIGURATION, "environment_id") if name != column)
    times, low, high = (rows.numbers(name) for name in ("time_s", "time_low_s", "time_high_s"))
    believed = ~rows.equal("accuracy", "fail") & ~rows.equal("speed", IMPOSSIBLE)
    timed = believed & np.isfinite(low) & np.isfinite(high) & (times > 0)
    others, theirs = partners(rows, column, reference, same)
    usable = timed[others] & timed[theirs] & rows.equal(column, value)[others]
    partner = np.full(rows.count, -1, np.int64)
    partner[others[usable]] = theirs[usable]
    compared = partner >= 0
    ratio = np.where(compared, times / times[partner], np.nan)
    slower = compared & (low > SEPARATION * high[partner]) & (ratio > told[1])
    for (device,), where in by(rows, slower, "device"):
        worst = worst_first(ratio, where)
        first = int(worst[0])
        often = within(where, compared & rows.equal("device", device), "comparison")
        yield Finding(
            "note",
            f"slow_{column}",
            f"{value} is slower than {reference} on {device}{often}; at most {units.times(ratio[first])} its time: "
            f"{rows.value('method', first)} takes {units.time(times[first])} against "
            f"{units.time(times[partner[first]])}{at(rows, first, ', ')} (timed apart, unpaired)",
            told[0],
            len(where),
            *worst_of(rows, worst),
        )


def kept_alive(rows: Rows) -> Iterator[Finding]:
    """Bytes that the baseline keeps between forward and backward and another method does without.

    Where the explicit formula was measured, it alone is the measure of what is needed.
    """
    saved = rows.numbers("saved_bytes")
    is_baseline = rows.agree("method", "baseline")
    group = rows.configuration
    of_baseline = np.full(int(group.max(initial=-1)) + 1, -1, np.int64)
    of_baseline[group[is_baseline]] = np.flatnonzero(is_baseline)
    partner = of_baseline[group]
    extra = np.where((partner >= 0) & ~is_baseline, saved[partner] - saved, np.nan)
    if "explicit" in rows.values("method"):
        extra[~rows.equal("method", "explicit")] = np.nan
    for (method, baseline), where in by(rows, extra > 0, "method", "baseline"):
        worst = worst_first(extra, where)
        first = int(worst[0])
        among = np.isfinite(extra) & rows.equal("method", method)
        sentence = (
            f"{baseline} keeps {units.size(saved[partner[first]])} alive between forward and backward, "
            f"{method} {units.size(saved[first])}{at(rows, first, ' (', ')')}"
        )
        if np.count_nonzero(among) > 1:
            sentence += f"; it keeps more in {share(where, among, 'configuration')}"
        yield Finding("note", "kept_alive", sentence, "", len(where), *worst_of(rows, worst))


def sampled(rows: Rows) -> Iterator[Finding]:
    """Results of which only a sample of elements was compared with the reference."""
    checked = rows.numbers("checked_fraction")
    where = np.flatnonzero(checked < 1)
    if not len(where):
        return
    worst = worst_first(-checked, where)
    first = int(worst[0])
    covered = rows.numbers("identity_fraction")[first]
    rest = f"; an identity covers {units.share(covered)}" if np.isfinite(covered) else ""
    sentence = (
        f"a sample of the elements was compared with the reference in {share(where, np.isfinite(checked), 'result')}, "
        f"at least {units.share(checked[first])} of them{rest}{at(rows, first, '; smallest share: ')}"
    )
    remedy = "a larger reference.max_flops or reference.max_bytes"
    yield Finding("note", "sampled", sentence, remedy, len(where), *worst_of(rows, worst))


FINDERS = (
    wrong,
    impossible,
    failed,
    host_decides,
    not_in_training,
    engine_bound,
    unsettled,
    two_speeds,
    launch_bound,
    compressed,
    launches_wait,
    throttled,
    calls.disturbed,
    calls.means,
    calls.faults,
    calls.interleaved,
    calls.first_calls,
    not_repeatable,
    reduced,
    slow_dtypes,
    slow_layouts,
    kept_alive,
    sampled,
)
