"""`python -m convbench validate`: can timings from this machine be trusted? Measures known answers and says so."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..facts.devices import check_device
from ..facts.exits import Exit
from ..facts.measure import Measure
from ..facts.spec import Switches
from ..facts.units import time
from ..facts.values import InvalidValue, did_you_mean, number, whole_number
from ..sweep.presets import preset
from ..terminal.arguments import Arguments
from ..terminal.screen import console
from . import burst
from .evidence import Try
from .trust import Trust, judge, sentence

SETTINGS = ("device", "budget_s", "measure", "threads", "seed")
LEAST_BUDGET_S = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    device: str
    budget_s: float
    measure: Measure
    threads: int
    seed: int
    load: bool
    as_json: bool


def parser() -> Arguments:
    out = Arguments(
        "validate",
        usage="%(prog)s [device=cpu] [budget_s=60] [measure=default] [threads=1] [seed=0] [--load] [--json]\n"
        "       %(prog)s --judge [measure=quick] [--keep FILE] [--json | --markdown]\n"
        "       %(prog)s --proof [device=cuda] [out=DIR] [stages=primitives,timers,program] [only=NAME,…]\n"
        "                [budget_s=N] [retry=failed] [--json]",
        description="Measure a method against itself, itself slowed down by 5% and many of its calls, many times and "
        "in fresh processes, with torch's Timer beside it; with --judge, every method of a set that deceives; or, "
        "with --proof, all that convbench relies on where a device is used for the first time. Exit code 0: timings "
        "from this machine can be trusted, nothing deceived, everything is proved; 1: a check of the proof failed; 2: "
        "the command line is at fault; 4: timings cannot be trusted, something did deceive or could not be told, or "
        "there is no such device.",
    )
    out.add_argument("settings", metavar="key=value", nargs="*", help=f"any of {', '.join(SETTINGS)}")
    out.add_argument("--judge", action="store_true", help="try methods that deceive, which takes some minutes")
    out.add_argument("--proof", action="store_true", help="check what convbench relies on, which takes many minutes")
    out.add_argument("--markdown", action="store_true", help="with --judge: print the table as Markdown")
    out.add_argument(
        "--keep", metavar="FILE", help="with --judge: write each trial there as it ends, and leave out those in it"
    )
    out.add_argument("--load", action="store_true", help="keep every core busy in bursts meanwhile, as an experiment")
    out.add_argument("--json", action="store_true", help="print one JSON object, with every trial or check in it")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the proofs and returns 0 or 4; raises InvalidValue."""
    args = parser().parse_args(argv)
    if args.proof:
        return _prove(args)
    if args.judge or args.markdown or args.keep:
        return _judge(args)
    wanted = _wanted(args)
    # Only here: the command line must not pay for torch, or fail for want of it, when it does something else.
    from ..devices import missing_device
    from ..timing.rounds import ArmFailed
    from . import passes, proofs

    missing = missing_device(wanted.device)
    if missing is not None:
        print(f"convbench: there is no device={wanted.device} to validate: {missing}", file=sys.stderr)
        return Exit.UNTRUSTED
    setup = proofs.Setup(wanted.device, wanted.threads, wanted.measure, wanted.seed)
    try:
        with burst.load() if wanted.load else nullcontext():
            agreement = proofs.do_bench(setup)
            tries = list(_watched(passes.tries(setup, wanted.budget_s), wanted))
    except (ArmFailed, RuntimeError) as failed:  # the latter from what is not an arm: making tensors, other timers
        print(f"convbench: {wanted.device} failed while it was timed: {passes.told(failed)}", file=sys.stderr)
        return Exit.UNTRUSTED
    judgement = judge(tries, wanted.measure.margin, [agreement] if agreement else [])
    (_print_json if wanted.as_json else _print)(wanted, judgement, tries)
    return Exit.GOOD if judgement.trusted else Exit.UNTRUSTED


def _prove(args: argparse.Namespace) -> int:
    from ..proof import command as proof

    given = [name for name in ("judge", "markdown", "keep", "load") if getattr(args, name)]
    if given:
        raise InvalidValue(given[0], f"--{given[0]} does not go with --proof; leave it out")
    return proof.main(args.settings, as_json=args.json)


def _judge(args: argparse.Namespace) -> int:
    from . import judge_command

    if not args.judge:
        option = "markdown" if args.markdown else "keep"
        raise InvalidValue(option, f"--{option} needs --judge; --json prints the figures of a validation")
    if args.load:
        raise InvalidValue("load", "--load does not go with --judge; leave it out")
    name = "quick"
    for setting in args.settings:
        key, equals, name = setting.partition("=")
        if key != "measure" or not equals:
            raise InvalidValue(key, f"validate --judge has no setting {setting!r}; allowed: measure")
    measure = preset(name)
    if not measure.enabled:
        raise InvalidValue("measure", f"measure={measure.name} times nothing, and what is timed is what deceives")
    output = "json" if args.json else "markdown" if args.markdown else "terminal"
    return judge_command.main(measure, output, Path(args.keep) if args.keep else None)


def _wanted(args: argparse.Namespace) -> Wanted:
    values: dict[str, Any] = {"device": "cpu", "budget_s": 60.0, "measure": "default", "threads": 1, "seed": 0}
    for setting in args.settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in SETTINGS:
            hint = did_you_mean(key, SETTINGS) or f"; allowed: {', '.join(SETTINGS)}"
            raise InvalidValue(key, f"validate has no setting {setting!r}{hint}")
        values[key] = text if key in ("device", "measure") else _parsed(key, text)
    check_device(values["device"])
    measure = preset(values["measure"])
    if not measure.enabled:
        raise InvalidValue("measure", f"measure={measure.name} times nothing, so there is nothing to validate")
    return Wanted(
        device=values["device"],
        budget_s=number("budget_s", values["budget_s"], LEAST_BUDGET_S),
        measure=measure,
        threads=whole_number("threads", values["threads"], 1),
        seed=whole_number("seed", values["seed"], 0),
        load=args.load,
        as_json=args.json,
    )


def _parsed(key: str, text: str) -> float | int | str:
    """A number where the text is one; anything else is left for the check that names the key."""
    try:
        return float(text) if key == "budget_s" else int(text)
    except ValueError:
        return text


def _watched(tries: Iterator[Try], wanted: Wanted) -> Iterator[Try]:
    with _progress(wanted) as progress:
        task = progress.add_task("0 trials", total=wanted.budget_s)
        begun = progress.get_time()
        for count, one in enumerate(tries, 1):
            progress.update(task, description=f"{count} trials", completed=progress.get_time() - begun)
            yield one


@contextmanager
def _progress(wanted: Wanted) -> Iterator[Progress]:
    """A bar on standard error where that is a terminal; nothing else shows or runs."""
    screen = console(sys.stderr)
    shown = screen.is_terminal and not wanted.as_json
    # Redrawn only when a try ends: a bar that moves by itself runs on the cores that are being measured.
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=screen, auto_refresh=False
    )
    if not shown:
        yield progress
        return
    with progress:
        yield progress


def _print_json(wanted: Wanted, judgement: Trust, tries: Sequence[Try]) -> None:
    from ..measurement import environment

    out = {
        "device": wanted.device,
        "threads": wanted.threads,
        "measure": wanted.measure.name,
        "budget_s": wanted.budget_s,
        "load": wanted.load,
        "environment": environment.collect(wanted.device, Switches(threads=wanted.threads)),
        **_finite(judgement.to_dict()),
        "all_tries": [_finite(asdict(one)) for one in tries],
    }
    print(json.dumps(out, indent=1, ensure_ascii=False, allow_nan=False))


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: unknown is null."""
    infinite = {key for key, value in values.items() if isinstance(value, float) and not math.isfinite(value)}
    return {key: None if key in infinite else value for key, value in values.items()}


def _print(wanted: Wanted, judgement: Trust, tries: Sequence[Try]) -> None:
    screen = console()
    threads = "1 thread" if wanted.threads == 1 else f"{wanted.threads} threads"
    load = ", all cores loaded in bursts" if wanted.load else ""
    screen.print(f"{wanted.device}, {threads}, measure={wanted.measure.name}{load}", style="heading")
    screen.print()
    screen.print(_proofs_table(judgement))
    screen.print(_scatter_table(judgement))
    converged = sum(one.converged for one in tries)
    screen.print(
        f"{len(tries)} trials{_samples_told(tries[0])}, {converged} reached ±{100 * wanted.measure.half_width:g}%; "
        f"{100 * judgement.timed_share:.0f}% of a measurement is inside timed regions.",
        style="quiet",
    )
    screen.print()
    screen.print(sentence(judgement), style="status.ok" if judgement.trusted else "severity.bad")


def _samples_told(one: Try) -> str:
    """How long samples were; where that is not what the settings say, why."""
    if math.isnan(one.sample_s):
        return ""
    said = f" with samples of {time(one.sample_s)}"
    longer = f" (asked for: {time(one.asked_s)}; so many calls as tell 5% take longer)"
    return said + (longer if one.sample_s > one.asked_s else "")


def _proofs_table(judgement: Trust) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "proof", "expected", "observed"):
        table.add_column(heading, overflow="fold")
    for proof in judgement.proofs:
        mark = {True: "holds", False: "FAILS", None: "–"}[proof.holds]
        style = "severity.bad" if proof.holds is False else None
        table.add_row(mark, proof.name, proof.expected, proof.observed, style=style)
    return table


def _scatter_table(judgement: Trust) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("identical code, |log ratio|")
    for heading in ("median", "90th percentile", "largest", "seconds"):
        table.add_column(heading, justify="right")
    for row in judgement.scatter:
        figures = (f"{value:.4f}" for value in (row.median, row.p90, row.largest))
        table.add_row(row.timer, *figures, f"{row.pair_s:.2f}")
    return table
