"""`python -m convbench duet --a PYTHON --b PYTHON [overrides]`: two Python environments against each other.

Every method of every configuration runs in a process of each environment on the same data, and the two take
their samples in alternating pairs of random order, so that both see the same machine. What differs from process
to process (memory layout and the like) is part of the answer: the pairs are repeated in fresh processes, and the
interval is Student's over the processes' figures, as in a sweep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..comparison.output_options import add_margin, add_output, of_pairs, tell
from ..comparison.result import Policy
from ..execution.commits import Commits
from ..execution.outcome import Outcome, exit_code
from ..facts.exits import Exit
from ..facts.record import is_wrong
from ..facts.values import InvalidValue
from ..sweep import running
from ..terminal.arguments import Arguments
from .duel import Duel
from .pair import NAMES, Pair
from .passes import fight
from .rows import rows_of, show
from .sides import different_builds, place, said

USUAL, LEAST = 6, 3
"""Pairs of fresh processes. Of two, Student's interval is 13 times as wide as they are apart: it tells nothing."""

FOREIGN = ("isolation", "memory_limit", "retry", "chunk", "share", "objective", "budget_s", "hydra/launcher")
"""Settings of a sweep that a duet refuses instead of ignoring them."""

PASSED_ON = ("-m", "--multirun", "-cd", "--config-dir", "-cn", "--config-name", "-cp", "--config-path")
"""Options of convbench's own command line that choose configurations here as well."""


def parser() -> Arguments:
    out = Arguments(
        "duet",
        passed_on=PASSED_ON,
        description="Measure two Python environments against each other in alternating pairs; further words are "
        "settings and sweeps as on convbench's own command line. The speedup is a's time over b's.",
    )
    for name in NAMES:
        out.add_argument(
            f"--{name}", required=True, metavar="PYTHON", help="an interpreter, or the folder of its environment"
        )
        out.add_argument(
            f"--{name}-env",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help=f"an environment variable of {name}'s processes; may be given several times",
        )
    add_processes(out)
    out.add_argument(
        "--fail-if-slower",
        action="store_true",
        help="judge b against a as compare does: exit code 1 for a regression, 4 if that cannot be told",
    )
    add_margin(out)
    add_output(out, usual=None)
    return out


def add_processes(parser: Arguments) -> None:
    parser.add_argument(
        "--processes", metavar="N", type=int, default=USUAL, help=f"pairs of fresh processes (at least {LEAST})"
    )


def check_words(command: str, words: Sequence[str], processes: int) -> None:
    """Raises InvalidValue for too few processes, and for settings that mean nothing where each side has its own."""
    if processes < LEAST:
        raise InvalidValue(
            "--processes", f"--processes {processes} gives no interval to judge by; give at least {LEAST}"
        )
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        if key == "measure.processes":
            raise InvalidValue(key, f"{word} is given to a {command} as --processes {value}")
        if key in FOREIGN:
            raise InvalidValue(
                key, f"{word} means nothing to a {command}, which runs here and each side in a process of its own"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, writes the table, prints the summary and returns the exit code; raises InvalidValue."""
    from ..sweep.plan import planned

    args, words = parser().parse_known_args(argv)
    check_words("duet", words, args.processes)
    variables = {name: getattr(args, f"{name}_env") for name in NAMES}
    places = [place(name, getattr(args, name), variables[name]) for name in NAMES]
    plan = planned(words)
    sweep, settings = plan.sweep, plan.settings
    with Pair(places) as pair:
        greetings = pair.hello()
    sides = [said(name, greetings[name], variables[name]) for name in NAMES]
    unlike = different_builds(greetings)
    out = settings.out or running.fresh_folder(Path("results").absolute())
    commits = Commits()
    duels = [
        Duel(spec, method, commits=dict.fromkeys(NAMES, commits.columns(method)))
        for spec in sweep
        for method in spec.arms
    ]
    signal = fight(places, duels, out, args.processes)
    rows = [row for duel in duels for row in rows_of(duel)]
    if args.out or args.format in (None, "terminal"):
        show(rows, out, [f"{side} · {place.python}" for side, place in zip(sides, places, strict=True)], unlike)
    statuses = Counter(row["status"] for row in rows)
    wrong = sum(map(is_wrong, rows))
    own = exit_code(Outcome(rows=statuses, wrong=wrong, signal=signal), settings.strict)
    if not (args.fail_if_slower or args.format or args.out):
        return own
    comparison = of_pairs(rows, (sides[0], sides[1]), Policy(args.margin))
    comparison.judgement.notes.extend([unlike] if unlike else [])
    tell(comparison, args.format or "terminal", args.out)
    return _worst(own, comparison.judgement.exit_code) if args.fail_if_slower else own


def _worst(own: int, judged: int) -> int:
    """One exit code of a duet's own and its judgement's: an interruption first, then wrong, unmeasured, untrusted."""
    return judged if own == Exit.GOOD or (judged == Exit.WRONG and own == Exit.UNMEASURED) else own
