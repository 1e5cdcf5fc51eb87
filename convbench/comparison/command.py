"""`python -m convbench compare BASE NEW`, the gate: reads two finished runs and says what got worse."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..facts.exits import Exit
from ..facts.record import CASE, SETTING, VERDICTS, Record
from ..facts.values import InvalidValue
from ..results.finished import read_run
from ..results.naming import distinct_names
from ..results.rows import Rows
from ..results.run_file import runs, settings_of
from ..results.schema import versions
from ..results.table import framed, records, table_files
from ..terminal.arguments import Arguments
from . import nights
from .asked import Asked
from .comparison import Comparison
from .environments import Environments
from .measure_again import check_trusted, measure_again
from .nights import add_drifts
from .output_options import add_margin, add_output, not_negative, of_pairs, shown, tell
from .pairs import Sides, is_duet
from .regressions import judge
from .result import CellKey, Judgement, Policy
from .suspects import confirm, suspects
from .underneath import name_kernels

FIGURES = ("time_s", "time_low_s", "time_high_s", "speedup", "speedup_low", "speedup_high")
JUDGED = (
    *(
        "config_id",
        "method",
        "baseline",
        "status",
        "reason",
        "accuracy",
        "environment_id",
        "samples",
        "measured_s",
        "kernels",
    ),
    "processes",
    "disturbed",
    "speedup_mode_low",
    "control_s",
    *FIGURES,
)
"""Columns that decide; the others are read for the few rows that are shown."""


NAMING = tuple(dict.fromkeys([*(c.name for c in (*CASE, *SETTING)), "cache", "cuda_graph", "time"]))


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run: its table, and its rows by the columns that decide, which are only read."""

    path: Path
    table: Rows
    rows: list[Record]

    @classmethod
    def read(cls, path: Path) -> Run:
        table = read_run(path)
        # Four times the memory would go into dictionaries.
        rows = cast(list[Record], table.views(JUDGED))
        for number, row in enumerate(rows, 1):
            if problem := _damage(row):
                raise InvalidValue(
                    "compare",
                    f"row {number} of the table in {path} cannot be compared: {problem}; convbench writes no such row, "
                    "so measure again or take that row out",
                )
        return cls(path, table, rows)


def _damage(row: Record) -> str | None:
    """What no row that convbench wrote has; None for all of those."""
    if missing := [name for name in ("config_id", "method", "status") if not row.get(name)]:
        return f"it has no {missing[0]}"
    if row.get("accuracy", VERDICTS[0]) not in VERDICTS:
        return f"accuracy={row['accuracy']} is none of {', '.join(VERDICTS)}"
    if wrong := [name for name in FIGURES if name in row and not 0 < row[name] < math.inf]:
        return f"{wrong[0]}={row[wrong[0]]} is not above 0"
    if "speedup" in row and "time_s" not in row:
        return "it has a speedup and no time_s"
    return None


def parser() -> Arguments:
    out = Arguments(
        "compare",
        description="Compare two runs. Exit code 0: no regression; 1: a regression; 2: the command line or a file is "
        "at fault; 4: nothing to compare with, measurements too noisy to be trusted, or times that all changed, which "
        "may be the machine's doing. `compare --torch A B` measures "
        "two Python environments against each other; see `duet --help`.",
    )
    out.add_argument(
        "base", metavar="BASE", type=Path, help="folder of the run to compare with, or by itself the folder of a duet"
    )
    out.add_argument(
        "new", metavar="NEW", nargs="?", type=Path, help="folder of the run to judge, or a folder with its shards"
    )
    add_output(out)
    out.add_argument("--confirm", action="store_true", help="measure suspects again in fresh processes before failing")
    out.add_argument(
        "--trust",
        metavar="METHOD",
        action="append",
        default=[],
        help="with --confirm: run this method of your own, which the table names (all: every one that it names)",
    )
    add_margin(out)
    out.add_argument(
        "--history",
        metavar="DIR",
        action="append",
        default=[],
        type=Path,
        help="earlier nights, a run each or a folder that holds them: fail as well where NEW is slower than the best "
        "level of its nights, so that a little every night does not pass (may be given several times)",
    )
    out.add_argument(
        "--spread",
        type=not_negative,
        help="standard deviation of a log ratio between two processes of the same code (default: 0.01 for what was "
        "measured in one process, and 0 for what was in several, whose intervals hold it)",
    )
    out.add_argument("--accuracy-only", action="store_true", help="judge status and accuracy, not speed")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the gate and returns its exit code; raises InvalidValue."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--torch"]:
        return _environments(words[1:])
    args = parser().parse_args(words)
    policy = Policy(args.margin, args.spread, speed=not args.accuracy_only)
    if args.new is None:
        return _duet(args, policy)
    new = Run.read(args.new)
    if not table_files(args.base):
        print(f"nothing to compare with: {args.base} holds no results; give the folder of a run", file=sys.stderr)
        return Exit.UNTRUSTED
    base = Run.read(args.base)
    judgement = judge(base.rows, new.rows, policy)
    judgement.notes.extend(Asked.of(args.base, args.new).notes)
    if args.history and policy.speed:
        earlier = [one for one in nights.read(args.history) if one.path.resolve() != args.new.resolve()]
        add_drifts(judgement, earlier, policy)
    if args.confirm:
        judgement = _confirmed(judgement, base, new, policy, args.trust)
    judgement = name_kernels(judgement, {CellKey.of(row): row for row in base.rows})
    names = _names(shown(judgement, args.format), base, new)
    where, schemas = Environments.of(args.base, args.new), _schemas(args.base, args.new)
    comparison = Comparison(str(args.base), str(args.new), judgement, policy, names, False, where, schemas)
    tell(comparison, args.format, args.out)
    return judgement.exit_code


def _schemas(base: Path, new: Path) -> list[str]:
    """A sentence where the tables of two runs have different schema versions."""
    said = [" and ".join(map(str, sorted(versions(table_files(path))))) for path in (base, new)]
    if not all(said) or said[0] == said[1]:
        return []
    return [
        f"the tables of BASE have schema version {said[0]}, those of NEW {said[1]}: what differs may be what a column "
        "means; the changelog of convbench says what changed"
    ]


def _duet(args: argparse.Namespace, policy: Policy) -> int:
    """The two sides of one folder, a duet's or a pull request's."""
    run = Run.read(args.base)
    rows = run.table.take(range(run.table.count))
    if not is_duet(rows):
        raise InvalidValue(
            "compare",
            f"compare needs BASE and NEW: {args.base} alone is compared only where a duet wrote it, and this is a "
            "sweep's; see `python -m convbench compare --help`",
        )
    if args.confirm:
        raise InvalidValue("--confirm", "--confirm measures a sweep again; the pairs of a duet are fresh processes")
    names, sides = _sides(args.base)
    comparison = of_pairs(rows, names, policy, sides)
    tell(comparison, args.format, args.out)
    return comparison.judgement.exit_code


def _sides(folder: Path) -> tuple[tuple[str, str], Sides]:
    """What a pull request's gate wrote down of its two sides; a duet has written nothing down."""
    said: dict[str, Any] = next((one["sides"] for one in reversed(runs(folder)) if "sides" in one), {})
    a, b = said.get("names", ("side a", "side b"))
    return (a, b), Sides(frozenset(said.get("controls", ())), said.get("absent", {}))


def _environments(words: list[str]) -> int:
    """`compare --torch A B …` is `duet --a A --b B …`."""
    if len(words) < 2:
        raise InvalidValue("--torch", "compare --torch needs two Python environments: compare --torch A B [settings]")
    from ..duet.command import main as duet

    return duet(["--a", words[0], "--b", words[1], *words[2:]])


def _confirmed(judgement: Judgement, base: Run, new: Run, policy: Policy, trust: Sequence[str]) -> Judgement:
    doubtful = suspects(judgement)
    if not doubtful:
        return judgement
    keys = {finding.key for finding in doubtful}
    where = [number for number, row in enumerate(new.rows) if CellKey.of(row) in keys]
    rows = framed(new.table.take(where))
    check_trusted(rows, trust)
    print(f"measuring {len(keys)} suspects again …", file=sys.stderr)
    return confirm(judgement, base.rows, records(measure_again(rows, settings_of(new.path)), JUDGED), policy)


def _names(wanted: set[str], base: Run, new: Run) -> dict[str, str]:
    """config_id → name for people."""
    rows: dict[str, Record] = {}
    for run in (new, base):
        codes, known = run.table.codes("config_id")
        here = np.isin(codes, [code for code, name in enumerate(known) if name in wanted - rows.keys()])
        first = np.flatnonzero(here)[np.unique(codes[here], return_index=True)[1]]
        rows.update({row["config_id"]: row for row in run.table.take(np.sort(first).tolist(), NAMING)})
    return {str(key[0]): name for key, name in distinct_names(rows.values()).items()}
