"""`python -m convbench trace`: a list of the convolutions whose gradients a model's backward pass asks for."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..facts import units
from ..facts.dtypes import DTYPES
from ..facts.exits import Exit
from ..facts.values import InvalidValue
from ..facts.wrt import parts_of
from ..results.files import replacing
from ..terminal.arguments import Arguments, writing

if TYPE_CHECKING:
    from .recorder import Found, Recorder, Wanted

EPILOG = """
examples:
  trace resnet50 --input 8,3,224,224 --out layers.csv              a model of torchvision's
  trace my_package:make_model --input 8,3,224,224 --out layers.csv your module, or a function that returns one
  trace train.py --out layers.csv -- --epochs 1                    a script that trains; what follows -- is its own
then:
  python -m convbench cases=layers.csv
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the list and says what is in it; returns 0. Raises InvalidValue."""
    parser = Arguments(
        "trace",
        description="List the convolutions whose gradients a backward pass asks for.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="TARGET", help="MODULE:NAME, a torchvision model, or a script (.py)")
    parser.add_argument("--input", action="append", default=[], metavar="SHAPE", help="8,3,224,224; once per argument")
    parser.add_argument("--dtype", default="float32", choices=list(DTYPES), help="of model and inputs (float32)")
    parser.add_argument("--memory-format", default="contiguous", choices=["contiguous", "channels_last"])
    parser.add_argument("--together", action="store_true", help="a layer's gradients in one line: the whole backward")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.csv", help="where the list goes")
    words = list(sys.argv[1:] if argv is None else argv)
    # argparse itself gives what follows -- to a target only where no option stands between them.
    end = words.index("--") if "--" in words else len(words)
    asked = parser.parse_args(words[:end])
    if asked.out.suffix != ".csv":
        raise InvalidValue("--out", f"--out {asked.out} must end in .csv, so that cases= reads it")
    recorder = _traced(asked, words[end + 1 :])
    with writing(asked.out), replacing(asked.out) as file:
        file.write_text(listed(recorder.found, asked.target), encoding="utf-8")
    print(_told(recorder, asked.out))
    return Exit.GOOD


def _traced(asked: Any, arguments: Sequence[str]) -> Recorder:
    from .recorder import Recorder
    from .targets import step_of

    recorder = Recorder(asked.together)
    try:
        last = asked.memory_format == "channels_last"
        step = step_of(asked.target, asked.input, asked.dtype, last, arguments)
        with recorder.recording():
            step()
    except InvalidValue:
        raise
    except Exception as error:  # the model's own code
        said = " ".join(str(error).split())
        raise InvalidValue("trace", f"{asked.target} raised {type(error).__name__}: {said}") from error
    if not recorder.found:
        why = f" ({recorder.skipped[0]})" if recorder.skipped else ""
        raise InvalidValue("trace", f"the backward pass of {asked.target} asked for no convolution's gradient{why}")
    return recorder


def listed(found: dict[Wanted, Found], network: str) -> str:
    """The list as CSV: one line per case and gradient, in the order of the forward pass."""
    rows = [_row(wanted, seen, network) for wanted, seen in sorted(found.items(), key=lambda item: item[1].place)]
    columns = list(dict.fromkeys(name for name in _ordered(rows)))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _ordered(rows: Iterable[dict[str, Any]]) -> list[str]:
    """All columns; those of the row with the most axes first, so that d, h and w stand in their order."""
    return [name for row in sorted(rows, key=len, reverse=True) for name in row]


def _row(wanted: Wanted, seen: Found, network: str) -> dict[str, Any]:
    labels = {"network": network, "layer": seen.layers[0] if seen.layers else "", "count": seen.count}
    settings = {"dtype": wanted.dtype, "memory_format": wanted.memory_format, "wrt": wanted.wrt}
    return {**labels, **wanted.case.columns(), **settings, "same_as": " ".join(seen.layers[1:])}


def _told(recorder: Recorder, out: Path) -> str:
    counts: Counter[str] = Counter()
    for wanted, seen in recorder.found.items():
        for wrt in parts_of(wanted.wrt):
            counts[wrt] += seen.count
    total = units.count(counts.total(), "gradient")
    each = ", ".join(f"{count} with respect to the {wrt}" for wrt, count in counts.items())
    lines = [
        f"{total} of convolutions ({each}) in {units.count(len(recorder.found), 'line')}: {out}",
        *(f"left out: {reason}" for reason in recorder.skipped),
        f"to measure them: python -m convbench cases={out}",
    ]
    return "\n".join(lines)
