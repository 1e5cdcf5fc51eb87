"""Words in, plan out: what a command line would run, composed and checked, and nothing run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..facts.values import InvalidValue
from ..results.files import named
from . import options
from .config import Settings, folder
from .grid import LeftOut, Sweep

if TYPE_CHECKING:
    from .grid import Grid
    from .launched import Launcher

LISTS = (".csv", ".parquet")


@dataclass(frozen=True)
class Plan:
    """What a command line stands for.

    `sweep` holds the configurations and makes each when it is asked for; `settings` are those of the whole;
    `launcher` is what its jobs would be spread with, None where everything runs in this process.
    """

    sweep: Sweep
    settings: Settings
    launcher: Launcher | None = None

    @property
    def left_out(self) -> LeftOut:
        """The combinations that are not run, and why."""
        return self.sweep.left_out


@dataclass(frozen=True)
class Search:
    """A command line whose configurations another sweeper of Hydra's chooses while it runs."""

    line: options.Line


def composed(line: options.Line) -> Plan | Search:
    """What a command line stands for; raises InvalidValue with the sentence that a person is told."""
    # Hydra is imported by what composes.
    from .composing import composing
    from .messages import explained

    with explained(), composing(line) as composer:
        from . import hydras_words
        from .axes import Given, first_composed, grids, saved_axes
        from .grid import choose

        given = Given.all_of(composer, line.words)
        first = first_composed(composer, given)
        sweeping = hydras_words.sweeping(line, first, given)
        if hydras_words.is_foreign(first) and sweeping:
            return Search(line.with_words(saved_axes(first, {g.key for g in given})))
        hydras_words.check(first, given, sweeping)
        found, settings = grids(composer, given)
        settings = hydras_words.with_folder(settings, first, sweeping)
        sweep = choose(found, settings)
        return Plan(sweep, settings, hydras_words.launcher(composer, first) if sweeping else None)


@dataclass(frozen=True)
class Room:
    """What a command line decides, for whoever chooses the rest: its `grid`, the settings of the whole, and the keys
    that it `named` or gave another value than the usual one."""

    grid: Grid
    settings: Settings
    named: frozenset[str]


def room(arguments: Sequence[str]) -> Room:
    """What `python -m convbench -m ARGUMENTS` would combine, legal or not. Raises InvalidValue."""
    from .composing import composing
    from .messages import explained

    line = options.read(["-m", *arguments])
    with explained(), composing(line) as composer:
        from .axes import Given, grids
        from .config import flat

        given = Given.all_of(composer, line.words)
        if hydras := [g.line for g in given if g.key.startswith("hydra")]:
            raise InvalidValue("hydra", f"{hydras[0]} is for sweeps; leave it out here")
        found, settings = grids(composer, given)
        usual = flat(composer.composed([]))
    if len(found) > 1:
        raise InvalidValue("measure", "one choice of configuration files at a time is possible here; name one")
    changed = {key for key, value in found[0].base.items() if value != usual.get(key)}
    return Room(found[0], settings, frozenset(changed | {g.key for g in given} | found[0].axes.keys()))


def asked_with(found: Plan | Search, argv: Sequence[str]) -> Plan | Search:
    """The same, with the command line that run.json is to name."""
    if isinstance(found, Search):
        return found
    return replace(found, settings=replace(found.settings, asked={"argv": list(argv), **found.settings.asked}))


def planned(arguments: Sequence[str]) -> Plan:
    """What `python -m convbench -m ARGUMENTS` would run. Raises InvalidValue."""
    found = composed(options.read(["-m", *arguments]))
    if isinstance(found, Search):
        raise InvalidValue("hydra/sweeper", "another hydra/sweeper chooses while it runs; leave it out here")
    return found


def saved(name: str) -> tuple[Path, list[str]]:
    """The file behind a saved sweep's name, a sweep's .yaml or a list of cases, and the words that run it.

    Raises InvalidValue where there is no such file.
    """
    path = named(name)
    if path.suffix in LISTS or path.is_dir():
        if not path.exists():
            raise InvalidValue(
                "cases", f"{path} does not exist; give a saved sweep's name, its .yaml, or a .csv of cases"
            )
        return path.resolve(), [f"cases={path.resolve()}"]
    if os.sep not in name and path.suffix != ".yaml":
        return folder("sweeps") / f"{name}.yaml", [f"+sweep={name}"]
    if not path.is_file():
        raise InvalidValue("sweep", f"{path} does not exist; give a saved sweep's name, its .yaml, or a .csv of cases")
    path = path.resolve()
    if path.parent == folder("sweeps").resolve():
        return path, [f"+sweep={path.stem}"]
    if path.parent.name != "sweep":
        raise InvalidValue("sweep", f"{path} must lie in a folder named sweep, where Hydra looks for saved sweeps")
    return path, [f"--config-dir={path.parent.parent}", f"+sweep={path.stem}"]
