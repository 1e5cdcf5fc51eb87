"""`python -m convbench history DIR…`: what changed over many runs of a sweep, and when, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..comparison import nights
from ..comparison.output_options import add_margin
from ..facts.exits import Exit
from ..facts.record import Record
from ..results.finished import read_run
from ..results.naming import distinct_names
from ..terminal.arguments import Arguments, writing
from ..terminal.screen import console
from .cells import tell
from .output import FORMATS, show


def parser() -> Arguments:
    out = Arguments(
        "history",
        description="Many runs of the same sweep: every cell's ratio to its baseline, time and accuracy over the "
        "nights, where they changed, and with which version. Exit code 0; with --fail-if-slower 1 where a cell is "
        "slower than the best level of its nights.",
    )
    out.add_argument(
        "nights", metavar="DIR", nargs="+", type=Path, help="folder of a run, or one that holds a run in every folder"
    )
    out.add_argument("--format", choices=tuple(FORMATS), default="terminal", help="what to print (default: terminal)")
    out.add_argument("--out", metavar="FILE", type=Path, help="write there instead of to standard output")
    out.add_argument(
        "--fail-if-slower", action="store_true", help="exit code 1 where a cell got slower over the nights"
    )
    add_margin(out)
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the history and returns the exit code; raises InvalidValue."""
    args = parser().parse_args(argv)
    found = nights.read(args.nights)
    history = tell(found, _names(found), args.margin)
    if args.out is None and args.format == "terminal":
        show(history, console())
    elif args.out is None:
        print(FORMATS[args.format](history), end="")
    else:
        with writing(args.out):
            args.out.write_text(FORMATS[args.format](history), encoding="utf-8")
    return Exit.WRONG if args.fail_if_slower and history.drifted else Exit.GOOD


def _names(found: Sequence[nights.Night]) -> dict[str, str]:
    """config_id → name for people, from the last night that has it."""
    rows: dict[str, Record] = {}
    wanted = {key.config_id for night in found for key in night.cells}
    for night in reversed(found):
        if missing := {key.config_id for key in night.cells} & (wanted - rows.keys()):
            table = read_run(night.path)
            codes, values = table.codes("config_id")
            first = {
                values[code]: at for at, code in reversed(list(enumerate(codes.tolist()))) if values[code] in missing
            }
            rows |= {str(row["config_id"]): row for row in table.take(sorted(first.values()))}
    return {str(key.config_id): name for key, name in distinct_names(rows.values()).items()}
