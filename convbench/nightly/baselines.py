"""What good nights are kept as: the baseline of the next one, and the tables of the nights before it."""

from __future__ import annotations

import shutil
import uuid
from datetime import datetime
from pathlib import Path

from .night import TABLE, tables

NIGHTS = 60
"""Good nights whose tables stay beside a baseline: what `compare --history` looks at."""

KEPT_OF_A_NIGHT = (TABLE, "environment.json", "run.json")


def keep(out: Path, home: Path) -> None:
    """Makes a run the baseline. `home` is a link that is replaced in one step, so there is always a whole one."""
    home.parent.mkdir(parents=True, exist_ok=True)
    before = home.resolve()
    copy = home.with_name(f"{home.name}.{uuid.uuid4().hex}")
    shutil.copytree(out, copy)
    link = copy.with_name(f"{copy.name}.link")
    link.symlink_to(copy.name)
    link.replace(home)
    if before != home.absolute():
        shutil.rmtree(before, ignore_errors=True)
    remember(out, nights(home))


def nights(home: Path) -> Path:
    """Where the good nights of a baseline's kind are remembered, a folder for each."""
    return home.with_name(f"{home.name}.nights")


def remember(out: Path, folder: Path) -> None:
    """Adds the tables of a night to those that are remembered, and takes the oldest away beyond NIGHTS of them."""
    night = folder / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{uuid.uuid4().hex[:6]}"
    for table in tables(out):
        share = night / table.parent.relative_to(out)
        share.mkdir(parents=True)
        for name in KEPT_OF_A_NIGHT:
            if table.with_name(name).is_file():
                shutil.copyfile(table.with_name(name), share / name)
    for old in sorted(folder.iterdir())[:-NIGHTS]:
        shutil.rmtree(old, ignore_errors=True)


def forget(home: Path) -> None:
    """The nights before a level that is accepted would call it a regression for ever."""
    shutil.rmtree(nights(home), ignore_errors=True)
