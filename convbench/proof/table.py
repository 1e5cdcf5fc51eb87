"""A proof in a terminal: a table of its checks, and the conclusion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from ..facts import units
from ..facts.exits import Exit
from ..terminal.screen import console
from .checks import FAIL, INAPPLICABLE, NOT_RUN, UNKNOWN, Result
from .verdict import exit_code, sentence

STYLES = {FAIL: "severity.bad", UNKNOWN: "severity.warning", NOT_RUN: "quiet", INAPPLICABLE: "quiet"}

IN_SHORT = (INAPPLICABLE, NOT_RUN)
NAMED = 12
"""Checks that share a verdict and a reason, of which more are not named."""


def told(result: Result) -> str:
    """What was observed, and why that is not what was expected."""
    return "; ".join(filter(None, (result.observed, result.reason)))


def in_short(results: Sequence[Result]) -> dict[tuple[str, str], list[str]]:
    """The names of the checks that there is nothing to say about, by verdict and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.verdict in IN_SHORT:
            found.setdefault((result.verdict, result.reason), []).append(result.name)
    return found


def show(results: Sequence[Result], device: str, page: Path) -> None:
    screen = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("verdict", "check", "expected", "tolerance", "observed"):
        table.add_column(heading, overflow="fold")
    table.add_column("seconds", justify="right")
    stage = ""
    for result in results:
        if result.stage != stage:
            stage = result.stage
            table.add_row(stage, style="heading")
        if result.verdict not in IN_SHORT:
            seconds = "" if result.seconds is None else units.significant(result.seconds, 2)
            cells = (result.verdict, result.name, result.expected, result.tolerance, told(result), seconds)
            table.add_row(*cells, style=STYLES.get(result.verdict))
    screen.print(table)
    for (verdict, reason), names in in_short(results).items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        screen.print(f"{verdict} ({reason}): {', '.join(names[:NAMED])}{more}", style="quiet")
    screen.print()
    code = exit_code(results)
    styles = {Exit.GOOD: "status.ok", Exit.WRONG: "severity.bad"}
    screen.print(sentence(results, device), style=styles.get(code, "severity.warning"))
    screen.print(str(page), style="quiet", soft_wrap=True)
