"""Files of a run's folder: written whole or not at all; and environment.json as everybody reads it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNFINISHED = ".unfinished"
"""How the name of a file ends that is being written, and that of one whose writer was killed."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, which becomes `path` when all is written and goes away otherwise.

    Whoever opens `path` meanwhile sees the old file or the new one, never half of one.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def environments(folder: Path) -> dict[str, dict[str, Any]]:
    """environment.json of `folder`: id → environment; empty where it is missing or damaged: the table stands alone."""
    try:
        found = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: one for key, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}
