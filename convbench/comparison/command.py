"""`python -m convbench compare BASE NEW`, the gate: reads two finished runs and says what got worse."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..facts.case import InvalidValue
from ..facts.exits import Exit
from ..facts.record import CASE, SETTING, VERDICTS, Record
from ..results.table import load, records, table_files
from ..results.wording import distinct_names
from ..terminal.arguments import Arguments, writing
from ..terminal.screen import console
from .confirm import measure_again
from .gate import judge
from .output import FORMATS, Comparison, show
from .result import GateResult, Key, Policy
from .second import confirm, suspects

FIGURES = ("time_s", "time_low_s", "time_high_s", "speedup", "speedup_low", "speedup_high")
JUDGED = (
    *("config_id", "method", "baseline", "status", "reason", "accuracy", "environment_id", "samples", "measured_s"),
    *FIGURES,
)
"""Columns that decide; the others are read for the few rows that are shown."""

USUAL = Policy()

NAMING = tuple(dict.fromkeys([*(c.name for c in (*CASE, *SETTING)), "cache", "cuda_graph"]))


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run: its table, and its rows by the columns that decide."""

    path: Path
    table: pd.DataFrame
    rows: list[Record]

    @classmethod
    def read(cls, path: Path) -> Run:
        table = load(path)
        rows = records(table, JUDGED)
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
        "at fault; 4: nothing to compare with, or measurements too noisy to be trusted. `compare --torch A B` measures "
        "two Python environments against each other; see `duet --help`.",
    )
    out.add_argument("base", metavar="BASE", type=Path, help="folder of the run to compare with")
    out.add_argument("new", metavar="NEW", type=Path, help="folder of the run to judge, or a folder with its shards")
    out.add_argument("--format", choices=tuple(FORMATS), default="terminal", help="what to print (default: terminal)")
    out.add_argument("--out", metavar="FILE", type=Path, help="write there instead of to standard output")
    out.add_argument("--confirm", action="store_true", help="measure suspects again in fresh processes before failing")
    out.add_argument(
        "--margin", type=_positive, default=USUAL.margin, help="slowdowns up to this share are ignored (default: 0.03)"
    )
    out.add_argument(
        "--spread",
        type=_not_negative,
        default=USUAL.spread,
        help="standard deviation of a log ratio between two processes of the same code (default: %(default)s)",
    )
    out.add_argument("--accuracy-only", action="store_true", help="judge status and accuracy, not speed")
    return out


def _not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; give a share such as 0.03 for 3%") from None
    if not 0 <= value < 10:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a share such as 0.03 for 3%")
    return value


def _positive(text: str) -> float:
    value = _not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 leaves no room for noise; give a share such as 0.03 for 3%")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the gate and returns its exit code; raises InvalidValue."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--torch"]:
        return _environments(words[1:])
    args = parser().parse_args(words)
    policy = Policy(args.margin, args.spread, speed=not args.accuracy_only)
    new = Run.read(args.new)
    if not table_files(args.base):
        print(f"nothing to compare with: {args.base} holds no results; give the folder of a run", file=sys.stderr)
        return Exit.UNTRUSTED
    base = Run.read(args.base)
    judgement = judge(base.rows, new.rows, policy)
    if args.confirm:
        judgement = _confirmed(judgement, base, new, policy)
    names = _names(_shown(judgement, args.format), base, new)
    comparison = Comparison(str(args.base), str(args.new), judgement, policy, names)
    _print(comparison, args.format, args.out)
    return judgement.exit_code


def _environments(words: list[str]) -> int:
    """`compare --torch A B …` is `duet --a A --b B …`."""
    if len(words) < 2:
        raise InvalidValue("--torch", "compare --torch needs two Python environments: compare --torch A B [settings]")
    from ..duet.command import main as duet

    return duet(["--a", words[0], "--b", words[1], *words[2:]])


def _confirmed(judgement: GateResult, base: Run, new: Run, policy: Policy) -> GateResult:
    doubtful = suspects(judgement)
    if not doubtful:
        return judgement
    keys = {finding.key for finding in doubtful}
    rows = new.table[[Key.of(row) in keys for row in new.rows]]
    print(f"measuring {len(keys)} suspects again …", file=sys.stderr)
    return confirm(judgement, base.rows, records(measure_again(rows), JUDGED), policy)


def _shown(judgement: GateResult, kind: str) -> set[str]:
    """The configurations that the output names: those with a finding and the new ones, in JUnit all."""
    findings = [*judgement.failures, *judgement.doubtful, *judgement.advice, *judgement.improvements]
    shown = {f.key.config_id for f in findings} | {row["config_id"] for row in judgement.fresh}
    return shown | {key.config_id for key in judgement.rows} if kind == "junit" else shown


def _names(wanted: set[str], base: Run, new: Run) -> dict[str, str]:
    """config_id → name for people."""
    rows: dict[str, Record] = {}
    for run in (new, base):
        here = run.table[run.table["config_id"].isin(wanted - rows.keys())].drop_duplicates("config_id")
        rows.update({row["config_id"]: row for row in records(here, NAMING)})
    return {str(key[0]): name for key, name in distinct_names(rows.values()).items()}


def _print(comparison: Comparison, kind: str, out: Path | None) -> None:
    if out is None and kind == "terminal":
        show(comparison, console())
    elif out is None:
        print(FORMATS[kind](comparison), end="")
    else:
        with writing(out):
            out.write_text(FORMATS[kind](comparison), encoding="utf-8")
