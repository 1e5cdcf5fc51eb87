"""All checks of a proof, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from . import grid, plants, primitives, program, timers
from .checks import Check


def checks() -> list[Check]:
    """Of the program's stage those that tell most come first: a time budget may leave no room for the others."""
    grids, commands = grid.checks(), program.checks()
    return [
        *primitives.checks(),
        *plants.checks(),
        *timers.checks(),
        *grids[:4],
        *commands[:4],
        *grids[4:],
        *commands[4:],
    ]


def chosen(stages: Collection[str], only: Sequence[str]) -> list[Check]:
    """Those of these stages whose names fit one of the patterns `only` (as of file names)."""
    return [
        check
        for check in checks()
        if check.stage in stages and (not only or any(fnmatchcase(check.name, pattern) for pattern in only))
    ]
