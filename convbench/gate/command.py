"""`python -m convbench gate --base REF [settings]`: is this branch's code slower or wrong where the base's is not?

The base is the commit that HEAD and REF have in common, checked out into a temporary folder. One's own methods are
imported from there on the one side and from the working directory, as it is, on the other; everything else is the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..comparison.comparison import Comparison
from ..comparison.output import markdown
from ..comparison.output_options import add_margin, add_output, of_pairs, tell
from ..comparison.pairs import Sides
from ..comparison.result import Judgement, Policy
from ..duet.command import PASSED_ON, add_processes, check_words
from ..duet.duel import Duel
from ..duet.pair import Pair
from ..duet.passes import fight
from ..duet.rows import rows_of
from ..duet.sides import interpreter
from ..execution.commits import Commits, columns
from ..execution.git import State
from ..execution.process import Place
from ..facts.exits import interrupted
from ..facts.spec import Spec
from ..facts.values import InvalidValue
from ..results import run_file
from ..sweep import running
from ..terminal.arguments import Arguments, writing
from .repository import NoBase, Repository
from .sides import base_side, own_methods
from .worktree import checked_out

if TYPE_CHECKING:
    from ..sweep.grid import Sweep


def parser() -> Arguments:
    out = Arguments(
        "gate",
        passed_on=PASSED_ON,
        description="Measure one's own methods as they are against what they are in another branch, in alternating "
        "pairs. Exit code 0: no regression, or no base to compare with; 1: a regression, or a gradient that is wrong "
        "where the base's is not; 2: the command line is at fault; 4: it cannot be told. Further words are settings "
        "and sweeps as on convbench's own command line.",
    )
    out.add_argument("--base", required=True, metavar="REF", help="branch or commit that this one is to be merged into")
    out.add_argument(
        "--baselines",
        metavar="DIR",
        help="instead of --base, with the folder of a finished run: judge that by the last good one that DIR keeps, as "
        "`nightly` does, and keep it; see `gate --baselines DIR --help`",
    )
    out.add_argument(
        "--base-python", metavar="PYTHON", help="interpreter or environment of the base's side (default: this one)"
    )
    add_processes(out)
    add_margin(out)
    add_output(out)
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Measures both sides, prints the comparison and returns the exit code; raises InvalidValue."""
    from ..sweep.plan import planned

    begun = time.time()
    words = list(sys.argv[2:] if argv is None else argv)
    if any(word.partition("=")[0] == "--baselines" for word in words):
        from ..nightly.command import gate_main

        return gate_main(words)
    args, settings_of = parser().parse_known_args(words)
    check_words("gate", settings_of, args.processes)
    repository = Repository.here()
    plan = planned(settings_of)
    sweep, settings = plan.sweep, plan.settings
    running.check_modules(sweep)
    own = own_methods(dict.fromkeys(arm for spec in sweep for arm in spec.arms), repository)
    try:
        base = _base_of(repository, args)
    except NoBase as reason:
        nothing = Judgement(args.margin, no_base=str(reason))
        return _finish(Comparison(args.base, repository.new, nothing, Policy(args.margin), {}, paired=True), args)
    duels = _duels(_specs(sweep, own, args), own, base)
    out = settings.out or running.fresh_folder(Path("results").absolute())
    with checked_out(repository.top, base) as tree:
        side = base_side(repository, tree, own, interpreter("--base-python", args.base_python or sys.executable))
        _greet(side.place)
        signal = fight((side.place, Place(sys.executable)), duels, out, args.processes)
    controls = frozenset() if args.base_python else frozenset(d.method for d in duels) - own.keys()
    names = (f"{base[:10]}, the merge base of HEAD and {args.base}", repository.new)
    sides = {"names": names, "controls": sorted(controls), "absent": dict(side.absent)}
    git = {"base": base, "commit": repository.head, "changed_files": repository.changed}
    run_file.append(out, {**run_file.entry(["gate", *words], begun), "git": git, "sides": sides})
    print(f"files: {out} (results.parquet, results.csv, run.json)", file=sys.stderr)
    if signal is not None:
        return interrupted(signal)
    rows = [row for duel in duels for row in rows_of(duel)]
    return _finish(of_pairs(rows, names, Policy(args.margin), Sides(controls, side.absent)), args)


def _base_of(repository: Repository, args: argparse.Namespace) -> str:
    """The merge base; raises NoBase where nothing differs from it, and what `merge_base` raises."""
    base = repository.merge_base(args.base)
    if base == repository.head and not repository.changed and not args.base_python:
        raise NoBase(f"There is nothing new: {args.base} holds HEAD ({base[:10]}), and no file was changed since.")
    return base


def _specs(sweep: Sweep, own: Mapping[str, Path], args: argparse.Namespace) -> list[Spec]:
    """The configurations with the methods that can differ, and the baseline as a control.

    With another environment on the base's side, that is all of them. Raises InvalidValue where it is none.
    """
    if args.base_python:
        return list(sweep)
    kept = [(spec, tuple(m for m in spec.methods if m in own)) for spec in sweep]
    specs = [replace(spec, methods=methods) for spec, methods in kept if methods]
    if not specs:
        arms = dict.fromkeys(arm for spec in sweep for arm in spec.arms)
        raise InvalidValue(
            "methods",
            f"no code of {', '.join(arms)} is in this repository, so that both sides would be the same; name a method "
            "of yours: methods=[package.module:function]",
        )
    return specs


def _duels(specs: Sequence[Spec], own: Collection[str], base: str) -> list[Duel]:
    """Every method of every configuration, with the commits of both sides' code."""
    new, there = Commits(), State(base, dirty=False)
    sides = {
        method: {"a": columns(there, there if method in own else None), "b": new.columns(method)}
        for method in dict.fromkeys(arm for spec in specs for arm in spec.arms)
    }
    return [Duel(spec, method, commits=sides[method]) for spec in specs for method in spec.arms]


def _greet(place: Place) -> None:
    """Raises InvalidValue where the base's environment cannot measure."""
    if place.python == sys.executable:
        return
    with Pair((place, Place(sys.executable))) as pair:
        pair.hello()


def _finish(comparison: Comparison, args: argparse.Namespace) -> int:
    """Prints the comparison; on GitHub it goes to the job's summary as well."""
    tell(comparison, args.format, args.out)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and args.out != Path(summary):
        with writing(Path(summary)), Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"{markdown(comparison)}\n")
    return comparison.judgement.exit_code
