"""Files of a run's folder: written whole or not at all; and environment.json as everybody reads it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..facts.values import InvalidValue

UNFINISHED = ".unfinished"
"""How the name of a file ends that is being written, and that of one whose writer was killed."""


def named(word: str) -> Path:
    """The path that a user writes, with ~ for a home; as it stands where there is no such user or home."""
    return Path(os.path.expanduser(word))  # Path.expanduser raises there


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, which becomes `path` when all is written and goes away otherwise.

    Whoever opens `path` meanwhile sees the old file or the new one, never half of one. A link is followed, and what is
    no file (a device, a pipe) is written to as it is.
    """
    if path.is_symlink() and not _is_open_already(path):
        path = path.resolve()
    if _is_open_already(path) or (path.exists() and not path.is_file()):
        yield path
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _is_open_already(path: Path) -> bool:
    """Whether a path names something that is open already, wherever that leads."""
    return str(path.absolute()).startswith(("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/"))


@contextmanager
def readable(file: Path, remedy: str) -> Iterator[None]:
    """Around reading `file` and what it holds: whatever a damaged one makes its readers raise is an InvalidValue."""
    try:
        yield
    except InvalidValue:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise InvalidValue("DIR", f"{file} cannot be read ({reason}); {remedy}") from error


def environments(folder: Path) -> dict[str, dict[str, Any]]:
    """environment.json of `folder`: id → environment; empty where it is missing or damaged: the table stands alone."""
    try:
        found = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: one for key, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}
