"""`python -m convbench nightly [STEP] [settings]`: a scheduled run, in one go or step by step, and `gate --baselines`.

A folder keeps the good nights from one job to the next; docs/ci.md has a workflow to copy.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from ..duet.command import PASSED_ON
from ..facts.values import InvalidValue, did_you_mean
from ..terminal.arguments import Arguments
from .steps import STEPS, Night, gate, whole

IN_A_FOLDER = ("sweep", "gate", "accept")
"""Steps that need the folder of a night that other steps know as well."""


def usual_baselines() -> str:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return str(Path(state) / "convbench" / "baselines")


def setting(name: str, usual: str | None = None) -> str | None:
    """An environment variable; one that is empty counts as not set."""
    return os.environ.get(name) or usual


def parser() -> Arguments:
    out = Arguments(
        "nightly",
        passed_on=PASSED_ON,
        usage="python -m convbench nightly [canary|sweep|gate|accept] [options] [settings]",
        description="A scheduled run: is the machine fit to measure (canary), what are tonight's figures (sweep), is "
        "anything worse than on the last good night in the same environment (gate)? Without a step, all three. accept "
        "makes a night the baseline that did not pass. Further words are settings and sweeps as on convbench's own "
        "command line. Exit code 0: good, or the first of its kind and kept; 1: a regression or a wrong gradient; 2: "
        "the command line is at fault; 3: something could not be measured; 4: nothing to compare with, or a machine "
        "that cannot be trusted.",
    )
    add = out.add_argument
    add("--sweep", default=setting("SWEEP", ""), metavar="NAME", help="a saved sweep, or $SWEEP")
    add("--device", default=setting("DEVICE"), help="cpu, cuda, cuda:N …, or $DEVICE (default: cpu)")
    add("--shard", default=setting("SHARD", "1/1"), type=_shard, metavar="I/N", help="or $SHARD (default: 1/1)")
    add(
        "--out", default=setting("NIGHTLY_OUT"), type=Path, metavar="DIR",
        help="the night's folder, or $NIGHTLY_OUT (default: a new one in results/)",
    )  # fmt: skip
    add_keeping(out)
    return out


def add_keeping(out: Arguments, required: bool = False) -> None:
    """`--baselines` and `--keep`, which every way to judge a night has."""
    out.add_argument(
        "--baselines", default=None if required else setting("BASELINES", usual_baselines()), type=_lasting,
        required=required, metavar="DIR",
        help="absolute path of the folder that keeps good nights, or $BASELINES" + ("" if required else
        " (default: convbench/baselines in ~/.local/state)"),
    )  # fmt: skip
    out.add_argument(
        "--keep", action=argparse.BooleanOptionalAction, help="may a good night become the baseline, or $KEEP_BASELINE"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a step, or all, and returns the exit code; raises InvalidValue."""
    words = list(sys.argv[2:] if argv is None else argv)
    step = words.pop(0) if words and words[0].isalpha() else ""
    if step and step not in STEPS:
        hint = did_you_mean(step, STEPS) or f"; there are {', '.join(STEPS)}; without a step, all of a night"
        raise InvalidValue("nightly", f"nightly has no step {step!r}{hint}")
    args, settings = parser().parse_known_args(words)
    if settings and step not in ("", "sweep"):
        raise InvalidValue("nightly", f"{step} takes no settings of a sweep, and was given {' '.join(settings)}")
    if args.out is None and step in IN_A_FOLDER:
        raise InvalidValue("--out", f"{step} is one step of a night; give the night's folder with --out DIR")
    if step in ("", "sweep") and not (args.sweep or settings):
        raise InvalidValue(
            "nightly", "nightly needs what to measure: --sweep NAME, or settings such as cases=layers.csv methods=[…]"
        )
    # A folder of its own: in an old one the sweep would resume and measure nothing.
    out = args.out or Path("results") / f"nightly-{datetime.now():%Y-%m-%d_%H-%M-%S}"
    named = [word.partition("=")[2] for word in settings if word.startswith("device=")]
    night = Night(
        out,
        args.baselines,
        args.sweep,
        tuple(word for word in settings if not word.startswith("device=")),
        named[-1] if named else args.device or "cpu",
        args.shard,
        _keeps(args.keep),
    )
    if step in ("", "sweep"):
        _check(night)
    return _done(STEPS.get(step, whole), night)


def _check(night: Night) -> None:
    """Raises InvalidValue for words that the sweep would refuse, which the night would find only after its canary."""
    from ..sweep.plan import planned
    from ..sweep.running import check_modules

    check_modules(planned(night.words).sweep)


def gate_parser() -> Arguments:
    """Of `gate --baselines`, which judges a run by the good ones before it instead of by a branch."""
    out = Arguments(
        "gate",
        description="Judge a finished run by the last good one of the same sweep, settings and environment, and keep "
        "it if it is good itself; the first of its kind is kept.",
    )
    out.add_argument("night", metavar="NIGHT", type=Path, help="folder of a run, or one that holds its shards")
    add_keeping(out, required=True)
    return out


def gate_main(argv: Sequence[str]) -> int:
    """`gate --baselines DIR NIGHT`; raises InvalidValue."""
    args = gate_parser().parse_args(argv)
    if not args.night.is_dir():
        raise InvalidValue("NIGHT", f"{args.night} does not exist; give the folder that a sweep wrote (its out=)")
    return _done(gate, Night(args.night, args.baselines, keeps=_keeps(args.keep)))


def _done(step: Callable[[Night], int], night: Night) -> int:
    try:
        return int(step(night))
    except OSError as error:
        raise InvalidValue(
            "nightly", f"the night cannot be kept: {error}; free some space or name another folder"
        ) from error


def _keeps(given: bool | None) -> bool:
    if given is not None:
        return given
    said = setting("KEEP_BASELINE", "true")
    if said not in ("true", "false"):
        raise InvalidValue("KEEP_BASELINE", f"KEEP_BASELINE={said} is not allowed; give true or false")
    return said == "true"


def _shard(text: str) -> str:
    share, _, of = text.partition("/")
    if not (share.isdecimal() and of.isdecimal() and 1 <= int(share) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; give for instance 2/8, the second of eight")
    return text


def _lasting(text: str) -> Path:
    """A folder that outlives the job; a relative one would lie in the checkout, which the next job cleans."""
    path = Path(os.path.expanduser(text))
    if not path.is_absolute():
        raise argparse.ArgumentTypeError(f"{text} is relative; give an absolute path (or ~/…), also in $BASELINES")
    return path
