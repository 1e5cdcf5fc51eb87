"""`python -m convbench hunt objective=… [settings]`: the worst case, found and made simple."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from ..execution.execute import RunOptions, Session, driving
from ..facts.exits import Exit, interrupted
from ..facts.measure import Measure
from ..facts.values import InvalidValue
from ..results import run_file
from ..sweep import cases, running
from ..sweep.config import SPEC_KEYS, Settings, folder
from ..sweep.plan import Room, room
from ..sweep.presets import Preset, preset
from ..terminal.arguments import Arguments
from .hunt import Hunt
from .issue import Writer
from .objective import Objective, objective_of
from .output import Lines, told
from .point import Asked
from .proposals import Guided, Proposal, boundary, drawn, optuna_missing, suites
from .space import Space, surroundings
from .trials import Stopped, Trials, kept_environment, rows_of

OWN = ("objective", "at_least", "regions")
"""Words of hunt's own; the rest are settings."""
BUDGET_S = 600.0
TIMEOUT_S = 20.0
"""For one step of a method, where nobody says otherwise: the sweeps' five minutes would be half of the budget."""
UNSET = "unset"
OF_SWEEPS = ("shuffle", "shard", "chunk", "strict", "on_illegal", "share")
"""Settings that a hunt has no use for."""
METHODS = {
    True: ("autograd", "explicit", "unfold", "upcast", "zero_insert"),
    False: ("autograd", "explicit"),
}
"""Whether times are compared → the methods that are tried where none is named."""
EPILOG = """
objectives:
  crash        a method ends its process, hangs or raises
  fail         a gradient is wrong
  bound_ratio  the largest error, as a multiple of its bound, is at_least=1
  slow         the baseline's time over that of the fastest right method is at_least=2
settings as on convbench's own command line; what is named is searched among these values only:
  hunt objective=crash ONEDNN_MAX_CPU_ISA=AVX2 budget_s=180
  hunt objective=fail methods=[my_kernels:grad] 'kernel=range(1,8)' dtype=float32,bfloat16
  hunt objective=slow dtype=bfloat16 cases=mobilenet_v1.csv budget_s=300
NAME=VALUE,VALUE in capitals is a variable of the environment (unset: without it).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Hunts, prints what was found and where it is, and returns the exit code. Raises InvalidValue."""
    parser = Arguments(
        "hunt",
        description="Look for the configurations that are worst, and make each as simple as it goes. Exit code 0: "
        "nothing found; 1: something found; 2: the command line is at fault; 3: nothing found, and some "
        "configurations could not be measured.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="objective=…, at_least=…, and settings")
    words = list(sys.argv[2:] if argv is None else argv)
    asked = parser.parse_args(words).words
    own, variables, rest = split(asked)
    objective = objective_of(own.get("objective"), own.get("at_least"))
    regions = own.get("regions")
    if regions is not None and not re.fullmatch("[1-9][0-9]*", regions):
        raise InvalidValue(
            "regions", f"regions={regions} must be a whole number above 0: hunt ends when it has so many"
        )
    room_ = room(rest)
    with kept_environment():
        return _hunt(objective, room_, variables, ["hunt", *words], int(regions) if regions else None)


def split(words: Iterable[str]) -> tuple[dict[str, str], dict[str, list[str | None]], list[str]]:
    """Words of hunt's own, variables of the environment, and settings. Raises InvalidValue for a word twice."""
    own: dict[str, str] = {}
    variables: dict[str, list[str | None]] = {}
    rest = []
    for word in words:
        key, equals, value = word.partition("=")
        if key in own or key in variables:
            raise InvalidValue(key, f"{key} is given twice; give it once, several values as {key}=A,B")
        if equals and key in OWN:
            own[key] = value
        elif equals and re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            variables[key] = [None if one == UNSET else one for one in value.split(",")]
        else:
            rest.append(word)
    return own, variables, rest


def space_of(objective: Objective, found: Room, variables: Mapping[str, Sequence[str | None]]) -> Space:
    """What a command line leaves open. Raises InvalidValue."""
    base, named = dict(found.grid.base), found.named
    for key in ("methods", "baseline"):
        if key in found.grid.axes:
            raise InvalidValue(key, f"{key} takes one value here: all methods are tried beside each other")
    methods = tuple([base["methods"]] if isinstance(base["methods"], str) else base["methods"])
    if "methods" not in named:
        methods = METHODS[objective.timed]
    base |= {} if "timeout_s" in named else {"timeout_s": TIMEOUT_S}
    base |= _measuring(objective, named)
    beside = ("methods", "baseline", "timeout_s", "seed", "device", *(k for k in base if "." in k))
    given = {key: [base[key]] for key in named & SPEC_KEYS if key not in beside} | dict(found.grid.axes)
    asked = Asked(base, methods, base["baseline"] if objective.timed or "baseline" in named else methods[0])
    around = surroundings(variables, base["device"], objective.timed)
    return Space(asked, given, around, objective.timed, os.cpu_count() or 1, list(_seeds(found, named)))


def _measuring(objective: Objective, named: frozenset[str]) -> dict[str, Any]:
    """The measurement of a first look: none, or the least that has an interval."""
    if not objective.timed:
        return {f"measure.{key}": value for key, value in _settings(preset("none")).items()}
    if any(key.startswith("measure") for key in named):
        return {}
    return _changed("quick", looks=(10,), max_time_s=2.0, kernels=False)


def _changed(name: str, **changes: Any) -> dict[str, Any]:
    """A preset with changes, as flat settings, called as the table calls it."""
    values = {f"measure.{key}": value for key, value in (_settings(preset(name)) | changes).items()}
    return values | {"measure.name": Preset.of(name, ()).told(values)}


def _settings(measure: Measure) -> dict[str, Any]:
    return {f.name: getattr(measure, f.name) for f in fields(Measure)}


def _seeds(found: Room, named: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Real cases: those that were named, else all that ship."""
    if found.grid.cases is not None:
        lists = [found.grid.cases]
    else:
        lists = [cases.read(path) for path in sorted(folder("sweeps").glob("*.csv"))]
    for one in lists:
        for index in range(len(one.rows)):
            values = one.settings(index, {**found.grid.base, "padding": 0, "output_padding": 0, "dilation": 1})
            yield {key: value for key, value in values.items() if key != "labels"}


class Limits(NamedTuple):
    """Seconds that a hunt may take, and trials that it may run, where there is a limit."""

    budget_s: float
    trials: int | None


def _hunt(
    objective: Objective,
    found: Room,
    variables: Mapping[str, Sequence[str | None]],
    argv: Sequence[str],
    regions: int | None,
) -> int:
    settings: Settings = found.settings
    for key in OF_SWEEPS:
        if key in found.named:
            raise InvalidValue(key, f"{key} is for sweeps, and hunt has no list of configurations; leave it out")
    if settings.isolation != "process":
        raise InvalidValue(
            "isolation", f"isolation={settings.isolation}: hunt confirms in fresh processes; leave it out"
        )
    space = space_of(objective, found, variables)
    _check_modules(space)
    out = settings.out or running.fresh_folder(Path("results").absolute())
    budget_s = settings.budget_s if settings.budget_s is not None else BUDGET_S
    run = RunOptions(out, "process", settings.memory_limit, settings.retry)
    facts = {"argv": list(argv), "settings": {**settings.asked.get("settings", {}), "objective": objective.name}}
    lines = Lines(objective, budget_s)
    with driving(run) as session, run_file.noted(out, facts):
        hunt = _made(objective, space, session, out, lines, Limits(budget_s, settings.limit), argv)
        hunt.most = regions
        lines.watch(hunt)
        missing = optuna_missing() if objective.name != "crash" else None
        guided = None if missing or objective.name == "crash" else lambda: Guided(space, settings.shuffle_seed)
        hunt.run(_phases(space, settings.shuffle_seed, budget_s, guided is not None), guided)
        signal = session.interrupt.signal
    lines.end()
    print(told(hunt, out, missing))
    if signal is not None:
        return interrupted(signal)
    if hunt.regions:
        return Exit.WRONG
    return Exit.UNMEASURED if hunt.trials.unmeasured else Exit.GOOD


def _made(
    objective: Objective,
    space: Space,
    session: Session,
    out: Path,
    lines: Lines,
    limits: Limits,
    argv: Sequence[str],
) -> Hunt:
    ends = time.monotonic() + limits.budget_s

    def stop() -> None:
        lines.look()
        enough = limits.trials is not None and trials.count >= limits.trials
        if enough or session.interrupt.signal is not None or time.monotonic() > ends:
            raise Stopped

    trials = Trials(session, objective, stop, rows_of(out))
    # Several fresh processes are asked one by one, so that how many of them say the same is known.
    believed = _changed("default", processes=1, max_time_s=5.0, memory=False) if objective.timed else {}
    writer = Writer(out, objective, space, argv)
    return Hunt(objective, space, trials, lines.say, writer.write, believed)


def _phases(space: Space, seed: int, budget_s: float, guided: bool) -> Iterator[tuple[Iterable[Proposal], float]]:
    """Half of the time for the boundaries, a quarter for real layers; the rest for random places, half of it where
    Optuna goes on. Real layers first where times are compared: the smallest convolutions take little but overhead."""
    phases = [(boundary(space, seed), budget_s / 2), (suites(space), budget_s / 4)]
    yield from reversed(phases) if space.timed else phases
    yield drawn(space, seed), budget_s / 8 if guided else budget_s


def _check_modules(space: Space) -> None:
    from ..execution.source import check_found

    for method in (*space.asked.methods, space.asked.baseline):
        if ":" in method:
            check_found("methods", method)
