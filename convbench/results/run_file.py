"""run.json: what a folder's runs were, one entry for each command that measured into it, the latest last."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..facts.values import InvalidValue
from .files import replacing

NAME = "run.json"

LATEST = "latest"
"""In results/: a link to the newest of the folders that are named after the time."""


def runs(folder: Path) -> list[dict[str, Any]]:
    """The entries of `folder`'s run.json; none where it is missing or damaged: the table stands alone."""
    try:
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))["runs"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def write(folder: Path, entries: list[dict[str, Any]]) -> None:
    """Writes the file whole or not at all; raises OSError."""
    with replacing(folder / NAME) as unfinished:
        text = json.dumps({"runs": entries}, indent=2, ensure_ascii=False)
        unfinished.write_text(f"{text}\n", encoding="utf-8")


def append(folder: Path, entry: Mapping[str, Any]) -> None:
    """Adds the entry of one more command; raises OSError."""
    write(folder, [*runs(folder), dict(entry)])


def entry(argv: Sequence[str], begun: float) -> dict[str, Any]:
    """What every entry has: the command line, where it ran, and from when (seconds since the epoch) to now, in UTC."""
    times = (datetime.fromtimestamp(when, timezone.utc) for when in (begun, time.time()))
    started, ended = (when.isoformat(timespec="seconds") for when in times)
    return {"argv": list(argv), "cwd": str(Path.cwd()), "started_at": started, "ended_at": ended}


@contextmanager
def noted(folder: Path, facts: Mapping[str, Any]) -> Iterator[None]:
    """Adds the entry of a command when it begins, and when it ends the time of that: a run that was killed has none.

    `facts` holds its `argv` and whatever else is to be written down. A disk that is full leaves the file as it was: the
    rows matter more, and say so themselves.
    """
    begun, earlier = time.time(), runs(folder)
    first = {**entry(facts.get("argv", ()), begun), **facts, "ended_at": None}
    with suppress(OSError):
        write(folder, [*earlier, first])
    try:
        yield
    finally:
        with suppress(OSError):
            write(folder, [*earlier, {**first, "ended_at": entry((), begun)["ended_at"]}])


def command_of(folder: Path) -> str | None:
    """The command that measured into a folder last, for a shell; None where run.json does not say it."""
    argv = [one["argv"] for one in runs(folder) if isinstance(one.get("argv"), list)]
    return f"python -m convbench {shlex.join(map(str, argv[-1]))}".rstrip() if argv else None


def configurations(folder: Path) -> int | None:
    """How many configurations the command has that measured into a folder last; None where that is not known, or where
    others did so before it: the folder then holds theirs as well."""
    counts = {one.get("configurations") for one in runs(folder)}
    found = counts.pop() if len(counts) == 1 else None
    return found if isinstance(found, int) else None


def settings_of(run: Path) -> dict[str, Any]:
    """The composed settings of the last command that measured into a folder, or of the first of the shards in it.

    Empty where no run.json says any.
    """
    for folder in (run, *(sorted(run.iterdir()) if run.is_dir() else ())):
        if settings := [one["settings"] for one in runs(folder) if isinstance(one.get("settings"), dict)]:
            return dict(settings[-1])
    return {}


def is_share(folder: Path) -> bool | None:
    """Whether `folder` holds a share of a sweep (shard=2/8), as its last entry says; None where nothing is said."""
    settings = [one["settings"] for one in runs(folder) if isinstance(one.get("settings"), dict)]
    return settings[-1].get("shard") is not None if settings else None


def latest(command: str) -> Path:
    """The newest run of the working directory's results/, for a `command` that was given no folder.

    Raises InvalidValue where there is none.
    """
    link = Path("results") / LATEST
    if not link.is_dir():
        raise InvalidValue("DIR", f"{command} needs DIR: there is no {link} that it could take instead")
    return link.resolve()
