"""`python -m convbench show [DIR]`: the table of a finished run once more, as its end printed it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..facts.case import InvalidValue
from ..results.run_file import latest
from ..results.table import table_files
from ..terminal import summary
from ..terminal.arguments import Arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the summary and returns 0; raises InvalidValue."""
    parser = Arguments("show", description="Print the table of a finished run again.")
    parser.add_argument(
        "run", metavar="DIR", nargs="?", type=Path, help="folder that a sweep wrote (default: results/latest)"
    )
    folder = parser.parse_args(argv).run or latest("show")
    tables = table_files(folder)
    if not tables:
        fault = "holds no results.parquet" if folder.exists() else "does not exist"
        raise InvalidValue("DIR", f"{folder} {fault}; give the folder that a sweep wrote (its out=)")
    for table in tables:
        summary.show(table.parent)
    return 0
