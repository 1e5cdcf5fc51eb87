"""A network's totals as plain rows, for data frames, JSON and pages."""

from __future__ import annotations

from typing import Any

from .network_totals import MethodTotal, Switch, Total

NAMES = ("network", "wrt", "baseline")
TOTAL = (
    *(*NAMES, "method", "layers", "lines", "time_s", "time_low_s", "time_high_s"),
    *("speedup", "speedup_low", "speedup_high", "own_lines", "wrong_lines", "other_lines", "left_out_lines"),
)
SWITCH = (*NAMES, "layer", "count", "method", "speedup", "speedup_low", "speedup_high", "gain_s")


def total_rows(total: Total) -> list[dict[str, Any]]:
    """A row for each method of one network."""
    return [_total_row(total, one) for one in (*total.methods, total.best)]


def _names(total: Total) -> dict[str, Any]:
    return {"network": total.network, **dict(total.setting), "wrt": ", ".join(total.wrt), "baseline": total.baseline}


def _total_row(total: Total, one: MethodTotal) -> dict[str, Any]:
    return {
        **_names(total),
        "method": one.method,
        "layers": total.layers,
        "lines": len(total.lines),
        **dict(zip(("time_s", "time_low_s", "time_high_s"), one.time, strict=True)),
        **dict(zip(("speedup", "speedup_low", "speedup_high"), one.speedup, strict=True)),
        "own_lines": one.own,
        "wrong_lines": one.wrong,
        "other_lines": one.others,
        "left_out_lines": total.left_out,
    }


def switch_rows(total: Total) -> list[dict[str, Any]]:
    """A row for each line of one network whose method should be another one."""
    return [_switch_row(total, one) for one in total.switches]


def _switch_row(total: Total, one: Switch) -> dict[str, Any]:
    return {
        **_names(total),
        "wrt": one.line.wrt,
        "layer": one.line.name,
        "count": one.line.count,
        "method": one.method,
        **dict(zip(("speedup", "speedup_low", "speedup_high"), one.speedup, strict=True)),
        "gain_s": one.gain_s,
    }
