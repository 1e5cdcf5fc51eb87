"""A network's totals in words, for the terminal, the page and Markdown alike."""

from __future__ import annotations

from ..facts import units
from ..results.naming import say
from .network_totals import BEST, MethodTotal, Switch, Total

SWITCHES = 4
"""Lines that are named, those that gain most first."""


def heading(total: Total) -> str:
    """`whole of resnet50: 53 layers in 23 lines · wrt input+weight · bfloat16`"""
    what = f"whole of {total.network}" if total.network else "the whole"
    size = f"{units.count(total.layers, 'layer')} in {units.count(len(total.lines), 'line')}"
    said = [say(name, value) for name, value in total.setting if value is not None and name != "wrt"]
    return f"{what}: {' · '.join([size, 'wrt ' + ', '.join(total.wrt), *said])}"


def speedup(one: MethodTotal, total: Total) -> str:
    return "baseline" if one.method == total.baseline else units.interval(*one.speedup)


def cells(one: MethodTotal, total: Total) -> dict[str, str]:
    """The cells of a method's row."""
    return {
        "method": one.method,
        "time": units.time(one.time.value),
        "speedup": speedup(one, total) if one.own else units.MISSING,
        "by_baseline": by_baseline(one),
    }


def by_baseline(one: MethodTotal) -> str:
    """`3 lines, 1 of them wrong`: where the baseline's time stands for the method's; empty for none."""
    lines = one.wrong + one.others
    if not lines or one.method == BEST:
        return ""
    return units.count(lines, "line") + (f", {one.wrong} of them wrong" if one.wrong else "")


def sentences(total: Total) -> list[str]:
    """What switching gains, in which lines, and what is not in the totals."""
    out = []
    if total.switches:
        base, best = total.methods[0].time.value, total.best.time.value
        gain = f"{units.time(base - best)} of {units.time(base)}" if best < base else "nothing"
        named = "; ".join(map(switched, total.switches[:SWITCHES]))
        rest = len(total.switches) - SWITCHES
        more = f"; and {units.count(rest, 'line')} more" if rest > 0 else ""
        out.append(f"switching in {units.count(len(total.switches), 'line')} gains {gain}: {named}{more}")
    else:
        out.append(f"no method is faster than {total.baseline} in any line")
    if none := [one.method for one in total.methods if not one.own]:
        out.append(f"in no line right and timed: {', '.join(none)}")
    if total.left_out:
        out.append(f"left out: {units.count(total.left_out, 'line')} that {total.baseline} has no time for")
    return out


def switched(one: Switch) -> str:
    """`explicit in conv1 wrt input (3 times: 1.2 ms, 2.10× [2.05, 2.16])`"""
    often = "" if one.line.count == 1 else f"{one.line.count} times: "
    gain = f"{often}{units.time(one.gain_s)}, {units.interval(*one.speedup)}"
    return f"{one.method} in {one.line.name} wrt {one.line.wrt} ({gain})"
