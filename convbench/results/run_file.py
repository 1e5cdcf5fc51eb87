"""run.json: what a folder's runs were, one entry for each command that measured into it, the latest last."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .files import replacing

NAME = "run.json"


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
