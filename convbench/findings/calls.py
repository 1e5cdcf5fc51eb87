"""What is to be said of how times came about: others' work, work of some calls only, pages touched first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..facts import units
from ..results.rows import Rows
from . import lead
from .evidence import Finding, at, by, share, within, worst_first, worst_of

FAULTS_SHARE = 0.2
"""Share of a method's time from which page faults are worth a sentence."""


def disturbed(rows: Rows) -> Iterator[Finding]:
    """Ratios of arms that others' work slowed by different factors."""
    where = np.flatnonzero(lead.equal(rows, "disturbed", True))
    if not len(where):
        return
    ends = [lead.numbers(rows, f"speedup_{end}") for end in ("low", "high")]
    worst = worst_first(ends[1] / ends[0], where)
    first = int(worst[0])
    low, high = (end[first] for end in ends)
    often = share(where, rows.known("disturbed"), "timing")
    sentence = (
        f"other work slowed a method and the baseline by different factors in {often} (marked !): the intervals there "
        f"hold the ratio of the CPU times as well; widest: {rows.value('method', first)} [{low:.2f}, {high:.2f}]"
        f"{at(rows, first, ', ')}"
    )
    yield Finding("warning", "disturbed", sentence, "a quieter machine", len(where), *worst_of(rows, worst))


def means(rows: Rows) -> Iterator[Finding]:
    """Methods whose mean says something else than their median: some calls do what the others do not."""
    mean, median = lead.numbers(rows, "mean_speedup"), lead.numbers(rows, "speedup")
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(mean / median))
    for (method,), where in by(rows, lead.equal(rows, "mean_differs", True), "method"):
        worst = worst_first(apart, where)
        first = int(worst[0])
        low, high = (lead.numbers(rows, f"mean_speedup_{end}")[first] for end in ("low", "high"))
        often = within(where, rows.known("mean_differs") & rows.equal("method", method), "configuration")
        by_mean = units.interval(mean[first], low, high)
        sentence = (
            f"some calls of {method} do work that others do not{often} (marked ^): its speedup is "
            f"{median[first]:.2f}× by the median and {by_mean} by the mean, which training pays{at(rows, first, ', ')}"
        )
        yield Finding("warning", "mean_differs", sentence, "", len(where), *worst_of(rows, worst))


FIRST_CALLS, FIRST_S = 1000, 0.1
"""A first call that takes as long as so many later ones, and at least this many seconds, is worth a sentence."""


def first_calls(rows: Rows) -> Iterator[Finding]:
    """Methods that load, compile or pick something in their first call, which is in no time."""
    first_s, time_s = rows.numbers("first_call_s"), rows.numbers("time_s")
    with np.errstate(divide="ignore", invalid="ignore"):
        calls = np.where(first_s >= FIRST_S, first_s / time_s, np.nan)
    for (method,), where in by(rows, calls >= FIRST_CALLS, "method"):
        worst = worst_first(calls, where)
        first = int(worst[0])
        often = within(where, np.isfinite(first_s / time_s) & rows.equal("method", method), "configuration")
        sentence = (
            f"{method}'s first call takes {units.time(first_s[first])}, as long as "
            f"{units.count(round(calls[first]), 'later one')}{often}{at(rows, first, ', ')}; no other time holds it"
        )
        yield Finding("note", "first_call", sentence, FIRST_REMEDY, len(where), *worst_of(rows, worst))


FIRST_REMEDY = "call it once before what must be fast; column first_call_s"

APART = 1.1
"""How far apart the intervals of a time by itself and between others must lie before it is worth a sentence."""


def interleaved(rows: Rows) -> Iterator[Finding]:
    """Methods that take another time by themselves than between the others, where it is not an unlucky moment."""
    time_s, alone_s = rows.numbers("time_s"), rows.numbers("alone_s")
    with np.errstate(divide="ignore", invalid="ignore"):
        slowed = rows.numbers("time_low_s") / rows.numbers("alone_high_s")
        helped = rows.numbers("alone_low_s") / rows.numbers("time_high_s")
    apart = np.fmax(slowed, helped)
    for (method,), where in by(rows, apart > APART, "method"):
        worst = worst_first(apart, where)
        first = int(worst[0])
        often = within(where, np.isfinite(apart) & rows.equal("method", method), "configuration")
        sentence = (
            f"{method} takes another time between the other methods than by itself{often}: "
            f"{units.time(time_s[first])} against {units.time(alone_s[first])}{at(rows, first, ', ')}; they leave the "
            "caches, the allocator or the clock in another state"
        )
        yield Finding("warning", "interleaved", sentence, REMEDY, len(where), *worst_of(rows, worst))


REMEDY = "time it by itself to know what it takes there; allocator=retain leaves no page faults to tell apart"


def faults(rows: Rows) -> Iterator[Finding]:
    """Methods of whose time a good part goes to pages that are touched for the first time in every call."""
    count, fault_s, time_s = (rows.numbers(name) for name in ("minor_faults", "fault_s", "mean_s"))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = count * fault_s / time_s
    for (method,), where in by(rows, part > FAULTS_SHARE, "method"):
        worst = worst_first(part, where)
        first = int(worst[0])
        often = within(where, np.isfinite(part) & rows.equal("method", method), "configuration")
        sentence = (
            f"page faults take more than a fifth of {method}'s time{often}: its memory goes back to the system and "
            f"comes again; most: about {units.share(min(part[first], 1.0))} of {units.time(time_s[first])}, "
            f"{units.count(round(count[first]), 'page')} a call{at(rows, first, ', ')}"
        )
        remedy = "" if np.any(rows.equal("allocator", "retain")[where]) else "allocator=retain keeps it in the process"
        yield Finding("note", "page_faults", sentence, remedy, len(where), *worst_of(rows, worst))
