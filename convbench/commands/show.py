"""`python -m convbench show [DIR]`: the table of a run once more, as its end printed it, or as far as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..facts.values import InvalidValue
from ..results import run_file
from ..results.finished import read_run
from ..results.rows import Rows
from ..results.run_file import latest
from ..results.table import table_files
from ..results.unmerged import own_folder, writer
from ..terminal import summary
from ..terminal.arguments import Arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the summary and returns 0; raises InvalidValue."""
    parser = Arguments(
        "show", description="Print the table of a run again, or what a running or killed one has measured so far."
    )
    parser.add_argument(
        "run", metavar="DIR", nargs="?", type=Path, help="folder that a sweep wrote (default: results/latest)"
    )
    folder = parser.parse_args(argv).run or latest("show")
    tables = table_files(folder)
    if not tables:
        fault = "holds no results.parquet" if folder.exists() else "does not exist"
        raise InvalidValue("DIR", f"{folder} {fault}; give the folder that a sweep wrote (its out=)")
    for table in tables:
        _show(own_folder(table.parent), table.parent)
    return 0


def _unfinished(rows: Rows, folder: Path) -> int:
    """Configurations that were timed in fewer processes than the command asked for that measured last."""
    settings = run_file.settings_of(folder)
    if settings.get("budget_s") is not None or settings.get("isolation") == "none":
        return 0
    wanted = settings.get("measure.processes")
    fewer = rows.numbers("processes") < (wanted if isinstance(wanted, int) else 0)
    return len(np.unique(rows.configuration[fewer])) if settings.get("measure.enabled") else 0


def _show(folder: Path, place: Path) -> None:
    """The summary of the tables in `place`; where the sweep has not ended, what its part files hold so far."""
    asked, there, unfinished = run_file.configurations(folder), 0, 0
    if asked is not None and (place / "results.parquet").is_file():
        rows = read_run(place / "results.parquet")
        there = int(rows.configuration.max(initial=-1)) + 1
        unfinished = _unfinished(rows, folder)
    context = summary.Context(
        folder, missing=max(0, (asked or 0) - there), unfinished=unfinished, asked=asked, so_far=place != folder,
        writer=writer(folder),
    )  # fmt: skip
    summary.show(place, context=context)
