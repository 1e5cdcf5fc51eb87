"""A duet's rows in the table's format, and what is printed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from ..facts import units
from ..facts.configuration_key import ConfigurationKey
from ..facts.kernels import changed
from ..facts.rates import Work
from ..facts.record import Record, record
from ..results.naming import distinct_names
from ..terminal.screen import console
from ..timing.figures import with_figures

if TYPE_CHECKING:
    from .duel import Duel


def rows_of(duel: Duel) -> list[Record]:
    """Two rows, `method@a` (the baseline) and `method@b`; with the speed columns where both sides were timed."""
    out = []
    for name, row in sorted(duel.rows.items()):
        values = {
            **row,
            **duel.commits.get(name, {}),
            "run_key": duel.spec.run_key,
            "method": duel.arm(name),
            "baseline": duel.arm("a"),
        }
        values["equals_baseline"] = _same_result(duel.rows) if name == "b" else None
        out.append(record(_timed(duel, values) if duel.timeable else values))
    return out


def _same_result(rows: Mapping[str, Record]) -> bool | None:
    hashes = [row.get("result_hash") for row in rows.values()]
    return hashes[0] == hashes[1] if len(hashes) == 2 and None not in hashes else None


def _timed(duel: Duel, row: Mapping[str, Any]) -> dict[str, Any]:
    work = Work.of(duel.spec, {}).rates(None) if duel.parts else {}
    found = with_figures({**row, **work}, duel.parts, duel.arm("a"), duel.spec.measure)
    if len(duel.parts) == 1:
        # What one pair of processes shows of the ratio is as much about their memory layout as about the code.
        found = {k: v for k, v in found.items() if k not in ("speedup_low", "speedup_high", "speed", "margin")}
    return found


def show(rows: Sequence[Record], out: Path, sides: Sequence[str], unlike: str | None = None) -> None:
    """One line per configuration and method: both times, the speedup of b over a, both accuracies.

    `sides` are what the two say they are, `unlike` that they are not of one kind.
    """
    terminal = console()
    for side in sides:
        terminal.print(Text(side))
    if unlike is not None:
        terminal.print(Text(f"warning: {unlike}", style="severity.warning"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("configuration", "method", "a", "b", "b against a", "accuracy"):
        table.add_column(head, overflow="fold")
    pairs = _pairs(rows)
    names = _names([b for _, b in pairs])
    for a, b in pairs:
        table.add_row(names[ConfigurationKey.of(b)], b["method"].removesuffix("@b"), *_cells(a, b))
    terminal.print(table)
    terminal.print(Text(f"files: {out} (results.parquet, results.csv, environment.json)", style="quiet"))


def _pairs(rows: Sequence[Record]) -> list[tuple[Record, Record]]:
    found: dict[tuple[ConfigurationKey, str], dict[str, Record]] = {}
    for row in rows:
        method, _, side = row["method"].rpartition("@")
        found.setdefault((ConfigurationKey.of(row), method), {})[side] = row
    return [(pair["a"], pair["b"]) for pair in found.values() if len(pair) == 2]


def _names(rows: Sequence[Record]) -> dict[ConfigurationKey, str]:
    """The configurations' names, told apart method by method, since each method of a duet has a run key of its own."""
    by_method: dict[str, list[Record]] = {}
    for row in rows:
        by_method.setdefault(row["method"], []).append(row)
    return {key: name for alike in by_method.values() for key, name in distinct_names(alike).items()}


def _cells(a: Record, b: Record) -> list[Text]:
    speedup = Text(units.interval(b.get("speedup"), b.get("speedup_low"), b.get("speedup_high")))
    if "speed" in b:
        speedup.append(f" {b['speed']}", style=f"speed.{b['speed']}")
    verdicts = [str(row.get("accuracy", row["status"])) for row in (a, b)]
    accuracy = verdicts[0] if verdicts[0] == verdicts[1] else f"a {verdicts[0]}, b {verdicts[1]}"
    reasons = [str(row["reason"]) for row in (a, b) if "reason" in row]
    if b.get("speed") in ("faster", "slower") and (told := changed(a.get("kernels"), b.get("kernels"))) is not None:
        reasons.append(told)
    return [
        *(Text(units.time(row.get("time_s"))) for row in (a, b)),
        speedup,
        Text("; ".join([accuracy, *dict.fromkeys(reasons)])),
    ]
