"""What every command that ends in a comparison asks for and prints: `--format`, `--out`, names of configurations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..facts.record import Record
from ..results.naming import distinct_names
from ..terminal.arguments import Arguments, writing
from ..terminal.screen import console
from .comparison import Comparison
from .output import FORMATS, show
from .pairs import Sides, base_cells, judge_pairs
from .result import Judgement, Policy
from .underneath import name_kernels


def add_output(parser: Arguments, usual: str | None = "terminal") -> None:
    """`--format` and `--out`, the same wherever a comparison is printed."""
    said = f" (default: {usual})" if usual else ""
    parser.add_argument("--format", choices=tuple(FORMATS), default=usual, help=f"what to print{said}")
    parser.add_argument(
        "--out", "--output", metavar="FILE", type=Path, help="write there instead of to standard output"
    )


def add_margin(parser: Arguments) -> None:
    parser.add_argument(
        "--margin", type=_positive, default=Policy().margin, help="share by which slowdowns are ignored (default: 0.03)"
    )


def not_negative(text: str) -> float:
    """A share as an option gives it; raises what argparse turns into a sentence."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; give a share such as 0.03 for 3%") from None
    if not 0 <= value < 10:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a share such as 0.03 for 3%")
    return value


def _positive(text: str) -> float:
    value = not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 leaves no room for noise; give a share such as 0.03 for 3%")
    return value


def shown(judgement: Judgement, kind: str) -> set[str]:
    """The configurations that the output names: those with a finding and the new ones, in JUnit all."""
    findings = [*judgement.failures, *judgement.doubtful, *judgement.advice, *judgement.improvements]
    named = {f.key.config_id for f in findings} | {row["config_id"] for row in judgement.fresh}
    return named | {key.config_id for key in judgement.rows} if kind == "junit" else named


def of_pairs(
    rows: Sequence[Record], between: tuple[str, str], policy: Policy, sides: Sides | None = None
) -> Comparison:
    """A duet's rows compared; `between` says in words what BASE and NEW are."""
    judgement = name_kernels(judge_pairs(rows, policy, sides), base_cells(rows))
    first = {row["config_id"]: row for row in reversed(rows)}
    names = {str(key[0]): name for key, name in distinct_names(first.values()).items()}
    return Comparison(*between, judgement, policy, names, paired=True)


def tell(comparison: Comparison, kind: str, out: Path | None) -> None:
    """Prints the comparison, or writes it to `out`; raises InvalidValue where that cannot be written."""
    if out is None and kind == "terminal":
        show(comparison, console())
    elif out is None:
        print(FORMATS[kind](comparison), end="")
    else:
        with writing(out):
            out.write_text(FORMATS[kind](comparison), encoding="utf-8")
